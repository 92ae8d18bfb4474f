"""The linear autoencoder on planted tastes: what a history says of titles, for whom, and how much."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from modules import features
from modules.data.dataset import Catalogue, Interactions
from modules.hyperparameters import ColdStartConfig
from modules.towers.linear_autoencoder import CandidateFactors, HistoryFactors, factors

USERS, TITLES, TASTES = 60, 24, 3
# In the vocabulary titles are in another order than in the catalogue; the last index is of those out of it.
INDICES = np.random.default_rng(0).permutation(TITLES)


def catalogue(indices: np.ndarray = INDICES) -> Catalogue:
    """Candidates with these indices in the vocabulary."""
    names = np.arange(TITLES).astype(bytes)
    return Catalogue(
        movie_ids=names, titles=names, transformed={features.MOVIE_TITLE: indices[:, np.newaxis]}
    )


def taste(titles: np.ndarray) -> np.ndarray:
    """Which taste a title of the catalogue is of."""
    return titles % TASTES


def interactions() -> Interactions:
    """Every user rates four titles of one taste, and one of any; the first one twice.

    Users out of the vocabulary rate title 0.
    """
    draw, cells = np.random.default_rng(1), set()
    for user in range(USERS):
        own = np.flatnonzero(taste(np.arange(TITLES)) == user % TASTES)
        cells |= {(user, int(title)) for title in (*draw.choice(own, 4, False), draw.integers(TITLES))}
    users, positions = np.array([*sorted(cells), min(cells), *[(USERS, 0)] * 100]).T
    return Interactions(
        users=users.astype(np.int32),
        positions=positions.astype(np.int32),
        ratings=np.full(len(users), 3, np.float32),
        timestamps=np.arange(len(users)),
        mean_rating=3.0,
        rating_range=(1.0, 5.0),
        user_features={},
        num_users=USERS,
    )


def scores(found: np.ndarray, history: list[int], user: int = USERS) -> np.ndarray:
    """Score the titles of the catalogue for a user with a history of titles of the catalogue."""
    columns = np.zeros((1, len(history) + 2), np.int64)
    columns[0, : len(history)] = INDICES[history] + 1
    query = HistoryFactors(found, USERS)(
        {features.USER_ID: tf.constant([[user]]), features.HISTORY_TITLE: tf.constant(columns)}
    )
    candidates = CandidateFactors(found)({features.MOVIE_TITLE: tf.constant(INDICES[:, np.newaxis])})
    return tf.matmul(query, candidates, transpose_b=True).numpy()[0]


def test_a_history_speaks_for_titles_of_its_taste() -> None:
    found = factors(ColdStartConfig(embedding_dim=TASTES, l2=1.0), interactions(), catalogue(), TITLES + 1)
    for own in range(TASTES):
        (history,) = np.flatnonzero(taste(np.arange(TITLES)) == own)[np.newaxis, :3].tolist()
        received = scores(found, history)
        others = np.setdiff1d(np.arange(TITLES), history)
        best = others[np.argsort(-received[others])[: TITLES // TASTES - 3]]
        assert (taste(best) == own).all()


def test_a_score_is_that_of_the_closed_form() -> None:
    """V diag(s^2 / (s^2 + l2)) V', from a decomposition of the whole matrix, summed over the history."""
    config = ColdStartConfig(embedding_dim=5, l2=2.0, weight=1.5)
    rows = interactions()
    rated = np.zeros((USERS, TITLES))
    known = rows.users < USERS
    rated[rows.users[known], rows.positions[known]] = 1.0
    _, values, vectors = np.linalg.svd(rated)
    kept = vectors[:5]
    weights = 1.5 * (kept.T * values[:5] ** 2 / (values[:5] ** 2 + 2.0)) @ kept
    found = factors(config, rows, catalogue(), TITLES + 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(scores(found, [4, 9]), weights[4] + weights[9], atol=1e-5)


def test_a_user_of_train_and_one_without_history_get_no_score() -> None:
    found = factors(ColdStartConfig(), interactions(), catalogue(), TITLES + 1)
    assert (scores(found, [1, 2], user=USERS - 1) == 0).all()
    assert (scores(found, []) == 0).all()
    assert (scores(found, [1, 2]) != 0).any()


def test_titles_out_of_the_vocabulary_say_nothing_and_nothing_is_said_of_them() -> None:
    """They share an index: together they would be the most popular title."""
    size = TITLES // 2
    capped = np.minimum(np.arange(TITLES), size)
    found = factors(ColdStartConfig(embedding_dim=5), interactions(), catalogue(capped), size + 1)
    np.testing.assert_allclose(found[size], 0, atol=1e-6)
    assert (np.abs(found[:size]).max(axis=1) > 0.01).all()


@pytest.mark.parametrize(("users", "columns"), [(1, 0), (3, 2), (USERS, TITLES)])
def test_fewer_users_or_titles_than_columns_leave_columns_empty(users: int, columns: int) -> None:
    rows = interactions()
    few = rows.users < users
    rows = Interactions(
        **{
            **vars(rows),
            "users": rows.users[few],
            "positions": rows.positions[few],
            "num_users": users,
        }
    )
    found = factors(ColdStartConfig(embedding_dim=64), rows, catalogue(), TITLES + 1)
    assert found.shape == (TITLES + 1, 64)
    assert np.isfinite(found).all()
    assert np.count_nonzero(np.abs(found).max(axis=0) > 1e-6) == columns
