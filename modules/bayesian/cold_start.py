"""Fit the part of the ranking model of head `bayesian` that serves cold-start users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from modules import features
from modules.bayesian.rating_bias import RatingBiasTower
from modules.data.dataset import Catalogue
from modules.towers.rating_head import RatingHead
from modules.towers.tower import Tower

# Weight of the squares, in ratings; of 1, 10 and 100 the best on the last fifth of train, cut by time.
_PENALTY = 10.0


def fit(
    query_tower: RatingBiasTower,
    candidate_tower: Tower,
    head: RatingHead,
    catalogue: Catalogue,
    batches: Iterable[Mapping[str, tf.Tensor]],
    num_users: int,
) -> None:
    """Fit the query tower's matrix for cold-start users, by ridge regression on train without users.

    The candidates' embeddings stay those that were fitted with users known. The embedding of a cold-start
    user is then linear in `RatingBiasTower.history_summary`, as in folding-in, except that it does not depend
    on the number of ratings.

    Args:
      query_tower: with its tables assigned.
      candidate_tower, head: of the same model.
      catalogue: of all candidates.
      batches: transformed ratings of train.
      num_users: of train; also the index of unknown users.
    References: Sarwar et al., Incremental SVD-Based Algorithms for Highly Scalable Recommender Systems (ICCIT
      2002), for folding in.
    """
    embedded = candidate_tower({name: tf.constant(v) for name, v in catalogue.transformed.items()}).numpy()
    width = embedded.shape[1]
    indices = catalogue.transformed[features.MOVIE_TITLE][:, 0]
    rated = indices < query_tower.num_titles  # All others share one index.
    vectors = np.zeros((query_tower.num_titles + 2, width - 1), np.float32)
    vectors[indices[rated] + 1] = embedded[rated, :-1]
    rows = query_tower.summary_size
    query_tower.assign_cold_start(vectors, np.zeros((rows, width), np.float32))
    gram = np.eye(rows * width) * _PENALTY
    towards = np.zeros(rows * width)
    for batch in batches:
        users = batch[features.USER_ID]
        unknown = tf.fill(tf.shape(users), tf.constant(num_users, users.dtype))
        cold_start = {**batch, features.USER_ID: unknown}
        candidate = candidate_tower(batch)
        error = batch[features.RATING] - head(query_tower(cold_start), candidate)
        factors = tf.concat([candidate[:, :-1], tf.ones_like(candidate[:, -1:])], axis=1)
        products = query_tower.history_summary(cold_start)[:, :, tf.newaxis] * factors[:, tf.newaxis]
        design = tf.reshape(products, [-1, rows * width])
        gram += tf.matmul(design, design, transpose_a=True).numpy()
        towards += tf.matmul(design, error, transpose_a=True).numpy()[:, 0]
    matrix = np.linalg.solve(gram, towards).reshape(rows, width)
    query_tower.assign_cold_start(vectors, matrix.astype(np.float32))
