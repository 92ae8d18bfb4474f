"""Measures of recommended lists, in NumPy. Pure.

A rank counts from 0; infinity stands for a title that is not in the list.

References: Burges et al., Learning to Rank using Gradient Descent (ICML 2005), for the discount and the gain
of nDCG, which LensKit has as `LogRankWeight(offset=1)`; Steck, Calibrated Recommendations (RecSys 2018),
section 3, for genres; Ziegler et al., Improving Recommendation Lists Through Topic Diversification (WWW
2005), for similarity within a list.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from modules import features

# Titles of a list that are looked at.
DEPTH = features.COVERAGE_DEPTH
# Steck's alpha, the share of the user's own genres that is mixed into the list's, so that the divergence is
# finite.
_SMOOTHING = 0.01
# Of the stars that gains are counted in.
_STARS = 5.0


@dataclasses.dataclass(frozen=True)
class Scale:
    """What a rating means, by the highest that there is.

    Four fifths of the highest rating and more is liked, two fifths and less is disliked: 4 and 2 of 5 stars.

    >>> scale = Scale(5.0)
    >>> scale.liked(np.array([3.5, 4.0])).tolist(), scale.disliked(np.array([2.0, 2.5])).tolist()
    ([False, True], [True, False])
    >>> scale.gains(np.array([1.0, 5.0])).tolist()
    [1.0, 31.0]
    """

    highest: float

    @property
    def least_liked(self) -> float:
        """The lowest rating of a title that was liked."""
        return self.highest * 4 / 5

    @property
    def most_disliked(self) -> float:
        """The highest rating of a title that was disliked."""
        return self.highest * 2 / 5

    def liked(self, ratings: np.ndarray) -> np.ndarray:
        """Tell which ratings say that a title was liked."""
        return ratings >= self.least_liked

    def disliked(self, ratings: np.ndarray) -> np.ndarray:
        """Tell which ratings say that a title was disliked."""
        return ratings <= self.most_disliked

    def gains(self, ratings: np.ndarray) -> np.ndarray:
        """Return what a rated title is worth in a list, 2^stars - 1 where the highest rating is 5 stars."""
        return np.exp2(_STARS / self.highest * ratings.astype(np.float64)) - 1


def discounts(ranks: np.ndarray) -> np.ndarray:
    """Return what a place in a list is worth: 1 / log2(rank + 2) among the first DEPTH, 0 beyond.

    >>> discounts(np.array([0.0, 2.0, 10.0, np.inf])).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    inside = ranks < DEPTH
    return np.where(inside, 1 / np.log2(np.where(inside, ranks, 0) + 2), 0.0)


def reciprocals(ranks: np.ndarray) -> np.ndarray:
    """Return 1 / (rank + 1) among the first DEPTH, 0 beyond."""
    inside = ranks < DEPTH
    return np.where(inside, 1 / (np.where(inside, ranks, 0) + 1.0), 0.0)


def ndcg(gains: np.ndarray, all_gains: np.ndarray) -> float:
    """Divide a list's discounted gains by the greatest that there could be.

    Args:
      gains: `[DEPTH or fewer]` of the list's titles, in their order, 0 for one without a rating.
      all_gains: of all titles that are rated, in any order.
    Returns:
      From 0 to 1; NaN where no title is worth anything.

    >>> ndcg(np.array([0.0, 1.0]), np.array([1.0])) == 1 / np.log2(3)
    True
    """
    best = np.sort(all_gains)[::-1][:DEPTH]
    ideal = float(best @ discounts(np.arange(len(best))))
    return float(gains @ discounts(np.arange(len(gains)))) / ideal if ideal else float("nan")


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient of how often each candidate is shown: 0 is equally often, 1 is one alone.

    >>> gini(np.array([1, 1, 1, 1])), gini(np.array([0, 0, 0, 4]))
    (0.0, 0.75)
    """
    ordered = np.sort(counts).astype(np.float64)
    size = len(ordered)
    weights = 2 * np.arange(1, size + 1) - size - 1
    return float(weights @ ordered / (size * ordered.sum())) if ordered.sum() else float("nan")


def diversity(genres: np.ndarray) -> float:
    """Return 1 - the mean Jaccard similarity of the pairs in a list.

    Args:
      genres: `[titles, genres]` bool, titles with at least one genre.
    Returns:
      0 where all have the same genres, 1 where no two have one in common; NaN for fewer than two titles.

    >>> diversity(np.array([[True, False], [True, False], [False, True]]))
    0.6666666666666667
    """
    if len(genres) < 2:
        return float("nan")
    counts = genres.astype(np.float64)
    common = counts @ counts.T
    sizes = counts.sum(axis=1)
    pairs = np.triu_indices(len(counts), 1)
    union = sizes[:, np.newaxis] + sizes - common
    return float(1 - (common[pairs] / union[pairs]).mean())


def genre_shares(genres: np.ndarray) -> np.ndarray:
    """Return how much of some titles belongs to each genre; a title is divided equally among its own.

    Args:
      genres: `[titles, genres]` bool, titles with at least one genre.
    Returns:
      `[genres]`, with a sum of 1; all NaN where there is no title.
    """
    if not len(genres):
        return np.full(genres.shape[1], np.nan)
    return (genres / genres.sum(axis=1, keepdims=True)).mean(axis=0)


def miscalibration(own: np.ndarray, shown: np.ndarray) -> float:
    """Return the Kullback-Leibler divergence of the shown genres from a user's own, 0 where they are alike.

    Args:
      own, shown: `[genres]`, of `genre_shares`.
    References: Steck (2018), equations 4 and 5.

    >>> miscalibration(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    0.0
    """
    mixed = (1 - _SMOOTHING) * shown + _SMOOTHING * own
    present = own > 0
    if np.isnan(own).any() or np.isnan(shown).any():
        return float("nan")
    return float(own[present] @ np.log(own[present] / mixed[present]))
