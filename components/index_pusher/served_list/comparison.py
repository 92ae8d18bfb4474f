"""A served list beside another order. Pure; gates.py decides on it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

# The orders that a served list is held against, in words: of the same candidates, and the list of the version
# in service at the destination.
RETRIEVAL_ALONE, POPULARITY, ITEM_ITEM = "retrieval alone", "popularity", "item-item"
IN_SERVICE = "the version in service"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A list beside another order on the same ratings, by graded nDCG.

    Attributes:
      compared_with: the other order.
      reference: its figure.
      gain: by how much the list is better; lower, upper: 95% interval over users, infinite for too few users,
        NaN where no rating has a gain.
      gated: whether a list that is surely worse is refused.
      slice: such as `visit=first`; empty for all ratings.
    """

    compared_with: str
    reference: float
    gain: float
    lower: float
    upper: float
    gated: bool = True
    slice: str = ""

    @property
    def passes(self) -> bool:
        """The list is not surely worse. Without an interval nothing is known, which only passes on slices."""
        known = math.isfinite(self.upper)
        return not self.gated or (self.upper >= 0 if known else bool(self.slice))

    def row(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        ends = {name: finite(getattr(self, name)) for name in ("reference", "gain", "lower", "upper")}
        verdict = {"gated": self.gated, "passes": self.passes}
        return {"compared_with": self.compared_with, "slice": self.slice, **ends, **verdict}


def finite(value: float) -> float | None:
    """Return what JSON can hold, which has no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None
