"""The gates: what each model must reach, over all rows and on slices. To add a gate is to add a row here."""

from __future__ import annotations

import pydantic

from modules import features


class SliceGate(pydantic.BaseModel):
    """A bound that holds on slices of the eval split."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # A raw feature: every value of it that occurs is a slice.
    feature: str
    # Worst bearable value of the metric on any of these slices.
    bound: float


class Gate(pydantic.BaseModel):
    """What one metric of a model must reach. NaN reaches nothing."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Name of the metric: one of evaluation.RETRIEVAL_METRICS or evaluation.RATING_METRICS.
    metric: str
    # Worst bearable value over all rows.
    bound: float
    # By how much the metric may be worse than this model's latest blessed one, 0 or more.
    max_worsening: float = pydantic.Field(ge=0)
    slices: tuple[SliceGate, ...] = ()


class GatesConfig(pydantic.BaseModel):
    """The gates of every model."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    retrieval: tuple[Gate, ...]
    ranking: tuple[Gate, ...]
    multitask: tuple[Gate, ...]


def _top_100(bound: float, unseen_bound: float, slices: tuple[SliceGate, ...] = ()) -> tuple[Gate, ...]:
    return (
        Gate(metric=features.hit_metric(100), bound=bound, max_worsening=0.01),
        Gate(
            metric=features.hit_metric(100, unseen=True),
            bound=unseen_bound,
            max_worsening=0.01,
            slices=slices,
        ),
    )


def _rmse(bound: float, slices: tuple[SliceGate, ...] = ()) -> Gate:
    return Gate(metric=features.RMSE, bound=bound, max_worsening=0.01, slices=slices)


def default() -> GatesConfig:
    """Return gates that refuse what is no better than popularity (0.30) or user and item biases (0.94)."""
    hit_slices = (
        SliceGate(feature=features.USER_ACTIVITY, bound=0.35),
        SliceGate(feature=features.USER_GENDER, bound=0.45),
        SliceGate(feature=features.TITLE_POPULARITY, bound=0.0),
    )
    error_slices = (
        SliceGate(feature=features.USER_ACTIVITY, bound=1.2),
        SliceGate(feature=features.USER_GENDER, bound=1.05),
        SliceGate(feature=features.TITLE_POPULARITY, bound=1.7),
    )
    retrieval = _top_100(0.30, 0.55, hit_slices)
    rating = _rmse(0.94, error_slices)
    return GatesConfig(retrieval=retrieval, ranking=(rating,), multitask=(*retrieval, rating))


def tutorial() -> GatesConfig:
    """Return gates that the tutorials' models pass; they lose to popularity."""
    retrieval, rating = _top_100(0.20, 0.20), _rmse(1.25)
    return GatesConfig(retrieval=retrieval, ranking=(rating,), multitask=(*retrieval, rating))
