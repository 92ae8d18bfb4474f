"""The search spaces of the Tuners, as data.

The compiler composes them into the pipeline's config, and the Tuners get them as JSON; standard library and
pydantic only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from common.validation import in_words
from modules.hyperparameters import (
    BayesianRankingConfig,
    GradientRankingConfig,
    ModelsConfig,
    MultitaskConfig,
    TrainingConfig,
)


class Range(pydantic.BaseModel):
    """Numbers from low to high, evenly by their logarithm."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Above 0.
    low: float = pydantic.Field(gt=0, allow_inf_nan=False)
    # Above low.
    high: float = pydantic.Field(allow_inf_nan=False)

    @pydantic.model_validator(mode="after")
    def _low_is_below_high(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be below high; received {self.low:g} and {self.high:g}")
        return self


Config = TypeVar("Config", bound=TrainingConfig)
Choices = tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
# By field of a model's hyper-parameters; a dot leads into a field that has fields: `softmax.temperature`.
Space = Mapping[str, Range | Choices]

_FITTING: Space = {"learning_rate": Range(low=5e-4, high=2e-2), "epochs": (4, 6, 8, 12)}
_RETRIEVAL: Space = {**_FITTING, "embedding_dim": (32, 64, 128), "l2": (5.0, 10.0, 20.0, 40.0)}
_RANKING: Space = {**_FITTING, "embedding_dim": (8, 16, 32), "l2": (0.03, 0.06, 0.1, 0.2)}
_BAYESIAN: Space = {
    "sample_dim": (6, 8, 10, 12),
    "sweeps": (100, 150, 250),
    "embedding_dim": (8, 16, 32),
}
_MULTITASK: Space = {
    **_FITTING,
    "embedding_dim": (32, 64, 128),
    "l2": (0.01, 0.03, 0.1),
    "retrieval_weight": Range(low=1e-4, high=1e-2),
}


def default_space(model: TrainingConfig) -> Space:
    """Return a model's search space if none is configured.

    >>> from modules import hyperparameters
    >>> list(default_space(hyperparameters.tutorial().ranking))
    ['learning_rate', 'epochs', 'embedding_dim', 'l2']
    """
    if isinstance(model, MultitaskConfig):
        return _MULTITASK
    if isinstance(model, BayesianRankingConfig):
        return _BAYESIAN
    return _RANKING if isinstance(model, GradientRankingConfig) else _RETRIEVAL


class _Searching(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Trials at most, 1 or more. The first is that of the model's own values.
    max_trials: int = pydantic.Field(20, ge=1)
    # Share of the train split's rows that trials are evaluated on and not fitted to, between 0 and 1: the
    # latest rows of each user.
    held_out: float = pydantic.Field(0.125, gt=0, lt=1)
    # Seed of the trials' values; also rounds, by a hash of the user, each user's number of held-out rows.
    seed: int = pydantic.Field(42, ge=0)


class SearchConfig(_Searching):
    """The search for one model's hyper-parameters."""

    space: Space


class TuningConfig(_Searching):
    """The searches for all models' hyper-parameters."""

    # Search spaces; a model's own values are always added. None: see default_space.
    retrieval: Space | None = None
    ranking: Space | None = None
    multitask: Space | None = None

    def search(self, models: ModelsConfig, name: str) -> SearchConfig:
        """Return the search of one model: `retrieval`, `ranking` or `multitask`."""
        common = {field: getattr(self, field) for field in _Searching.model_fields}
        space = getattr(self, name)
        return SearchConfig(space=default_space(getattr(models, name)) if space is None else space, **common)


def replaced(config: Config, values: Mapping[str, Any]) -> Config:
    """Replace some of a model's own values.

    Args:
      config: of the model.
      values: by field; a dot leads into a field that has fields, as in `softmax.temperature`.
    Raises:
      ValueError: a field is unknown, or a value is not what its field takes.

    >>> from modules.hyperparameters import default
    >>> replaced(default().retrieval, {"epochs": 3, "softmax.temperature": 0.5}).softmax.temperature
    0.5
    """
    changed = config.model_dump()
    for path, value in values.items():
        *parents, field = path.split(".")
        parent = changed
        for name in parents:
            parent = parent.setdefault(name, {})
        parent[field] = value
    return type(config).model_validate(changed)


def own_values(space: Space, config: TrainingConfig) -> dict[str, Any]:
    """Read the model's own values of the hyper-parameters in a space.

    Raises:
      ValueError: the model has no such field.
    """
    values = {}
    for path in space:
        value: Any = config
        for field in path.split("."):
            if not isinstance(value, pydantic.BaseModel) or field not in type(value).model_fields:
                known = ", ".join(type(config).model_fields)
                raise ValueError(f"{path}: what is tuned must be one of {known}, or a field of such a one")
            value = getattr(value, field)
        values[path] = value
    return values


def completed(space: Space, config: TrainingConfig) -> dict[str, Range | Choices]:
    """Add a model's own values to a space, and hold all of it to what the model's fields take.

    Raises:
      ValueError: a name is no field, or what it stands with is nothing that the field could take.

    >>> from modules import hyperparameters
    >>> completed({"embedding_dim": (32, 128)}, hyperparameters.default().ranking)
    {'embedding_dim': (16, 32, 128)}
    """
    complete = {}
    for path, own in own_values(space, config).items():
        values = space[path]
        complete[path] = _widened(path, values, own) if isinstance(values, Range) else _with(values, own)
        ends = complete[path]
        for value in (ends.low, ends.high) if isinstance(ends, Range) else ends:
            _check(path, value, config)
    return complete


def _check(path: str, value: Any, config: TrainingConfig) -> None:
    try:
        replaced(config, {path: value})
    except pydantic.ValidationError as error:
        raise ValueError(in_words(error, path)) from error


def _widened(path: str, values: Range, own: Any) -> Range:
    if not isinstance(own, float) or own <= 0:
        raise ValueError(
            f"{path}: a range must be given for a field whose own value is a fraction above 0; it is "
            f"{own!r}. List the values to try instead"
        )
    return Range(low=min(values.low, own), high=max(values.high, own))


def _with(values: Choices, own: Any) -> Choices:
    if not all(isinstance(value, int | float) for value in (*values, own)):
        return values if own in values else (*values, own)
    every = sorted({*values, own})
    return tuple(map(float, every)) if float in map(type, every) else tuple(every)
