"""Gather a report from the artifacts of a run. Reads; what it tells was computed by the steps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from components.index_pusher import push
from components.index_pusher.description import model_card
from components.movielens_example_gen import outcome
from components.movielens_example_gen.config import DataConfig
from components.run_report import statistics
from components.run_report.contents import Bundle, Data, Model
from modules import features
from modules.evaluation import training_log
from modules.evaluation.results import Evaluation
from serving import manifest

# Properties of a `pushed_model` that are no measured values.
_OF_PUSH = (push.PUSHED, push.PUSHED_VERSION, push.PUSHED_DESTINATION, push.PUBLISHED_ANEW, push.REASON)
_OF_TFX = ("is_external", "name", "pipeline_name", "producer_component", "state", "tfx_version")
_SPLITS = (features.TRAIN_SPLIT, features.EVAL_SPLIT)


def data(
    properties: Mapping[str, Any],
    quarantine: str,
    statistics_uri: str | None,
    transform_graph: str | None,
    quote_rows: bool,
) -> Data:
    """Read what came in.

    Args:
      properties: of the examples' artifact: counts and DATA_CONFIG.
      quarantine: folder of the bad rows.
      statistics_uri, transform_graph: folders; None where the run did not get so far.
      quote_rows: whether bad rows, which hold users' ids, are quoted.
    """
    config = DataConfig.model_validate_json(properties[outcome.DATA_CONFIG])
    # Beside the counts that every run has, one for each kind of fault that occurred.
    kinds = sorted(name for name in properties if name.startswith("bad_") and name not in outcome.COUNTS)
    splits = {name: statistics.read(statistics_uri, name) for name in _SPLITS} if statistics_uri else {}
    return Data(
        release=config.release,
        split=config.split.method,
        counts={name: properties[name] for name in (*outcome.COUNTS, *kinds)},
        bad_rows=outcome.first_quotes(quarantine) if quote_rows else [],
        ratings=statistics.rating_shares(splits, config.spec.scale.values),
        popularity=statistics.popularity(splits[features.TRAIN_SPLIT]) if splits else [],
        vocabularies=_vocabularies(transform_graph) if transform_graph else {},
    )


def _vocabularies(transform_graph: str) -> dict[str, int]:
    from tensorflow_transform import TFTransformOutput

    transform = TFTransformOutput(transform_graph)
    return {name: int(transform.vocabulary_size_by_name(name)) for name in features.VOCABULARIES}


def model(
    name: str,
    blessed: bool,
    champion: int | None,
    evaluation: Evaluation,
    log_dir: str | None,
    tuned: str = "",
) -> Model:
    """Read how a model was trained, beside its Evaluator's verdict.

    Args:
      name, blessed, champion, evaluation, tuned: see Model.
      log_dir: folder of the Trainer's `model_run`; None where nothing was logged.
    """
    log = training_log.read(log_dir) if log_dir else training_log.Log({}, {})
    return Model(
        name=name,
        blessed=blessed,
        champion=champion,
        hyperparameters=log.hyperparameters,
        training=log.figures,
        tuned=tuned,
        evaluation=evaluation,
    )


def bundle(properties: Mapping[str, Any], uri: str) -> Bundle:
    """Read what the IndexPusher recorded.

    Args:
      properties: of its artifact `pushed_model`.
      uri: folder of that, a copy of the bundle, or nothing.
    """
    pushed = bool(properties.get(push.PUSHED))
    return Bundle(
        version=int(properties[push.PUSHED_VERSION]) if pushed else None,
        reason=str(properties.get(push.REASON, "")),
        destination=str(properties.get(push.PUSHED_DESTINATION, "")),
        figures=_figures(properties),
        sizes=_sizes(manifest.read(uri)["files"]) if pushed else {},
        card=_card(uri) if pushed else "",
    )


def _figures(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measured values; a property holds a table as JSON, see the IndexPusher's executor."""
    return {
        name: json.loads(value) if isinstance(value, str) and value.startswith(("[{", "[]")) else value
        for name, value in sorted(properties.items())
        if name not in _OF_PUSH and name not in _OF_TFX
    }


def _sizes(files: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, file in files.items():
        part = path.partition("/")[0]
        sizes[part] = sizes.get(part, 0) + int(file["bytes"])
    return sizes


def _card(uri: str) -> str:
    with open(os.path.join(uri, model_card.FILE), encoding="utf-8") as file:
        return file.read()
