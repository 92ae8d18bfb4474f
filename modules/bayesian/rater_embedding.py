"""Describe titles by their raters: for the ranking model of head `bayesian`."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

# Name of its table, beside the tables of features.
NAME = "rater_embedding"
# Ratings that are added to those of every user and title, so that rare ones do not dominate.
_PRIOR = 5.0
# Directions with less than this share of the largest singular value are rounding errors, and left out.
_NEGLIGIBLE = 1e-5


def rater_embeddings(
    titles: np.ndarray, users: np.ndarray, num_titles: int, dim: int, seed: int
) -> np.ndarray:
    """Find the directions in which titles' raters differ most, and each title's coordinates along them.

    These are the first left singular vectors of the matrix of titles by users that holds
    `1 / sqrt((n_t + 5) (n_u + 5))` if user u, of n_u ratings, rated title t, of n_t. The stars of the rating
    do not matter: that a user rated a title at all describes the title.

    Args:
      titles, users: `[pairs]` from 0, the distinct pairs of a title and a user who rated it.
      num_titles: above all of `titles`.
      dim: number of directions.
      seed: of the iteration that finds them.
    Returns:
      `[num_titles, dim]` float32. Along every direction the mean square is 1, and the coordinate of the
      greatest size is above 0. All are 0 for a title without raters, and along directions that do not exist.
    References: Rendle, Zhang and Koren, On the Difficulty of Evaluating Baselines (2019), where a title's
      raters help to predict the rating as much as a user's titles do; Greenacre, Theory and Applications of
      Correspondence Analysis (1984), for the weights.
    """
    result = np.zeros((num_titles, dim), np.float32)
    shape = num_titles, 1 + users.max(initial=-1)
    count = min(dim, min(shape) - 1)
    if count < 1:
        return result
    of_title = np.bincount(titles, minlength=shape[0]) + _PRIOR
    of_user = np.bincount(users, minlength=shape[1]) + _PRIOR
    weights = (of_title[titles] * of_user[users]) ** -0.5
    matrix = sparse.csr_matrix((weights, (titles, users)), shape)
    vectors, values, _ = linalg.svds(matrix, k=count, random_state=seed)
    # svds returns them in ascending order.
    vectors, values = vectors[:, ::-1], values[::-1]
    vectors = vectors[:, values > _NEGLIGIBLE * values[0]]
    # Their signs would depend on how many threads the machine has.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    result[:, : vectors.shape[1]] = vectors * num_titles**0.5
    return result
