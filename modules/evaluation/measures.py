"""What the Evaluators' metrics are made of, in NumPy and SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

# Buckets of predicted ratings, in stars: below the first, from one to the next, from the last on.
BUCKET_EDGES = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5)

_RESAMPLES = 1000
_SEED = 0
# Users that are weighted at once, which bounds the memory that their weights take.
_BLOCK = 8192
# Users from which the intervals hold: under no true gain their lower end is above 0 in 2.5% to 3.5% of cases.
MIN_USERS = 5


def hits(ranks: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Return whether each rank is within each depth, `[rows, depths]` as numbers; NaN where a rank is NaN.

    Args:
      ranks: `[rows, 1]`, from 0; a negative one is within no depth.
      depths: `[depths]`.

    >>> hits(np.array([[7.0], [float("nan")]]), np.array([5, 10])).tolist()
    [[0.0, 1.0], [nan, nan]]
    """
    return np.where(np.isnan(ranks), np.nan, (ranks >= 0) & (ranks < depths))


def means(totals: np.ndarray) -> np.ndarray:
    """Turn `[..., 1 + columns]` sums, the number of rows first, into means over rows, `[..., columns]`."""
    return totals[..., 1:] / totals[..., :1]


def reliability(predicted: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Sum up the rows of each bucket of predictions.

    Args:
      predicted, ratings: `[rows]`; a prediction of NaN spoils the last bucket.
    Returns:
      `[buckets, 3]`: rows, sum of predictions, sum of ratings.

    >>> reliability(np.array([3.1, 3.4, 5.0]), np.array([3.0, 5.0, 4.5]))[[5, 8]].tolist()
    [[2.0, 6.5, 8.0], [1.0, 5.0, 4.5]]
    """
    buckets = np.searchsorted(BUCKET_EDGES, predicted, side="right")
    values = (np.ones_like(predicted), predicted, ratings)
    size = len(BUCKET_EDGES) + 1
    return np.stack([np.bincount(buckets, weights=value, minlength=size) for value in values], axis=1)


def calibration_error(sums: np.ndarray) -> float:
    """Average the distance of mean rating and mean prediction over buckets, each as often as it has rows.

    Args:
      sums: of `reliability`.

    >>> calibration_error(np.array([[2.0, 6.5, 8.0], [0.0, 0.0, 0.0], [1.0, 5.0, 4.5]])) == 2.0 / 3
    True
    """
    return float(np.abs(sums[:, 1] - sums[:, 2]).sum() / sums[:, 0].sum())


def interval(
    sums: np.ndarray, finish: Callable[[np.ndarray], np.ndarray], users: int
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate 95% intervals by the Poisson bootstrap over users.

    The bootstrap's distances from the figure are too small where users are few: a resample's variance lacks
    the factor n / (n - 1), and its quantiles are the normal distribution's, not Student's. Both are put
    right.

    Args:
      sums: `[users, columns]` sums of each user's rows, their number first.
      finish: from `[..., columns]` totals to `[..., metrics]`; NaN where a resample has nothing to measure.
      users: how many of them have rows that every metric counts.
    Returns:
      Lower and upper ends, `[metrics]` each. Below MIN_USERS nothing is known, and they are minus and plus
      infinity. NaN for a metric that is NaN.
    References: Chamandy et al., Estimating Uncertainty for Massive Data Streams (2012), section 3;
      Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 5.
    """
    figures = finish(sums.sum(axis=0))
    if users < MIN_USERS:
        unknown = np.where(np.isnan(figures), np.nan, np.inf)
        return -unknown, unknown
    random = np.random.default_rng(_SEED)
    resampled = np.zeros((_RESAMPLES, sums.shape[1]))
    for start in range(0, len(sums), _BLOCK):
        block = sums[start : start + _BLOCK]
        resampled += random.poisson(1.0, (_RESAMPLES, len(block))).astype(np.float64) @ block
    # A resample may leave out every user of a small slice.
    resampled = finish(resampled[resampled[:, 0] > 0])
    ends = np.nanquantile(np.where(np.isnan(figures), 0.0, resampled), [0.025, 0.975], axis=0)
    factor = math.sqrt(users / (users - 1)) * stats.t.ppf(0.975, users - 1) / stats.norm.ppf(0.975)
    lower, upper = figures + factor * (ends - figures)
    return lower, upper
