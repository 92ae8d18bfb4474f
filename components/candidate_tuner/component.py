"""TFX's Tuner with the candidates as a declared input. Runs where the pipeline is compiled."""

from typing import Any

from tfx import types
from tfx.components.tuner.component import Tuner
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.candidate_tuner import executor
from modules import features


class CandidateTunerSpec(types.ComponentSpec):
    """The Tuner's spec with one more input."""

    PARAMETERS = standard_component_specs.TunerSpec.PARAMETERS
    INPUTS = {
        **standard_component_specs.TunerSpec.INPUTS,
        executor.CANDIDATES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = standard_component_specs.TunerSpec.OUTPUTS


class CandidateTuner(Tuner):
    """Search hyper-parameters on the train split alone.

    Outputs:
      best_hyperparameters: for a CandidateTrainer; the outcome in a few words as custom properties.
      tuner_results: values and score of every trial.
    """

    SPEC_CLASS = CandidateTunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        tuner_fn: str,
        examples: types.BaseChannel,
        candidates: types.BaseChannel,
        transform_graph: types.BaseChannel,
        custom_config: dict[str, Any],
    ):
        """Construct the component.

        Args:
          tuner_fn: dotted path of the function that sets up the search. Its source is no part of TFX's cache
            key, so `custom_config` must hold what changes with it.
          examples: transformed ratings with a split train; no other split is read.
          candidates: the catalogue, raw.
          transform_graph: of the Transform that made `examples`.
          custom_config: handed to tuner_fn; JSON.
        """
        spec = CandidateTunerSpec(
            tuner_fn=tuner_fn,
            examples=examples,
            candidates=candidates,
            transform_graph=transform_graph,
            train_args=trainer_pb2.TrainArgs(splits=[features.TRAIN_SPLIT]),
            # TFX would take an empty list for eval.
            eval_args=trainer_pb2.EvalArgs(splits=[features.TRAIN_SPLIT]),
            custom_config=json_utils.dumps(custom_config),
            best_hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
            tuner_results=types.Channel(type=standard_artifacts.TunerResults),
        )
        base_component.BaseComponent.__init__(self, spec=spec)
