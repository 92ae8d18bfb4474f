"""Windows of the stream of train."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from modules import features
from modules.data import sequences
from modules.data.sequences import CONTEXT, QUERIES


def test_a_pass_has_every_rating_as_a_query_once_after_those_of_its_user_before_it() -> None:
    draw = np.random.default_rng(0)
    users = np.sort(draw.integers(0, 12, 4 * QUERIES))
    rows = np.arange(len(users))
    columns = {features.USER_ID: users, features.TIMESTAMP: rows, features.MOVIE_TITLE: rows}
    for seed in range(2):
        read = list(sequences.windows(columns, 2, seed=seed).as_numpy_iterator())
        assert len(read) == sequences.steps(len(users), 2) == 2
        titles = np.concatenate([batch[features.MOVIE_TITLE] for batch in read])
        assert titles.shape == (4, CONTEXT + QUERIES)
        assert sorted(titles[:, CONTEXT:].ravel()) == rows.tolist()
        # Neighbours are neighbours in the stream, or of two users.
        steps = np.diff(titles, axis=1)
        assert np.all((steps == 1) | (np.diff(users[titles], axis=1) != 0))


def test_what_is_read_is_in_the_order_of_users_and_of_their_times() -> None:
    rows = {
        features.USER_ID: [[2], [1], [1], [2]],
        features.TIMESTAMP: [[5], [9], [3], [5]],
        features.MOVIE_TITLE: [[8], [7], [6], [4]],
    }
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(3)
    found = sequences.load(batches, [*rows])
    assert found[features.MOVIE_TITLE].tolist() == [6, 7, 4, 8]
    assert found[features.USER_ID].tolist() == [1, 1, 2, 2]
