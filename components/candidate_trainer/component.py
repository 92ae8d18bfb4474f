"""TFX's Trainer with the candidates as a declared input. Runs where the pipeline is compiled."""

from typing import Any

from tfx import types
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import data_types
from tfx.proto import trainer_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.candidate_trainer import executor


class CandidateTrainerSpec(types.ComponentSpec):
    """The Trainer's spec with one more input and one more parameter."""

    PARAMETERS = {
        **standard_component_specs.TrainerSpec.PARAMETERS,
        executor.EPOCHS_KEY: component_spec.ExecutionParameter(type=int, optional=True),
    }
    INPUTS = {
        **standard_component_specs.TrainerSpec.INPUTS,
        executor.CANDIDATES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = standard_component_specs.TrainerSpec.OUTPUTS


class CandidateTrainer(Trainer):
    """Train a model that ranks or rates the candidates of a catalogue.

    Outputs:
      model: a Model in the layout of `modules.features`.
      model_run: logs.
    """

    SPEC_CLASS = CandidateTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        run_fn: str,
        examples: types.BaseChannel,
        candidates: types.BaseChannel,
        transform_graph: types.BaseChannel,
        custom_config: dict[str, Any],
        hyperparameters: types.BaseChannel | None = None,
        epochs: data_types.RuntimeParameter | None = None,
        base_model: types.BaseChannel | None = None,
    ):
        """Construct the component.

        Args:
          run_fn: dotted path of the function that trains. Its source is no part of TFX's cache key, so
            `custom_config` must hold what changes with it.
          examples: transformed ratings with splits train and eval.
          candidates: the catalogue, raw.
          transform_graph: of the Transform that made `examples`.
          custom_config: handed to run_fn; JSON.
          hyperparameters: of a CandidateTuner; they replace the configured ones of the same names.
          epochs: number of epochs as a run-time parameter; it replaces the configured one, unless it is 0.
          base_model: a model of an earlier run to begin at, if `custom_config["warm_start"]` is set.
        """
        spec = CandidateTrainerSpec(
            run_fn=run_fn,
            examples=examples,
            candidates=candidates,
            transform_graph=transform_graph,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
            custom_config=json_utils.dumps(custom_config),
            hyperparameters=hyperparameters,
            epochs=epochs,
            base_model=base_model,
            model=types.Channel(type=standard_artifacts.Model),
            model_run=types.Channel(type=standard_artifacts.ModelRun),
        )
        base_component.BaseComponent.__init__(self, spec=spec)
