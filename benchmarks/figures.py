"""The figures that every model and baseline is measured by. NumPy and the names of columns only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from modules import features

TOP_K = 100


class Figures(NamedTuple):
    """The figures of a model; None if it does not predict them.

    Attributes:
      top_100: share of eval rows whose title is among the hundred best of all titles.
      top_100_unseen: the same, the user's train titles taken out of the candidates first.
      rmse: root mean squared error of the predicted ratings.
    """

    top_100: float | None = None
    top_100_unseen: float | None = None
    rmse: float | None = None


def of_columns(columns: Mapping[str, np.ndarray]) -> Figures:
    """Work out what the columns of an eval signature come to.

    Args:
      columns: `[rows]` each: features.RATING, and those that the model has. A rank of NaN is no hit.
    """
    hits = [
        share_found(columns[rank]) if rank in columns else None
        for rank in (features.RANK, features.RANK_UNSEEN)
    ]
    predicted = columns.get(features.PREDICTED_RATING)
    return Figures(hits[0], hits[1], None if predicted is None else rmse(predicted, columns[features.RATING]))


def share_found(ranks: np.ndarray, depth: int = TOP_K) -> float:
    """Return the share of ranks below a depth, without rows whose title is excluded; NaN is no hit.

    >>> share_found(np.array([0.0, 99.0, 100.0, np.nan, features.EXCLUDED_ROW]))
    0.5
    """
    return float(np.mean(ranks[ranks != features.EXCLUDED_ROW] < depth))


def by_visit(columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Work out the figures of all rows, and of those of each visit that occurs.

    Args:
      columns: as of `of_columns`, and features.VISIT as bytes.
    Returns:
      By visit the number of `rows`, and by name the figures that the model has; also `top_10_unseen`.
    """
    visits = columns[features.VISIT]
    groups = {visit: visits == visit.encode() for visit in features.VISITS}
    groups = {"all": np.ones(len(visits), bool), **groups}
    result: dict[str, dict[str, float]] = {}
    for visit, (rows, figures) in by_group(columns, groups).items():
        found = {name: value for name, value in figures._asdict().items() if value is not None}
        if features.RANK_UNSEEN in columns:
            found["top_10_unseen"] = share_found(columns[features.RANK_UNSEEN][groups[visit]], 10)
        result[visit] = {"rows": rows, **found}
    return result


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
