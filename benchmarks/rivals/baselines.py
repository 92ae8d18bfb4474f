"""The pipeline's own baselines, popularity and biases, under the benchmarks' protocol. NumPy only."""

from __future__ import annotations

import numpy as np

from benchmarks import figures
from benchmarks.figures import Figures
from benchmarks.protocol import Ratings
from modules import features
from modules.data import baselines
from modules.data.baselines import SWEEPS, TITLE_WEIGHT, USER_WEIGHT
from modules.data.baselines import shrunk_mean as shrunk_mean

_BLOCK = 4096


def popularity(train: Ratings, held_out: Ratings) -> Figures:
    """Recommend to everybody what has the most ratings."""
    counts = np.bincount(train.titles, minlength=len(train.title_names))
    scores = np.broadcast_to(baselines.popularity_scores(counts), (len(train.user_ids), len(counts)))
    seen = np.zeros(scores.shape, bool)
    seen[train.users, train.titles] = True
    return Figures(
        top_100=_hits(scores, held_out), top_100_unseen=_hits(np.where(seen, -np.inf, scores), held_out)
    )


def ranks(scores: np.ndarray, users: np.ndarray, titles: np.ndarray) -> np.ndarray:
    """Count the titles that score at least as high as the rated one, as ranking_metrics.ranks does.

    Args:
      scores: `[users, titles]`, minus infinity where a title is no candidate.
      users, titles: `[rows]` whose rank of what.
    Returns:
      `[rows]` from 0, best; features.EXCLUDED_ROW where the rated title is no candidate.
    """
    own = scores[users, titles]
    result = np.empty(len(users))
    for start in range(0, len(users), _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = (scores[users[block]] >= own[block, None]).sum(axis=1) - 1
    return np.where(np.isneginf(own), features.EXCLUDED_ROW, result)


def _hits(scores: np.ndarray, held_out: Ratings) -> float:
    return figures.share_found(ranks(scores, held_out.users, held_out.titles))


def bias_terms(
    train: Ratings, user_weight: float = USER_WEIGHT, title_weight: float = TITLE_WEIGHT, sweeps: int = SWEEPS
) -> tuple[float, np.ndarray, np.ndarray]:
    """Fit the mean rating, `[users]` and `[titles]` biases, see modules.data.baselines.biases."""
    fitted = baselines.biases(
        train.users,
        train.titles,
        train.ratings,
        len(train.user_ids),
        len(train.title_names),
        user_weight,
        title_weight,
        sweeps,
    )
    return fitted.mean, fitted.users, fitted.titles


def biases(
    train: Ratings,
    held_out: Ratings,
    user_weight: float = USER_WEIGHT,
    title_weight: float = TITLE_WEIGHT,
    sweeps: int = SWEEPS,
) -> Figures:
    """Predict the mean rating plus what the user and the title deviate from it."""
    mean, user_bias, title_bias = bias_terms(train, user_weight, title_weight, sweeps)
    predicted = mean + user_bias[held_out.users] + title_bias[held_out.titles]
    predicted = np.clip(predicted, train.ratings.min(), train.ratings.max())
    return Figures(rmse=figures.rmse(predicted, held_out.ratings))
