"""Resolver strategies: the Evaluator's baseline, and the model at which a Trainer begins.

Run in the process of LocalDagRunner and BeamDagRunner while they resolve the inputs of a Resolver node.
"""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common import resolver

from components.champion.base_model import base_id
from components.champion.selection import Verdict, champion_id

# Inputs of the Resolver, and its outputs. The first two are TFX's own names for them.
MODEL_KEY = "model"
BLESSING_KEY = "model_blessing"
CHALLENGER_KEY = "challenger"
EXAMPLES_KEY = "examples"


class ChampionStrategy(resolver.ResolverStrategy):
    """Resolve the latest blessed model other than the challenger, with its blessing.

    TFX's LatestBlessedModelStrategy takes the challenger too. After a first run it would therefore change the
    inputs of the Evaluator in an identical second one, which could not be served from the cache.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Keep the champion under `model` and its blessing; both are empty where there is none.

        Args:
          store: the metadata of all runs of the pipeline.
          input_dict: under `model` and `model_blessing` those of all runs; under `challenger` this run's
            model.
        """
        (challenger,) = input_dict[CHALLENGER_KEY]
        blessings = input_dict[BLESSING_KEY]
        verdicts = _verdicts(store, blessings)
        chosen = champion_id(verdicts.values(), challenger.id)
        models = [model for model in input_dict[MODEL_KEY] if model.id == chosen]
        of_chosen = [blessing for blessing in blessings if verdicts[blessing.id].model_id == chosen]
        of_chosen.sort(key=lambda blessing: verdicts[blessing.id].issued)
        return {MODEL_KEY: models, BLESSING_KEY: of_chosen[-1:], CHALLENGER_KEY: [challenger]}


class BaseModelStrategy(resolver.ResolverStrategy):
    """Resolve the latest blessed model that was trained on other rows than those of this run."""

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Keep that model under `model`; empty where there is none.

        Args:
          store: the metadata of all runs of the pipeline.
          input_dict: under `model` and `model_blessing` those of all runs; under `examples` what this run is
            about to train on.
        """
        (examples,) = input_dict[EXAMPLES_KEY]
        models, blessings = input_dict[MODEL_KEY], input_dict[BLESSING_KEY]
        read = _read_by_training(store, [model.id for model in models])
        chosen = base_id(_verdicts(store, blessings).values(), read, examples.id)
        return {
            MODEL_KEY: [model for model in models if model.id == chosen],
            BLESSING_KEY: [],
            EXAMPLES_KEY: [examples],
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
