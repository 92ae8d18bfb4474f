"""The gates: what each model must reach, over all rows and on slices. To add a gate is to add a row here."""

from __future__ import annotations

import pydantic

from components.movielens_example_gen.config import DataConfig, SplitConfig
from modules import features

# What metrics are reported on: every value that occurs of these raw features.
SLICES = (features.USER_ACTIVITY, features.USER_GENDER, features.VISIT, features.TITLE_POPULARITY)
# On which of them a metric is compared with its baselines. Not hits by title: popularity finds nearly all of
# the titles that it puts first, and none of the others, so that no good model is better on the former.
COMPARED_SLICES = {
    features.GATED_HITS: (features.USER_ACTIVITY, features.USER_GENDER, features.VISIT),
    features.RMSE: SLICES,
}


class SliceGate(pydantic.BaseModel):
    """A bound that holds on every slice by a feature that the eval split has."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # One of SLICES.
    feature: str
    # Worst bearable value of the metric on any of these slices.
    bound: float

    @pydantic.field_validator("feature")
    @classmethod
    def _is_reported(cls, feature: str) -> str:
        if feature not in SLICES:
            raise ValueError(f"a slice's feature must be one of {', '.join(SLICES)}; received {feature!r}")
        return feature


class Gate(pydantic.BaseModel):
    """A bound of one metric of a model. NaN reaches nothing."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Name of the metric: of evaluator_metrics.RETRIEVAL_METRICS or evaluator_metrics.RATING_METRICS.
    metric: str
    # Worst bearable value over all rows.
    bound: float
    # Bounds of the same metric on slices.
    slices: tuple[SliceGate, ...] = ()


class ModelGates(pydantic.BaseModel):
    """Bounds of every model."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Bounds of one model, at most one of a metric.
    retrieval: tuple[Gate, ...] = ()
    ranking: tuple[Gate, ...] = ()
    multitask: tuple[Gate, ...] = ()

    @pydantic.field_validator("retrieval", "ranking", "multitask")
    @classmethod
    def _metrics_have_one_gate(cls, gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
        metrics = [gate.metric for gate in gates]
        if len(set(metrics)) < len(metrics):
            raise ValueError(f"a model must have one gate for a metric; received {', '.join(metrics)}")
        return gates


class ReleaseGates(ModelGates):
    """Bounds that were measured on one release and split, and hold there alone."""

    # Name of the release of MovieLens.
    release: str
    # The split, whatever its seed.
    split: SplitConfig = SplitConfig()

    def hold_for(self, data: DataConfig) -> bool:
        """Say whether the data are the ones that the bounds were measured on."""
        split = data.split.model_copy(update={"seed": self.split.seed})
        measured = DataConfig(release=self.release, split=self.split, max_bad_share=data.max_bad_share)
        return data.model_copy(update={"split": split}) == measured


class GatesConfig(ModelGates):
    """The gates of every model: bounds, which hold on any data, and comparisons on the same rows.

    A model beats another where the whole 95% interval of its gain is above 0. No model may be beaten by its
    champion, this model's latest blessed version.
    """

    # True: a model must beat its baselines (features.BASELINES) over all rows, and none of them may beat it
    # on a slice of COMPARED_SLICES. False: a model must reach its bounds or, if it has none, chance
    # (features.CHANCE) must not beat it.
    must_beat_baselines: bool = True
    # More bounds, where the data are those that they were measured on.
    release: ReleaseGates | None = None

    def bounds(self, model: str, data: DataConfig) -> tuple[Gate, ...]:
        """Return the bounds of a model on some data; one that holds on any data replaces the release's."""
        own: tuple[Gate, ...] = getattr(self, model)
        if not self.release or not self.release.hold_for(data):
            return own
        named = {gate.metric for gate in own}
        return (*own, *(gate for gate in getattr(self.release, model) if gate.metric not in named))


def _top_100(bound: float, unseen_bound: float, slices: tuple[SliceGate, ...] = ()) -> tuple[Gate, ...]:
    return (
        Gate(metric=features.hit_metric(100), bound=bound),
        Gate(metric=features.hit_metric(100, unseen=True), bound=unseen_bound, slices=slices),
    )


def default() -> GatesConfig:
    """Return comparisons for any data, and bounds for MovieLens 100K a little below what the models reach.

    The bounds of slices are looser: they are to catch a model that is broken on a slice, not one that is a
    little worse.
    """
    hit_slices = tuple(
        SliceGate(feature=feature, bound=0.60) for feature in (features.USER_ACTIVITY, features.USER_GENDER)
    )
    error_slices = (
        SliceGate(feature=features.USER_ACTIVITY, bound=1.15),
        SliceGate(feature=features.USER_GENDER, bound=1.0),
    )
    release = ReleaseGates(
        release="ml-100k",
        retrieval=_top_100(0.60, 0.75, hit_slices),
        ranking=(Gate(metric=features.RMSE, bound=0.89, slices=error_slices),),
        multitask=(
            *_top_100(0.57, 0.71, hit_slices),
            Gate(metric=features.RMSE, bound=0.915, slices=error_slices),
        ),
    )
    return GatesConfig(release=release)


def retraining() -> GatesConfig:
    """Return gates for a split by time, where the champion decides, on the same rows.

    In a week most users may be new to train, and a model need not beat popularity and biases there.
    """
    return GatesConfig(must_beat_baselines=False)


def tutorial() -> GatesConfig:
    """Return gates that the tutorials' models pass; these lose to popularity and to biases, so they may."""
    return GatesConfig(must_beat_baselines=False)
