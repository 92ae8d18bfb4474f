"""Resolver strategies: the Evaluator's baseline, and the model at which a Trainer begins.

LocalDagRunner and BeamDagRunner call them, in their own process, to resolve the inputs of a Resolver node.
"""

from __future__ import annotations

import os

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common import resolver

from common.progress import progress
from components.champion.base_model import base_model
from components.champion.selection import SAVED_MODEL, Choice, Verdict, champion

# Inputs of the Resolver, and its outputs. The first two are TFX's own names for them.
MODEL_KEY = "model"
BLESSING_KEY = "model_blessing"
CHALLENGER_KEY = "challenger"
EXAMPLES_KEY = "examples"


class ChampionStrategy(resolver.ResolverStrategy):
    """Resolve the latest blessed model other than the challenger, with its blessing.

    TFX's LatestBlessedModelStrategy may choose the challenger too. So in an identical second run the
    Evaluator would have another input than in the first, and could not be served from the cache.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Return the champion under `model`, empty if there is none, and blessings: see _chosen.

        Args:
          store: the metadata of all runs of the pipeline.
          input_dict: `model` and `model_blessing` of all runs, and `challenger`, this run's model.
        """
        (challenger,) = input_dict[CHALLENGER_KEY]
        models, blessings = input_dict[MODEL_KEY], input_dict[BLESSING_KEY]
        verdicts = _verdicts(store, blessings)
        choice = champion(verdicts.values(), challenger.id, _those_there(models).__contains__)
        return {**_chosen(choice, models, blessings, verdicts), CHALLENGER_KEY: [challenger]}


class BaseModelStrategy(resolver.ResolverStrategy):
    """Resolve the latest blessed model that was trained on other rows than those of this run."""

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Return that model under `model`, empty if there is none, and blessings: see _chosen.

        Args:
          store: the metadata of all runs of the pipeline.
          input_dict: `model` and `model_blessing` of all runs, and `examples`, which this run trains on.
        """
        (examples,) = input_dict[EXAMPLES_KEY]
        models, blessings = input_dict[MODEL_KEY], input_dict[BLESSING_KEY]
        read = _read_by_training(store, [model.id for model in models])
        verdicts = _verdicts(store, blessings)
        choice = base_model(verdicts.values(), read, examples.id, _those_there(models).__contains__)
        return {**_chosen(choice, models, blessings, verdicts), EXAMPLES_KEY: [examples]}


def _those_there(models: list[types.Artifact]) -> set[int]:
    return {model.id for model in models if os.path.exists(os.path.join(model.uri, SAVED_MODEL))}


def _chosen(
    choice: Choice,
    models: list[types.Artifact],
    blessings: list[types.Artifact],
    verdicts: dict[int, Verdict],
) -> dict[str, list[types.Artifact]]:
    """Return a model with its newest blessing, and the blessings of models that were passed over; log these.

    TFX records only those outputs of a Resolver that have an input of the same name. So `model_blessing`
    records which models were passed over.
    """
    for model in models:
        if model.id in choice.missing:
            progress.warning("Model %d was blessed, and its files are missing: %s", model.id, model.uri)
    newest = {
        verdicts[blessing.id].model_id: blessing
        for blessing in sorted(blessings, key=lambda blessing: verdicts[blessing.id].issued)
    }
    return {
        MODEL_KEY: [model for model in models if model.id == choice.model_id],
        BLESSING_KEY: [newest[model] for model in (choice.model_id, *choice.missing) if model is not None],
    }


def _read_by_training(store: mlmd.MetadataStore, models: list[int]) -> dict[int, set[int]]:
    """List the artifacts that the executions behind each model read."""
    made = [e for e in store.get_events_by_artifact_ids(models) if e.type == mlmd.proto.Event.OUTPUT]
    read: dict[int, set[int]] = {}
    for event in store.get_events_by_execution_ids({event.execution_id for event in made}):
        if event.type == mlmd.proto.Event.INPUT:
            read.setdefault(event.execution_id, set()).add(event.artifact_id)
    inputs: dict[int, set[int]] = {}
    for event in made:
        inputs.setdefault(event.artifact_id, set()).update(read.get(event.execution_id, ()))
    return inputs


def _verdicts(store: mlmd.MetadataStore, blessings: list[types.Artifact]) -> dict[int, Verdict]:
    """Read the verdict behind each blessing artifact, by the artifact's id."""
    issued: dict[int, int] = {}
    for event in store.get_events_by_artifact_ids([blessing.id for blessing in blessings]):
        if event.type == mlmd.proto.Event.OUTPUT:
            issued[event.artifact_id] = max(event.execution_id, issued.get(event.artifact_id, 0))
    return {
        blessing.id: Verdict(
            model_id=blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY),
            blessed=blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1,
            issued=issued[blessing.id],
        )
        for blessing in blessings
    }
