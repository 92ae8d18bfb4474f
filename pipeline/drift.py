"""How far data may move from one span to the next. Read by the wiring."""

from __future__ import annotations

from typing import Literal

import pydantic

from modules import features

# Of raw features: what is sure to move, or is another in every row, tells nothing.
_COMPARABLE = {
    feature.name: feature.dtype
    for feature in features.RATING_ROW
    if feature.name not in (features.USER_ID, features.MOVIE_ID, features.TIMESTAMP)
    and feature not in features.HISTORY_FEATURES
    and feature not in features.SLICE_FEATURES
}


class DriftConfig(pydantic.BaseModel):
    """How far the newest span may be from the window before it, and what is done where it is farther.

    TFDV's measures: of texts the greatest difference of any one value's share (L-infinity), of numbers the
    Jensen-Shannon divergence; 0 is none, 1 the greatest. What lies between two spans is drift; since the
    window is what models are trained on and the newest span what they are about to serve, it is their skew as
    well.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # By raw feature, above 0 and at most 1. In the weeks of MovieLens 100K the distances from a window of 7
    # are at the median, and at most: rating 0.003, 0.051; age 0.10, 0.34; gender 0.07, 0.29; occupation 0.15,
    # 0.30. The bounds tell of three weeks or four in 24. Not of the year by default: 0, which stands for
    # none, is so far from all others that a few rows with it decide the measure.
    bounds: dict[str, float] = {
        features.RATING: 0.03,
        features.USER_AGE: 0.25,
        features.USER_GENDER: 0.25,
        features.USER_OCCUPATION: 0.25,
        features.MOVIE_GENRES: 0.1,
    }
    # stop: nothing is trained; warn: it is told, and goes on.
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
