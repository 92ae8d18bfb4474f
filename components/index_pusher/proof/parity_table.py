"""The parity table: what was compared with what, and how near it came. For figures and manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      part: path inside the bundle, such as `recommend_exact`.
      measure: what was compared, such as `score`.
      compared_with: the other side.
      queries: how many requests both answered.
      difference: the greatest; of a share, what is missing from it.
      bound: the greatest that passes.
    """

    part: str
    measure: str
    compared_with: str
    queries: int
    difference: float
    bound: float

    @property
    def passes(self) -> bool:
        """NaN does not."""
        return self.difference <= self.bound


def figures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON has them."""
    return [dataclasses.asdict(row) for row in rows]


def greatest_difference(received: np.ndarray, expected: np.ndarray, largest: float = 1.0) -> float:
    """Return the greatest absolute difference in units of `largest`; infinite where anything is no number.

    >>> greatest_difference(np.array([1.0, 3.0]), np.array([1.0, 2.0]), largest=2.0)
    0.5
    """
    if received.shape != expected.shape:
        return float("inf")
    difference = np.abs(received.astype(np.float64) - expected) / largest
    return float(np.where(np.isfinite(difference), difference, np.inf).max(initial=0.0))
