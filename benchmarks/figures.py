"""The figures that every model and baseline is measured by. NumPy and the names of columns only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from modules import features
from modules.evaluation.list_measures import Scale, discounts

# Of MovieLens: what is liked, what is disliked, and what a rating gains.
SCALE = Scale(5.0)
ALL = "all"  # The group of all rows.


class Figures(NamedTuple):
    """The figures of a model; None if it does not predict them, or no row counts.

    Attributes:
      top_100: share of eval rows whose title is among the hundred best of all titles.
      top_10_unseen, top_100_unseen: the same of the ten and the hundred best, the titles that the query's
        user has rated taken out of the candidates first; rows whose own title is taken out do not count.
      ndcg_10_unseen: mean over the same rows of 1 / log2(rank + 2), rank from 0, for titles among the ten
        best, else 0. That is NDCG@10 with one relevant title for each row.
      liked_10, disliked_10: top_10_unseen of the rows rated 4 or 5, and of those rated 1 or 2.
      graded_ndcg_10: ndcg_10_unseen with each row weighed by 2^rating - 1.
      rmse: root mean squared error of the predicted ratings.
    """

    top_100: float | None = None
    top_10_unseen: float | None = None
    top_100_unseen: float | None = None
    ndcg_10_unseen: float | None = None
    liked_10: float | None = None
    disliked_10: float | None = None
    graded_ndcg_10: float | None = None
    rmse: float | None = None


# In tables.
WORDS = {
    "top_100": "top-100",
    "top_10_unseen": "top-10, excluded",
    "top_100_unseen": "top-100, excluded",
    "ndcg_10_unseen": "NDCG@10, excluded",
    "liked_10": "liked in the ten",
    "disliked_10": "disliked in the ten",
    "graded_ndcg_10": "graded NDCG@10",
    "rmse": "RMSE",
}


def of_columns(columns: Mapping[str, np.ndarray]) -> Figures:
    """Work out what the columns of an eval signature come to.

    Args:
      columns: `[rows]` each: features.RATING, and those that the model has. A rank of NaN is no hit.
    """
    found: dict[str, float | None] = {}
    if features.RANK in columns:
        found["top_100"] = share_found(columns[features.RANK], 100)
    if features.RANK_UNSEEN in columns:
        ranks, ratings = columns[features.RANK_UNSEEN], columns[features.RATING]
        found["liked_10"] = share_found(ranks[SCALE.liked(ratings)], 10)
        found["disliked_10"] = share_found(ranks[SCALE.disliked(ratings)], 10)
        found["graded_ndcg_10"] = ndcg(ranks, SCALE.gains(ratings))
        found["top_10_unseen"] = share_found(ranks, 10)
        found["top_100_unseen"] = share_found(ranks, 100)
        found["ndcg_10_unseen"] = ndcg(ranks)
    if features.PREDICTED_RATING in columns:
        found["rmse"] = rmse(columns[features.PREDICTED_RATING], columns[features.RATING])
    return Figures(**found)


def share_found(ranks: np.ndarray, depth: int) -> float | None:
    """Return the share of ranks below a depth, without rows whose title is excluded; NaN is no hit.

    >>> share_found(np.array([0.0, 99.0, 100.0, np.nan, features.EXCLUDED_ROW]), 100)
    0.5
    """
    return _mean(_counted(ranks) < depth)


def ndcg(ranks: np.ndarray, gains: np.ndarray | None = None) -> float | None:
    """Return the mean discount of each row's title among the ten best, of the rows of `share_found`.

    Args:
      ranks: `[rows]`.
      gains: `[rows]`, weights of the rows; None for equal ones.

    >>> ranks = np.array([0.0, 2.0, 10.0, np.nan, features.EXCLUDED_ROW])
    >>> ndcg(ranks), ndcg(ranks, np.array([1.0, 2.0, 1.0, 4.0, 1.0]))
    (0.375, 0.25)
    """
    counted = _counted(ranks)
    if not len(counted):
        return None
    weights = None if gains is None else gains[ranks != features.EXCLUDED_ROW]
    return float(np.average(discounts(np.where(np.isnan(counted), np.inf, counted)), weights=weights))


def _counted(ranks: np.ndarray) -> np.ndarray:
    return ranks[ranks != features.EXCLUDED_ROW].astype(np.float64)


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def visits(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Say which rows are of which visit: `[rows]` booleans for ALL and for each of features.VISITS.

    Args:
      columns: `[rows]` features.VISIT, bytes.
    """
    named = columns[features.VISIT]
    return {
        ALL: np.ones(len(named), bool),
        **{visit: named == visit.encode() for visit in features.VISITS},
    }


def by_group(
    columns: Mapping[str, np.ndarray], groups: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, Figures]]:
    """Work out the figures of some of the rows at a time.

    Args:
      columns: as of `of_columns`.
      groups: `[rows]` booleans by name.
    Returns:
      By name the number of rows, and their figures; without the groups that no row is in.
    """
    return {
        name: (int(rows.sum()), of_columns({column: values[rows] for column, values in columns.items()}))
        for name, rows in groups.items()
        if rows.any()
    }


def rmse(predicted: np.ndarray, ratings: np.ndarray) -> float:
    """Return the root mean squared error, summed in float64."""
    return float(np.sqrt(np.mean((predicted.astype(np.float64) - ratings) ** 2)))
