"""SASRec on planted sequences: what it learns, what each query attends to, and which titles are negatives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import splits
from benchmarks.protocol import Ratings
from benchmarks.rivals import sasrec, sasrec_network
from benchmarks.rivals.sasrec import BUCKET, RATING, TITLE, USER
from benchmarks.splits import ROLLING, STATIC
from modules.data import sequences
from modules.data.sequences import CONTEXT, EARLIER, ORDER

pytestmark = pytest.mark.slow("traces and fits a network")

TITLES, USERS, ROWS = 24, 30, 14
LONG = 300


def _ratings(users, titles, times, stars=None, num_titles=TITLES) -> Ratings:
    return Ratings(
        np.asarray(users),
        np.asarray(titles),
        np.ones(len(users)) if stars is None else stars,
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
    train, held_out = (whole.take(rows) for rows in splits.leave_one_out(whole))
    return sasrec.SasRec(train, 1, epochs=70, learning_rate=0.02, dropout=0.1), train, held_out


@pytest.fixture(scope="module")
def long() -> tuple[sasrec.SasRec, Ratings]:
    # Of one user: another title each time, two of them a second, and the first title again near the end.
    titles = np.arange(LONG)
    titles[-20] = 0
    stars = 1.0 + np.arange(LONG) % 5
    train = _ratings(np.zeros(LONG, int), titles, 1_000 + np.arange(LONG) // 2, stars, num_titles=LONG)
    return sasrec.SasRec(train, 1, epochs=1, learning_rate=0.001, dropout=0.1), train


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
    # A query of each user amid the rows, at the very second of one.
    rows = train.take(np.arange(6, len(train), ROWS - 1))
    assert np.array_equal(np.unique(rows.users), np.arange(USERS))
    before = model.scores(splits.queries(train, rows, STATIC), slice(None))
    query_times = rows.times[train.users]
    for changed, same in ((train.times >= query_times, True), (train.times < query_times, False)):
        other = dataclasses.replace(
            train,
            titles=np.where(changed, TITLES - 1 - train.titles, train.titles),
            ratings=np.where(changed, 6 - train.ratings, train.ratings),
        )
        scores = model.scores(splits.queries(other, rows, STATIC), slice(None))
        assert np.allclose(scores, before, atol=1e-4) == same


def test_no_query_of_training_sees_its_own_title_or_what_is_later(long) -> None:
    model, train = long[0], _planted()
    # Rows 4 to 6 of each user are of one second.
    step = np.arange(len(train)) % ROWS
    together = (step > 4) & (step <= 6)
    times = np.where(together, train.times - 3_600 * (step - 4), train.times)
    columns = model.columns(dataclasses.replace(train, times=times))

    def embedded(columns):
        window = _window(columns, 0, len(train))
        return model._network(window, model._network.titles()).numpy()[0]

    before = embedded(columns)
    for position in (3, 4, 5, 6, 9):
        other = {name: values.copy() for name, values in columns.items()}
        other[TITLE][step == position] = (other[TITLE][step == position] + 7) % TITLES
        other[RATING][step == position] = (other[RATING][step == position] + 1) % 5
        differs = np.abs(embedded(other) - before).max(axis=1) > 1e-5
        assert differs.tolist() == (columns[EARLIER] > position).tolist(), position


def _window(columns, first: int, queries: int) -> dict[str, tf.Tensor]:
    rows = np.arange(first - CONTEXT, first + queries) % len(columns[ORDER])
    return {name: tf.constant(values[rows][np.newaxis]) for name, values in columns.items()}


def _read(model: sasrec.SasRec, window, query: int) -> list[int]:
    # The titles that have a part in the embedding of a query.
    titles = tf.constant(model._network.titles())
    with tf.GradientTape() as tape:
        tape.watch(titles)
        embedded = tf.reduce_sum(model._network(window, titles)[:, query] ** 2)
    gradient = tf.convert_to_tensor(tape.gradient(embedded, titles)).numpy()
    return np.flatnonzero(np.abs(gradient).max(axis=1)).tolist()


def test_each_query_of_training_attends_to_the_hundred_titles_before_it(long, monkeypatch) -> None:
    model, train = long
    # The second block would also find what the first one mixed into the context.
    monkeypatch.setattr(model._network, "_blocks", model._network._blocks[:1])
    columns = model.columns(train)
    (batch,) = sequences.windows(columns, sequences.batch_size(LONG, 384), seed=3)
    orders, earlier = batch[ORDER].numpy(), batch[EARLIER].numpy()
    checked = 0
    for number in range(len(orders)):
        window = {name: values[number : number + 1] for name, values in batch.items()}
        for query in (0, 1, 60, 127):
            known = int(earlier[number, CONTEXT + query])
            # A window's first query may have the other title of its second in the context.
            begin = max(0, known - CONTEXT, int(orders[number, CONTEXT + query]) - CONTEXT - query)
            assert known - begin >= min(known, CONTEXT - 1)
            assert _read(model, window, query) == np.unique(train.titles[begin:known]).tolist(), (
                number,
                query,
            )
            checked += known >= CONTEXT
    assert checked > 4


def test_queries_are_embedded_alike_in_training_and_evaluation_from_the_same_hundred_titles(long) -> None:
    model, train = long
    rows = train.take(np.array([1, 40, 150, 251]))
    windows = model.windows(splits.queries(train, rows, STATIC), slice(None))
    columns = model.columns(train)
    for number, row in enumerate((1, 40, 150, 251)):
        evaluated = {name: tf.constant(values[number : number + 1]) for name, values in windows.items()}
        known = int(columns[EARLIER][row])
        assert evaluated[EARLIER].numpy()[0, -1] == known == row // 2 * 2
        # As the first row of a second a query of training has the same context.
        trained = _window(columns, known, 1)
        found, expected = (
            model._network(window, model._network.titles()).numpy() for window in (evaluated, trained)
        )
        assert found == pytest.approx(expected, abs=1e-5)
        assert _read(model, evaluated, 0) == list(range(max(0, known - CONTEXT), known))


def test_all_titles_rated_earlier_are_no_negatives_but_the_own_one_is_a_candidate(long) -> None:
    model, train = long
    columns = model.columns(train)
    first = tf.constant(sasrec_network.first_ratings(columns, USERS + 2, LONG))
    # Row 280 rates the first title again, which is older than its context.
    for row in (0, 31, 150, 251, 280):
        biases = model._network._biases
        with tf.GradientTape() as tape:
            loss = model._network.loss(_window(columns, row, 1), first)
        masked = np.flatnonzero(tape.gradient(loss, biases).numpy() == 0)
        expected = set(train.titles[: row // 2 * 2].tolist()) - {int(train.titles[row])}
        assert set(masked.tolist()) == expected


def test_users_and_times_outside_train_have_indices_of_their_own(fitted) -> None:
    model, train, _ = fitted
    rows = _ratings([0, USERS, 0], [0, 0, 0], [train.times.min(), train.times.max(), train.times.max() + 1])
    columns = model.columns(rows)
    assert columns[USER].tolist() == [1, 0, 1]
    assert columns[BUCKET].tolist() == [1, 1000, 0]


def test_features_of_titles_are_their_genres_and_their_year() -> None:
    ratings = dataclasses.replace(
        _ratings([0], [0], [0], num_titles=3),
        title_names=np.array(["A (1990)", "B (1991)", "C (1950)"]),
        genres=np.array([[True, False], [True, True], [False, True]]),
    )
    found = sasrec.title_features(ratings)
    assert found[:, :2].tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
    years = found[:, 2:]
    assert years.sum(axis=1).tolist() == [1, 1, 1]
    assert np.array_equal(years[0], years[1]) and not np.array_equal(years[0], years[2])
