"""What is fitted for cold-start users: a planted taste is found again from what a history tells."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from modules import features
from modules.bayesian import cold_start, rating_bias
from modules.data.dataset import Catalogue
from modules.towers.rating_head import RatingHead
from modules.towers.tower import Tower

TITLES, ROWS, WIDTH = 6, 4_000, 3
# One index more for users, and for titles, whom train does not know.
SIZES = {features.USER_ID: 3, features.MOVIE_TITLE: TITLES + 1}


@pytest.fixture
def planted():
    """A model whose candidates' vectors are set, and rows of people who like what is like what they liked."""
    draw = np.random.default_rng(0)
    query = rating_bias.RatingBiasTower(
        (features.USER_ID,), SIZES, WIDTH, np.full(TITLES + 2, 3.0, np.float32)
    )
    candidate, head = Tower((features.MOVIE_TITLE,), SIZES, WIDTH), RatingHead(None, 3.0)
    vectors = draw.normal(size=(TITLES + 1, WIDTH)).astype(np.float32)
    vectors[:, -1] = 0.0
    catalogue = Catalogue(
        movie_ids=np.arange(TITLES),
        titles=np.arange(TITLES),
        transformed={features.MOVIE_TITLE: np.arange(TITLES)[:, np.newaxis]},
    )
    taste = draw.normal(size=(ROWS, WIDTH - 1))
    seen = draw.integers(0, TITLES, (ROWS, features.TRAIN_HISTORY_LENGTH))
    rated = draw.integers(0, TITLES, ROWS)
    history_ratings = 3.0 + np.einsum("rd,rhd->rh", taste, vectors[seen, :-1])
    rows = {
        features.USER_ID: draw.integers(0, 2, (ROWS, 1)),
        features.MOVIE_TITLE: rated[:, np.newaxis],
        features.HISTORY_TITLE: seen + 1,
        features.HISTORY_RATING: history_ratings.astype(np.float32),
        features.HISTORY_AGE: np.ones_like(seen),
        features.RATING: (3.0 + np.sum(taste * vectors[rated, :-1], axis=1))[:, np.newaxis].astype(
            np.float32
        ),
    }
    batch = {name: tf.constant(values) for name, values in rows.items()}
    head(query(batch), candidate(batch))  # Makes their weights.
    zeros = np.zeros((SIZES[features.USER_ID], WIDTH), np.float32)
    query.assign({features.USER_ID: zeros, rating_bias.NAME: np.zeros((rating_bias.SIZE, WIDTH), np.float32)})
    candidate.assign({features.MOVIE_TITLE: vectors})
    return query, candidate, head, catalogue, batch


def test_a_cold_start_users_ratings_follow_from_the_history(planted) -> None:
    query, candidate, head, catalogue, batch = planted
    train, held_out = (
        {name: v[part] for name, v in batch.items()} for part in (slice(3_000), slice(3_000, None))
    )
    cold_start.fit(query, candidate, head, catalogue, [train], num_users=2)
    unknown = {**held_out, features.USER_ID: tf.fill([ROWS - 3_000, 1], tf.constant(2, tf.int64))}
    truth = held_out[features.RATING]

    def error(inputs) -> float:
        return float(tf.reduce_mean(tf.square(head(query(inputs), candidate(inputs)) - truth)))

    assert error(unknown) < 0.3 * float(tf.math.reduce_variance(truth))
    # Users of train keep their embeddings, which this model does not have.
    assert error(held_out) == pytest.approx(float(tf.reduce_mean(tf.square(truth - 3.0))), rel=1e-4)
    # Without its history nothing is known of a cold-start user.
    silent = {**unknown, features.HISTORY_TITLE: tf.zeros_like(unknown[features.HISTORY_TITLE])}
    assert error(silent) > 0.9 * float(tf.math.reduce_variance(truth))
