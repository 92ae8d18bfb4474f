"""The configuration of a pipeline. Read by the runners, composed of the parts' own configurations."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from common.validation import in_words
from components.batch_recommender.config import BatchConfig
from components.index_pusher.config import IndexConfig, PublishConfig
from components.movielens_example_gen.config import SPAN, DataConfig, SpansConfig, SplitConfig
from components.run_report.config import ReportConfig
from modules import features, hyperparameters, search_space
from modules.hyperparameters import ModelsConfig
from modules.search_space import TuningConfig
from pipeline import gates
from pipeline.drift import DriftConfig


class Config(pydantic.BaseModel):
    """Everything that decides what a pipeline makes, but not where it runs."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Begins the pipeline's name, see pipeline_name and of_data.
    name: str = pydantic.Field("marquee", pattern=r"^[a-z][a-z0-9-]*$")
    data: DataConfig = DataConfig()
    models: ModelsConfig
    gates: gates.GatesConfig
    # Which models the bundle is made of: retrieval and ranking, or multitask for both.
    push: Literal["separate", "multitask"] = "separate"
    index: IndexConfig = IndexConfig()
    publish: PublishConfig = PublishConfig()
    # Search hyper-parameters before each model is trained; None trains with those of `models`.
    tuning: TuningConfig | None = None
    # Begin each training at the parameters of the latest blessed model, where it is fitted by gradients and
    # the runner resolves models from its metadata; otherwise it begins anew.
    warm_start: bool = False
    # How trainings that follow gradients are spread, see modules.strategies: not at all, over the GPUs of one
    # machine, or over the workers that TF_CONFIG tells of.
    strategy: Literal["none", "mirrored", "multi_worker"] = "none"
    # By transformed feature that has a vocabulary, how many terms it keeps at most, the most frequent ones, 1
    # or more; all others are as one that train does not have. Features that are not named keep all.
    vocabularies: dict[str, int] = {}
    # How far the newest span may be from the window before it; None does not compare them.
    drift: DriftConfig | None = None
    # Recommend to every user of the train split, as Parquet, what is pushed; None does not.
    batch: BatchConfig | None = None
    # What the report of a run tells of people.
    report: ReportConfig = ReportConfig()

    @pydantic.model_validator(mode="after")
    def _drift_has_something_to_compare(self) -> Config:
        if self.drift and self.data.split.method != SPAN:
            raise ValueError(
                f"drift compares the newest span with those before it, which needs data.split.method {SPAN}; "
                f"received {self.data.split.method}"
            )
        return self

    @pydantic.field_validator("vocabularies")
    @classmethod
    def _have_vocabularies(cls, vocabularies: dict[str, int]) -> dict[str, int]:
        for name, terms in vocabularies.items():
            if name not in features.VOCABULARIES or terms < 1:
                raise ValueError(
                    f"vocabularies must be 1 or more for any of {', '.join(features.VOCABULARIES)}; received "
                    f"{terms} for {name}"
                )
        return vocabularies

    @pydantic.model_validator(mode="after")
    def _what_is_tuned_fits_the_models(self) -> Config:
        if self.tuning:
            for name in ModelsConfig.model_fields:
                self._check(name, self.tuning.search(self.models, name).space)
        return self

    def _check(self, name: str, space: search_space.Space) -> None:
        try:
            search_space.completed(space, getattr(self.models, name))
        except ValueError as error:
            raise ValueError(f"tuning.{name}.{error}") from error

    @property
    def pipeline_name(self) -> str:
        """Name the pipeline after what its models may be compared on.

        A champion is looked for among the runs of one pipeline. A model of another release or split may have
        been trained on the rows that are held out here, and one of an earlier version may lack a column that
        is evaluated.

        >>> default().pipeline_name
        'marquee-ml-100k-905411fd'
        """
        compared = f"{self.data.split.model_dump_json()}{features.EVAL_COLUMNS_VERSION}"
        split = hashlib.sha256(compared.encode()).hexdigest()[:8]
        return f"{self.name}-{self.data.release}-{split}"


