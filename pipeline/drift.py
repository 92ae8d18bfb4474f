"""How far data may move from one span to the next. Read by the wiring."""

from __future__ import annotations

from typing import Literal

import pydantic

from modules import features

# Raw features whose distributions can be compared: not ids, timestamps and histories, which always differ.
_COMPARABLE = {
    feature.name: feature.dtype
    for feature in features.RATING_ROW
    if feature.name not in (features.USER_ID, features.MOVIE_ID, features.TIMESTAMP)
    and feature not in features.HISTORY_FEATURES
    and feature not in features.SLICE_FEATURES
}


class DriftConfig(pydantic.BaseModel):
    """How far the newest span may be from the window before it, and what happens if it is farther.

    The distances are TFDV's: for texts the greatest difference of any one value's share (L-infinity), for
    numbers the Jensen-Shannon divergence; 0 is the least, 1 the greatest. A distance between two spans is
    drift. Since models are trained on the window and serve data like the newest span, it is their skew as
    well.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # By raw feature, above 0 and at most 1. In the weeks of MovieLens 100K the median and the greatest
    # distance from a window of 7 are: rating 0.003, 0.051; age 0.10, 0.34; gender 0.07, 0.29; occupation
    # 0.15, 0.30. Three or four weeks of 24 are above the bounds. The year has no bound by default: 0, which
    # means unknown, is so far from all other years that a few such rows decide the distance.
    bounds: dict[str, float] = {
        features.RATING: 0.03,
        features.USER_AGE: 0.25,
        features.USER_GENDER: 0.25,
        features.USER_OCCUPATION: 0.25,
        features.MOVIE_GENRES: 0.1,
    }
    # stop: the run ends before training; warn: it logs a warning and goes on.
    action: Literal["stop", "warn"] = "warn"

    @pydantic.field_validator("bounds")
    @classmethod
    def _can_be_compared(cls, bounds: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(bounds) - set(_COMPARABLE))
        wide = [name for name, bound in bounds.items() if not 0 < bound <= 1]
        if unknown or wide or not bounds:
            raise ValueError(
                f"bounds must be above 0 and at most 1, of some of {', '.join(_COMPARABLE)}; received "
                f"{', '.join(unknown or wide) or 'none'}"
            )
        return bounds

    def is_text(self, name: str) -> bool:
        """Whether a feature's measure is L-infinity."""
        return _COMPARABLE[name] is features.Dtype.BYTES
