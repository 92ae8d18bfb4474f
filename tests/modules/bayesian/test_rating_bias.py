"""The recent bias by hand, and in a tower."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from modules import features
from modules.bayesian import rating_bias

MEANS = np.array([3.5, 3.0, 4.0, 2.0], np.float32)
HISTORY = {
    features.HISTORY_TITLE: tf.constant([[2, 3, 1], [1, 0, 0], [0, 0, 0]]),
    features.HISTORY_RATING: tf.constant([[5.0, 1.0, 3.5], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    # They reach 1, 4, 17 and 2 of features.GAP_BOUNDARIES.
    features.HISTORY_AGE: tf.constant([[1, 10, 120 * 86_400], [2, 0, 0], [0, 0, 0]]),
}


def test_a_recent_bias_is_how_far_the_last_ratings_are_above_the_titles_means() -> None:
    late = [math.exp(-0.1), math.exp(-0.4), math.exp(-1.7), math.exp(-0.2)]
    expected = [
        [(1.0 - 1.0 + 0.5) / 5, (late[0] - late[1] + 0.5 * late[2]) / (sum(late[:3]) + 1)],
        [1.0 / 3, late[3] / (late[3] + 1)],
        [0.0, 0.0],
    ]
    np.testing.assert_allclose(
        rating_bias.recent_bias(HISTORY, tf.constant(MEANS)), expected, rtol=1e-5, atol=1e-7
    )


def test_the_mean_of_a_title_of_few_ratings_is_near_that_of_all() -> None:
    titles, ratings = np.array([0, 0, 2, 2, 2, 2]), np.array([5.0, 4.0, 1.0, 2.0, 1.0, 2.0])
    received = rating_bias.title_means(titles, ratings, 4)
    assert received.tolist() == pytest.approx([2.5, 2.5 + 4.0 / 12, 2.5, 2.5 - 4.0 / 14, 2.5])


USERS = {features.USER_ID: tf.constant([[3], [0], [2]])}
COLD_START = {features.USER_ID: tf.constant([[4], [4], [4]])}


@pytest.fixture
def tables() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    sizes = {features.USER_ID: (5, 3), rating_bias.NAME: (2, 3), "vectors": (4, 2), "matrix": (5, 3)}
    return {name: draw.normal(size=size).astype(np.float32) for name, size in sizes.items()}


@pytest.fixture
def tower(tables) -> rating_bias.RatingBiasTower:
    tower = rating_bias.RatingBiasTower((features.USER_ID,), {features.USER_ID: 5}, 3, MEANS)
    tower.assign(tables)
    tower.assign_cold_start(tables["vectors"], tables["matrix"])
    return tower


def test_a_tower_adds_the_recent_bias_of_users_of_train_and_does_not_train_the_means(tower, tables) -> None:
    biases = rating_bias.recent_bias(HISTORY, tf.constant(MEANS)).numpy()
    expected = tables[features.USER_ID][[3, 0, 2]] + biases @ tables[rating_bias.NAME]
    np.testing.assert_allclose(tower({**HISTORY, **USERS}), expected, rtol=1e-5, atol=1e-6)
    assert {weight.name for weight in tower.non_trainable_weights} == {"means:0", "vectors:0"}


def test_a_cold_start_user_is_embedded_by_the_history(tower, tables) -> None:
    biases = rating_bias.recent_bias(HISTORY, tf.constant(MEANS)).numpy()
    # By how much each rating is above the title's mean and the recent bias, over the number of ratings and 5.
    liked = [
        sum((above - biases[0, 0]) * tables["vectors"][title] for above, title in ((1, 2), (-1, 3), (0.5, 1)))
        / 8,
        (1 - biases[1, 0]) * tables["vectors"][1] / 6,
        np.zeros(2),
    ]
    summary = np.concatenate([np.ones((3, 1)), biases, liked], axis=1)
    expected = tables[features.USER_ID][4] + summary @ tables["matrix"]
    np.testing.assert_allclose(tower({**HISTORY, **COLD_START}), expected, rtol=1e-5, atol=1e-5)
