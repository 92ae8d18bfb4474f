"""Describe titles by who rated them: for the ranking model of head `bayesian`."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

# Of its table among those of features.
NAME = "rater_embedding"
# Ratings that every user and title is taken to have beside the real ones, so that the rare do not stand out.
_PRIOR = 5.0
# Directions with less than this share of the largest singular value are left out: nothing but rounding.
_NEGLIGIBLE = 1e-5


def rater_embeddings(
    titles: np.ndarray, users: np.ndarray, num_titles: int, dim: int, seed: int
) -> np.ndarray:
    """Find the directions in which titles' raters differ most, and each title's place along them.

    These are the first left singular vectors of the matrix of titles by users that holds
    `1 / sqrt((n_t + 5) (n_u + 5))` where user u, of n_u ratings, rated title t, of n_t: what the rating was
    does not matter, that there is one says what a title is like.

    Args:
      titles, users: `[pairs]` from 0, the distinct pairs of a title and a user who rated it.
      num_titles: above all of `titles`.
      dim: number of directions.
      seed: of the iteration that finds them.
    Returns:
      `[num_titles, dim]` float32, the mean square along every direction 1, and what is greatest of it above
      0; 0 for a title that nobody rated, and along directions that there are not.
    References: Rendle, Zhang and Koren, On the Difficulty of Evaluating Baselines (2019), where what is known
      of a title's raters helps the rating as much as what is known of a user's titles; Greenacre, Theory and
      Applications of Correspondence Analysis (1984), for the weights.
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
    # Ascending, as they come.
    vectors, values = vectors[:, ::-1], values[::-1]
    vectors = vectors[:, values > _NEGLIGIBLE * values[0]]
    # Their signs would depend on how many threads the machine has.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    result[:, : vectors.shape[1]] = vectors * num_titles**0.5
    return result