def of_data(config: Config, data: str | os.PathLike[str] | None, is_release: bool = True) -> Config:
    """Name the pipeline also after the location of its data, where these are a user's own.

    Otherwise the pipelines of two folders would share champions and the base of warm starts, which may have
    been trained on the rows that are held out now. Ratings may be added to a folder: its pipeline keeps its
    name.

    Args:
      config: as configured; not a result of this function.
      data: path or URL of the folder or zip that a person named; None where the release is fetched.
      is_release: whether data in a release's format are taken for that release.
    Returns:
      The configuration; with another name where release and split do not say which rows these are.

    >>> of_data(default(), "films").name, of_data(retraining(), "gs://films/spans/").name
    ('marquee', 'marquee-retraining-721f83ec')
    """
    if data is None or (is_release and not config.data.is_own):
        return config
    text = os.fspath(data)
    location = text.rstrip("/") if "://" in text else os.path.realpath(text)
    digest = hashlib.sha256(os.fsencode(location)).hexdigest()[:8]
    return config.model_copy(update={"name": f"{config.name}-{digest}"})


def default() -> Config:
    """Return the configuration that is pushed to production."""
    return Config(models=hyperparameters.default(), gates=gates.default())


def tutorial() -> Config:
    """Return the models of the TensorFlow Recommenders tutorials, gated at what those reach."""
    return Config(name="marquee-tutorial", models=hyperparameters.tutorial(), gates=gates.tutorial())


def retraining() -> Config:
    """Return the default models for data that arrives as spans, see `python -m retraining`.

    The newest span is what champion and challenger are compared on.
    """
    data = DataConfig(spans=SpansConfig(window=12), split=SplitConfig(method=SPAN))
    return Config(
        name="marquee-retraining",
        data=data,
        models=hyperparameters.default(),
        gates=gates.retraining(),
        warm_start=True,
        drift=DriftConfig(),
    )


def tuned(config: Config) -> Config:
    """Turn tuning on, as it is by default where the configuration does not say how.

    Raises:
      ValueError: what is tuned by default does not fit the configured models.

    >>> tuned(default()).tuning == TuningConfig()
    True
    """
    if config.tuning:
        return config
    try:
        return Config.model_validate({**config.model_dump(), "tuning": TuningConfig()})
    except pydantic.ValidationError as error:
        raise ValueError(in_words(error)) from error


def with_batch(config: Config) -> Config:
    """Turn batch recommendations on, as they are by default where the configuration does not say how.

    >>> with_batch(default()).batch
    BatchConfig(k=10, timestamp=None)
    """
    return config if config.batch else config.model_copy(update={"batch": BatchConfig()})


PRESETS = {"default": default, "tutorial": tutorial, "retraining": retraining}


def load(path: pathlib.Path, preset: Config) -> Config:
    """Read a JSON file whose values replace those of a preset.

    Args:
      path: JSON object with fields of Config; an object replaces only the fields that it names.
      preset: what holds where the file is silent.
    Raises:
      ValueError: the file is no JSON object, or names an unknown field or a value out of range.
    """
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} must be a readable JSON file: {error}") from error
    if not isinstance(changes, dict):
        raise ValueError(f"{path} must hold a JSON object; received {type(changes).__name__}")
    try:
        return with_changes(preset, changes)
    except pydantic.ValidationError as error:
        raise ValueError(f"{path}: {in_words(error)}") from error


def with_changes(preset: Config, changes: Mapping[str, Any]) -> Config:
    """Replace values of a preset.

    Args:
      preset: what holds where the changes are silent.
      changes: fields of Config; an object replaces only the fields that it names. One that names another head
        of the ranking model replaces what hyperparameters.with_head returns.

    >>> with_changes(default(), {"models": {"ranking": {"head": "mlp", "epochs": 3}}}).models.ranking.epochs
    3
    """
    try:
        head = changes["models"]["ranking"]["head"]
    except (KeyError, TypeError):  # Not named, or not even where it would have to be.
        head = None
    base = preset.model_dump()
    base["models"]["ranking"] = hyperparameters.with_head(preset.models.ranking, head).model_dump()
    return Config.model_validate(_merged(base, changes))


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        key: _merged(base[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **nested}
