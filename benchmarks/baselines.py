"""What needs no model: popularity, and the biases of users and titles. NumPy only."""

from __future__ import annotations

import numpy as np

from benchmarks import figures
from benchmarks.figures import TOP_K, Figures
from benchmarks.protocol import Ratings

_BLOCK = 4096


def popularity(train: Ratings, held_out: Ratings) -> Figures:
    """Recommend to everybody what has the most ratings."""
    counts = np.bincount(train.titles, minlength=len(train.title_names)).astype(np.float64)
    scores = np.broadcast_to(counts, (len(train.user_ids), len(counts)))
    seen = np.zeros(scores.shape, bool)
    seen[train.users, train.titles] = True
    return Figures(
        top_100=_hits(scores, held_out), top_100_unseen=_hits(np.where(seen, -np.inf, scores), held_out)
    )


def ranks(scores: np.ndarray, users: np.ndarray, titles: np.ndarray) -> np.ndarray:
    """Count the titles that score at least as high as the rated one, as modules.metrics.ranks does.

    Args:
      scores: `[users, titles]`, minus infinity where a title is no candidate.
      users, titles: `[rows]` whose rank of what.
    Returns:
      `[rows]` from 0, best; infinity where the rated title is no candidate.
    """
    own = scores[users, titles]
    result = np.empty(len(users))
    for start in range(0, len(users), _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = (scores[users[block]] >= own[block, None]).sum(axis=1) - 1
    return np.where(np.isneginf(own), np.inf, result)


def _hits(scores: np.ndarray, held_out: Ratings) -> float:
    return float(np.mean(ranks(scores, held_out.users, held_out.titles) < TOP_K))


def biases(
    train: Ratings, held_out: Ratings, user_weight: float = 5.0, title_weight: float = 3.0, sweeps: int = 10
) -> Figures:
    """Predict the mean rating plus what the user and the title deviate from it.

    Args:
      user_weight, title_weight: of a deviation's square, in ratings; the defaults are the strongest of
        those tried on eval, for a baseline should be hard to beat.
      sweeps: alternations between users and titles.
    References: Koren, Factor in the Neighbors (TKDD 2010), section 2.1.
    """
    mean = train.ratings.mean()
    user_bias, title_bias = np.zeros(len(train.user_ids)), np.zeros(len(train.title_names))
    for _ in range(sweeps):
        rest = train.ratings - mean - user_bias[train.users]
        title_bias = _shrunk_mean(rest, train.titles, len(title_bias), title_weight)
        rest = train.ratings - mean - title_bias[train.titles]
        user_bias = _shrunk_mean(rest, train.users, len(user_bias), user_weight)
    predicted = mean + user_bias[held_out.users] + title_bias[held_out.titles]
    predicted = np.clip(predicted, train.ratings.min(), train.ratings.max())
    return Figures(rmse=figures.rmse(predicted, held_out.ratings))


def _shrunk_mean(values: np.ndarray, groups: np.ndarray, num_groups: int, weight: float) -> np.ndarray:
    sums = np.bincount(groups, weights=values, minlength=num_groups)
    return sums / (np.bincount(groups, minlength=num_groups) + weight)
