"""Windows of the stream of train."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from modules import features
from modules.data import sequences
from modules.data.dataset import Interactions
from modules.data.known import KNOWN, Known
from modules.data.sequences import CONTEXT, QUERIES


def interactions(
    users: np.ndarray, seconds: np.ndarray, positions: np.ndarray, num_users: int
) -> Interactions:
    return Interactions(
        users=users.astype(np.int32),
        positions=positions.astype(np.int32),
        ratings=(1 + positions % 5).astype(np.float32),
        timestamps=seconds,
        mean_rating=3.0,
        rating_range=(1.0, 5.0),
        user_features={},
        num_users=num_users,
    )


def test_a_pass_has_every_rating_as_a_query_after_those_of_its_user_before_it() -> None:
    draw = np.random.default_rng(0)
    users = np.sort(draw.integers(0, 12, 4 * QUERIES - 5))
    rows = np.arange(len(users))
    every = {features.USER_ID: users, features.MOVIE_TITLE: rows, features.TIMESTAMP: rows}
    columns = every | sequences.counts(users, rows)
    known = Known(interactions(users, rows, rows, num_users=12), len(rows))
    for seed in range(2):
        windows = sequences.windows(columns, 2, seed=seed)
        read = list(windows.map(known.add).as_numpy_iterator())
        assert len(read) == sequences.steps(len(users), 2) == 2
        titles = np.concatenate([batch[features.MOVIE_TITLE] for batch in read])
        assert titles.shape == (4, CONTEXT + QUERIES)
        times = np.bincount(titles[:, CONTEXT:].ravel())
        assert len(times) == len(rows) and times.min() == 1 and times.sum() == len(rows) + 5
        # Of each query, however many of them are before its window.
        earlier = [rows[(users == users[row]) & (rows < row)] for row in titles[:, CONTEXT:].ravel()]
        marked = np.concatenate([batch[KNOWN] for batch in read]).reshape(-1, len(rows))
        assert [np.flatnonzero(mask).tolist() for mask in marked] == [titles.tolist() for titles in earlier]
        # Neighbours are neighbours in the stream, or of two users.
        steps = np.diff(titles, axis=1)
        assert np.all((steps == 1) | (np.diff(users[titles], axis=1) != 0))


def test_the_latest_of_the_stream_are_those_of_a_history() -> None:
    """Also where many ratings share a second; and who is out of the vocabulary is left out."""
    draw = np.random.default_rng(1)
    users, seconds = draw.integers(0, 4, 300), draw.integers(0, 20, 300)
    positions = draw.permutation(300)
    every = interactions(users, seconds, positions, num_users=3)
    rows = {features.MOVIE_TITLE: positions[:, np.newaxis] + 7}
    found = sequences.load(tf.data.Dataset.from_tensor_slices(rows).batch(64), [*rows], every)
    ends = np.flatnonzero(np.diff(found[sequences.ORDER], append=0) <= 0)
    assert len(ends) == 3 and len(found[sequences.ORDER]) == (users < 3).sum()
    latest = every.latest(length=20)
    for user, end in enumerate(ends):
        stream = slice(end - 19, end + 1)
        assert (found[features.MOVIE_TITLE][stream] - 7)[::-1].tolist() == latest.positions[user].tolist()
        assert found[features.TIMESTAMP][stream][::-1].tolist() == latest.timestamps[user].tolist()
        assert found[features.RATING][stream][::-1].tolist() == latest.ratings[user].tolist()
