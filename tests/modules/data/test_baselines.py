"""Popularity and biases, against lists and sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from modules.data import baselines


def test_the_most_rated_comes_first_and_of_equals_the_first_of_the_catalogue() -> None:
    scores = baselines.popularity_scores(np.array([3, 0, 5, 3, 0, 9]))
    assert scores.dtype == np.float32
    assert np.argsort(-scores).tolist() == [5, 2, 0, 3, 1, 4]
    assert sorted(scores) == [1, 2, 3, 4, 5, 6]


def test_a_title_s_bias_is_its_mean_rest_drawn_to_0_and_then_comes_the_user_s() -> None:
    # The mean is 3. Title 0: rests 1 and 2, 3 / (2 + 3) = 0.6; title 1: -1 and -2, -0.6; title 2 has none.
    # User 0 is left with 0.4 and -0.4, user 1 with 1.4 and -1.4: none. User 2 has rated nothing.
    users, titles, ratings = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([4.0, 2.0, 5.0, 1.0])
    fitted = baselines.biases(users, titles, ratings, 3, 3, user_weight=5, title_weight=3, sweeps=1)
    assert fitted.mean == 3
    np.testing.assert_allclose(fitted.titles, [0.6, -0.6, 0], atol=1e-12)
    np.testing.assert_allclose(fitted.users, [0, 0, 0], atol=1e-12)


def test_biases_find_the_minimum_of_the_regularised_squares() -> None:
    random = np.random.default_rng(5)
    users, titles = random.integers(0, 6, 40), random.integers(0, 7, 40)
    ratings = random.integers(1, 6, 40).astype(np.float32)
    fitted = baselines.biases(users, titles, ratings, 6, 7, user_weight=2, title_weight=4, sweeps=200)
    rows = np.arange(40)
    design = np.zeros((40, 13))
    design[rows, users] = 1
    design[rows, 6 + titles] = 1
    penalty = np.diag([2.0] * 6 + [4.0] * 7)
    rest = ratings - float(ratings.mean(dtype=np.float64))
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ rest)
    assert np.concatenate([fitted.users, fitted.titles]) == pytest.approx(solution, abs=1e-9)
