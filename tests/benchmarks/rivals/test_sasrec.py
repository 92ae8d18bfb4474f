"""SASRec on planted sequences: what it learns, and that it sees nothing that a query does not know."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import splits
from benchmarks.protocol import Ratings
from benchmarks.rivals import sasrec
from benchmarks.splits import ROLLING

pytestmark = pytest.mark.slow("traces and fits a network")

TITLES, USERS, ROWS = 24, 30, 14


def _ratings(users, titles, times, stars=None, num_titles=TITLES) -> Ratings:
    stars = np.ones(len(users)) if stars is None else stars
    return Ratings(
        np.asarray(users),
        np.asarray(titles),
        stars,
        np.asarray(times),
        np.array([f"{user:03d}" for user in range(USERS + 1)]),
        np.array([f"{title:03d} (1990)" for title in range(num_titles)]),
        np.arange(num_titles)[:, None] % 3 == np.arange(3),
    )


def _planted() -> Ratings:
    # Title b follows a: a user goes round the titles from one of them on, a title an hour.
    random = np.random.RandomState(0)
    users, steps = (grid.ravel() for grid in np.meshgrid(np.arange(USERS), np.arange(ROWS), indexing="ij"))
    begins = random.randint(0, TITLES, USERS)
    times = 10_000_000 + 1_000 * users + 3_600 * steps
    return _ratings(
        users, (begins[users] + steps) % TITLES, times, random.randint(1, 6, len(users)).astype(float)
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[sasrec.SasRec, Ratings, Ratings]:
    whole = _planted()
    parts = splits.leave_one_out(whole)
    train, held_out = (whole.take(rows) for rows in parts)
    return sasrec.SasRec(train, 1, epochs=80, learning_rate=0.01, dropout=0.1), train, held_out


def test_it_learns_which_title_follows(fitted) -> None:
    model, train, held_out = fitted
    queries = splits.queries(train, held_out, ROLLING)
    scores = model.scores(queries, slice(None))
    # Training says nothing of the titles that a query knows: they are no candidates.
    numbers, positions = queries.excluded(slice(None))
    scores[numbers, queries.pool.titles[positions]] = -np.inf
    assert np.mean(scores.argmax(axis=1) == held_out.titles) > 0.9


def test_a_user_of_whom_nothing_is_known_gets_scores(fitted) -> None:
    model, train, _ = fitted
    stranger = _ratings([USERS], [0], [train.times.max() + 5])
    scores = model.scores(splits.queries(train, stranger, ROLLING), slice(None))
    assert scores.shape == (1, TITLES) and np.isfinite(scores).all()


def test_scores_follow_what_is_known_and_nothing_of_the_querys_second_or_later(fitted) -> None:
    model, train, _ = fitted
    # Each user is asked about amid the rows: at the very second of one.
    asked = train.take(np.arange(6, len(train), ROWS - 1))
    assert np.array_equal(np.unique(asked.users), np.arange(USERS))

    def scores(known: Ratings) -> np.ndarray:
        queries = splits.queries(known, asked, splits.STATIC).causal()
        return model.scores(queries, slice(None))

    moment = asked.times[train.users]
    before = scores(train)
    for late, same in ((train.times >= moment, True), (train.times < moment, False)):
        other = dataclasses.replace(
            train,
            titles=np.where(late, TITLES - 1 - train.titles, train.titles),
            ratings=np.where(late, 6 - train.ratings, train.ratings),
        )
        assert np.allclose(scores(other), before, atol=1e-4) == same


def test_no_moment_of_training_sees_its_own_title_or_what_is_later(fitted) -> None:
    model, train, _ = fitted
    layout, network = model._layout, model._network
    # Rows 4 to 6 of each user are of one second.
    step = np.arange(len(train)) % (ROWS - 1)
    train = dataclasses.replace(
        train, times=np.where((step > 4) & (step <= 6), train.times - 3_600 * (step - 4), train.times)
    )
    given, wanted, _ = layout.training(train)
    before = network(given, network.embeddings(), training=False).numpy()
    assert wanted.sum() == len(train)
    for position in (3, 4, 5, 6, 9):
        titles, ratings = given.titles.copy(), given.ratings.copy()
        titles[:, position] = (titles[:, position] + 7) % TITLES
        ratings[:, position] = (ratings[:, position] + 1) % 5
        changed = given._replace(titles=titles, ratings=ratings)
        after = network(changed, network.embeddings(), training=False).numpy()
        differs = np.abs(after - before).max(axis=(0, 2)) > 1e-4
        later = np.flatnonzero(given.known[0, : ROWS - 1] > position)
        assert differs[: ROWS - 1].nonzero()[0].tolist() == later.tolist(), position


def test_each_row_is_asked_for_once_with_at_least_half_a_window_before_it() -> None:
    rows = 3 * sasrec.LENGTH + 17
    times = np.append(np.arange(rows) // 2, 0)
    own = np.arange(rows + 1)
    train = _ratings([0] * rows + [1], own, 1_000 + times, num_titles=rows + 1)
    given, wanted, titles = sasrec.Layout(train).training(train)
    asked = given.asked[wanted]
    assert sorted(asked.tolist()) == sorted(times.tolist())
    assert sorted(titles[wanted].tolist()) == sorted(own.tolist())
    known = given.asked_known[wanted]
    # Two rows share each second: neither knows the other.
    assert known[asked == 0].tolist() == [0, 0, 0]
    assert known[asked == 7].tolist() == [14, 14]
    assert known[asked > sasrec.LENGTH].min() == sasrec.LENGTH // 2


def test_in_training_the_titles_that_a_moment_knows_are_no_candidates_but_its_own_is(fitted) -> None:
    model, train, _ = fitted
    # Row 5 of each user is of the second of row 4; row 9 rates the title of row 2 again.
    step = np.arange(len(train)) % (ROWS - 1)
    train = dataclasses.replace(
        train,
        times=np.where(step == 5, train.times - 3_600, train.times),
        titles=np.where(step == 9, (train.titles - 7) % TITLES, train.titles),
    )
    given, wanted, targets = model._layout.training(train)
    marked = model._network._known(given, targets).numpy()
    for sequence, position in np.argwhere(wanted):
        times, titles = given.times[sequence], given.titles[sequence]
        earlier = titles[: ROWS - 1][times[: ROWS - 1] < times[position]]
        expected = set(earlier.tolist()) - {targets[sequence, position]}
        assert set(marked[sequence, position].nonzero()[0].tolist()) == expected
        assert len(expected) == len(set(earlier.tolist())) - (position == 9)
