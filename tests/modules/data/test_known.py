"""Which candidates a user had rated before a query."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from modules.data.dataset import Interactions
from modules.data.known import Known

USERS, CANDIDATES, SECONDS = 5, 40, 12


@pytest.fixture(scope="module")
def every() -> Interactions:
    """Ratings in no order, several in a second; the last user is out of the vocabulary."""
    draw = np.random.default_rng(0)
    rows = 200
    return Interactions(
        users=draw.integers(0, USERS, rows).astype(np.int32),
        positions=draw.integers(0, CANDIDATES, rows).astype(np.int32),
        ratings=np.full(rows, 3.0, np.float32),
        timestamps=1_000_000_000 + draw.integers(0, SECONDS, rows),
        mean_rating=3.0,
        rating_range=(1.0, 5.0),
        user_features={},
        num_users=USERS - 1,
    )


def test_the_titles_of_earlier_seconds_are_marked_and_no_others(every: Interactions) -> None:
    users, seconds = np.meshgrid(np.arange(USERS), 1_000_000_000 + np.arange(-1, SECONDS + 1))
    users, seconds = users.ravel(), seconds.ravel()
    known = Known(every, CANDIDATES).mark(tf.constant(users), tf.constant(seconds)).numpy()
    assert known.shape == (len(users), CANDIDATES)
    for mask, user, second in zip(known, users, seconds, strict=True):
        rated = (every.users == user) & (every.timestamps < second) & (user < every.num_users)
        assert np.flatnonzero(mask).tolist() == np.unique(every.positions[rated]).tolist()
    assert known.any(axis=1).sum() == (USERS - 1) * SECONDS
