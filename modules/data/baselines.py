"""Baselines from the train split: popularity, and the biases of users and titles. NumPy only."""

from __future__ import annotations

import dataclasses

import numpy as np

# Weights that shrink a bias to 0, in ratings: the bias of a user with as many ratings is halved. Of the
# weights that `python -m benchmarks.rivals.baselines` compares, these have the least error. It reads train
# rows alone, those of the hash split of MovieLens 100K, and holds out each eighth of them in turn.
USER_WEIGHT = 5.0
TITLE_WEIGHT = 2.0
SWEEPS = 10


def popularity_scores(counts: np.ndarray) -> np.ndarray:
    """Score every candidate by its rank by number of ratings.

    Titles with equal numbers of ratings are in the order of the catalogue: a served list has some order too,
    and a tie would count against the baseline.

    Args:
      counts: `[n]` ratings of every candidate.
    Returns:
      `[n]` float32, n for the first rank, 1 for the last.

    >>> popularity_scores(np.array([2, 7, 2])).tolist()
    [2.0, 3.0, 1.0]
    """
    scores = np.empty(len(counts), np.float32)
    scores[np.argsort(-counts, kind="stable")] = np.arange(len(counts), 0, -1)
    return scores


@dataclasses.dataclass(frozen=True)
class Biases:
    """Deviations of users and titles from the mean rating.

    Attributes:
      mean: of all ratings.
      users: `[users]` float64; 0 for a user without ratings.
      titles: `[titles]` float64; 0 for a title without ratings.
    """

    mean: float
    users: np.ndarray
    titles: np.ndarray


def biases(
    users: np.ndarray,
    titles: np.ndarray,
    ratings: np.ndarray,
    num_users: int,
    num_titles: int,
    user_weight: float = USER_WEIGHT,
    title_weight: float = TITLE_WEIGHT,
    sweeps: int = SWEEPS,
) -> Biases:
    """Fit the mean rating plus a bias of the user and one of the title, by ridge regression.

    Args:
      users, titles: `[rows]` index.
      ratings: `[rows]`.
      num_users, num_titles: numbers of indices.
      user_weight, title_weight: weight of a bias' square, in ratings.
      sweeps: alternations between users and titles.
    References: Koren, Factor in the Neighbors (TKDD 2010), section 2.1.
    """
    mean = float(np.mean(ratings, dtype=np.float64))
    user_bias, title_bias = np.zeros(num_users), np.zeros(num_titles)
    for _ in range(sweeps):
        title_bias = shrunk_mean(ratings - mean - user_bias[users], titles, num_titles, title_weight)
        user_bias = shrunk_mean(ratings - mean - title_bias[titles], users, num_users, user_weight)
    return Biases(mean, user_bias, title_bias)


def shrunk_mean(values: np.ndarray, groups: np.ndarray, num_groups: int, weight: float) -> np.ndarray:
    """Average the values of every group together with `weight` zeros, `[num_groups]`.

    >>> shrunk_mean(np.array([1.0, 2.0, 6.0]), np.array([2, 0, 0]), num_groups=3, weight=2).tolist()
    [2.0, 0.0, 0.3333333333333333]
    """
    sums = np.bincount(groups, weights=values, minlength=num_groups)
    return sums / (np.bincount(groups, minlength=num_groups) + weight)
