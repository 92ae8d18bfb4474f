"""The gates: what each model must reach, over all rows and on slices. To add a gate is to add a row here."""

from __future__ import annotations

import pydantic

from modules import features

# Where a model has the metric, it must be better than its baseline on the same rows: popularity, with
# the train titles excluded as they are when it serves; the biases of users and titles.
MUST_GAIN = (features.hit_metric(100, unseen=True), features.RMSE)

# What metrics are reported on: every value that occurs of these raw features.
SLICES = (features.USER_ACTIVITY, features.USER_GENDER, features.TITLE_POPULARITY)


class SliceGate(pydantic.BaseModel):
    """A bound that holds on slices of the eval split."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # One of SLICES.
    feature: str
    # The one value of it that is meant, whose absence from the eval split refuses the model; None for every
    # value that occurs.
    value: str | None = None
    # Worst bearable value of the metric on any of these slices.
    bound: float

    @pydantic.field_validator("feature")
    @classmethod
    def _is_reported(cls, feature: str) -> str:
        if feature not in SLICES:
            raise ValueError(f"a slice's feature must be one of {', '.join(SLICES)}; received {feature!r}")
        return feature


class Gate(pydantic.BaseModel):
    """What one metric of a model must reach. NaN reaches nothing."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Name of the metric: of evaluator_metrics.RETRIEVAL_METRICS or evaluator_metrics.RATING_METRICS.
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
    # Whether to refuse a model, whatever its gates say, unless the whole 95% interval of its gain on its
    # baseline is above 0 (MUST_GAIN).
    must_beat_baselines: bool = True

    @pydantic.field_validator("retrieval", "ranking", "multitask")
    @classmethod
    def _metrics_have_one_gate(cls, gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
        # A model without a gate is never blessed, which would only show after it was trained.
        metrics = [gate.metric for gate in gates]
        if not metrics or len(set(metrics)) < len(metrics):
            raise ValueError(
                f"a model must have gates, one for a metric; received {', '.join(metrics) or 'none'}"
            )
        return gates


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
    """Return gates a little below what the models reach, on titles that the user has not rated as in service.

    The bounds belong to MovieLens 100K under the hash split. Those of slices are looser: they are to catch a
    model that is broken on a slice, not one that is a little worse.
    """
    hit_slices = (
        SliceGate(feature=features.USER_ACTIVITY, bound=0.60),
        SliceGate(feature=features.USER_GENDER, bound=0.60),
        SliceGate(feature=features.TITLE_POPULARITY, value="head", bound=0.80),
        SliceGate(feature=features.TITLE_POPULARITY, value="torso", bound=0.45),
    )
    error_slices = (
        SliceGate(feature=features.USER_ACTIVITY, bound=1.15),
        SliceGate(feature=features.USER_GENDER, bound=1.0),
        SliceGate(feature=features.TITLE_POPULARITY, value="head", bound=0.93),
        SliceGate(feature=features.TITLE_POPULARITY, value="torso", bound=0.97),
        SliceGate(feature=features.TITLE_POPULARITY, value="tail", bound=1.15),
    )
    return GatesConfig(
        retrieval=_top_100(0.60, 0.75, hit_slices),
        ranking=(_rmse(0.89, error_slices),),
        multitask=(*_top_100(0.57, 0.71, hit_slices), _rmse(0.915, error_slices)),
    )


def retraining() -> GatesConfig:
    """Return gates for a split by time, where every run has other rows: what decides is the champion on the
    same.

    The bounds refuse what is broken. They are below what popularity and biases reach in a week of MovieLens
    100K, in which most users are new to train; so no model is asked to beat these surely.
    """
    retrieval, rating = _top_100(0.20, 0.20), _rmse(1.25)
    return GatesConfig(
        retrieval=retrieval, ranking=(rating,), multitask=(*retrieval, rating), must_beat_baselines=False
    )


def tutorial() -> GatesConfig:
    """Return gates that the tutorials' models pass; these lose to popularity and to biases, so they may."""
    retrieval, rating = _top_100(0.20, 0.20), _rmse(1.25)
    return GatesConfig(
        retrieval=retrieval, ranking=(rating,), multitask=(*retrieval, rating), must_beat_baselines=False
    )
