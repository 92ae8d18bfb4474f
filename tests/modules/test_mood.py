"""The mood by hand, and in a tower."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from modules import features, mood
from modules.towers import Tower

MEANS = np.array([3.5, 3.0, 4.0, 2.0], np.float32)
HISTORY = {
    features.HISTORY_TITLE: tf.constant([[2, 3, 1], [1, 0, 0], [0, 0, 0]]),
    features.HISTORY_RATING: tf.constant([[5.0, 1.0, 3.5], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    features.HISTORY_GAP: tf.constant([[1, 4, 17], [2, 0, 0], [0, 0, 0]]),
}


def test_a_mood_is_how_far_the_last_ratings_are_above_the_titles_means() -> None:
    late = [math.exp(-0.1), math.exp(-0.4), math.exp(-1.7), math.exp(-0.2)]
    expected = [
        [(1.0 - 1.0 + 0.5) / 5, (late[0] - late[1] + 0.5 * late[2]) / (sum(late[:3]) + 1)],
        [1.0 / 3, late[3] / (late[3] + 1)],
        [0.0, 0.0],
    ]
    np.testing.assert_allclose(mood.mood(HISTORY, tf.constant(MEANS)), expected, rtol=1e-5, atol=1e-7)


def test_the_mean_of_a_title_of_few_ratings_is_near_that_of_all() -> None:
    titles, ratings = np.array([0, 0, 2, 2, 2, 2]), np.array([5.0, 4.0, 1.0, 2.0, 1.0, 2.0])
    received = mood.title_means(titles, ratings, 4)
    assert received.tolist() == pytest.approx([2.5, 2.5 + 4.0 / 12, 2.5, 2.5 - 4.0 / 14, 2.5])


def test_a_tower_adds_the_mood_and_does_not_train_the_means() -> None:
    sizes = {features.USER_ID: 5}
    tower = mood.MoodTower((features.USER_ID,), sizes, 3, MEANS)
    plain = Tower((features.USER_ID,), sizes, 3)
    draw = np.random.default_rng(1)
    tables = {
        name: draw.normal(size=(rows, 3)).astype(np.float32)
        for name, rows in ((features.USER_ID, 5), (mood.NAME, 2))
    }
    inputs = {**HISTORY, features.USER_ID: tf.constant([[4], [0], [2]])}
    for each in (tower, plain):
        each.assign(tables)
    expected = plain(inputs) + mood.mood(HISTORY, tf.constant(MEANS)).numpy() @ tables[mood.NAME]
    np.testing.assert_allclose(tower(inputs), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain(inputs), tables[features.USER_ID][[4, 0, 2]])
    assert len(tower.non_trainable_weights) == 1
