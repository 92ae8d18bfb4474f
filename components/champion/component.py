"""The node that gives one Evaluator its baseline. Called by the wiring.

If the runner can query ML Metadata, the node is a Resolver. On Vertex AI and Kubeflow it is a step,
RecordedChampion, together with an Evaluator that records its verdicts in files.
"""

from typing import Any

from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator.component import Evaluator
from tfx.dsl.components.base import base_beam_component, base_component, executor_spec
from tfx.dsl.components.common import resolver
from tfx.dsl.placeholder import placeholder
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.champion import executor
from components.champion.strategy import BaseModelStrategy, ChampionStrategy


def champion_resolver(challenger: types.OutputChannel, evaluator_id: str, node_id: str) -> resolver.Resolver:
    """Build the Resolver whose output `model` is the champion that the challenger is compared with.

    Both searches are limited to one producer each: models and blessings of other trainers are never used.

    Args:
      challenger: output `model` of a trainer, of this run.
      evaluator_id: id of the Evaluator of this trainer's models, whose blessings of earlier runs are looked
        up. An id and not a node, because the Evaluator comes after this node.
      node_id: id of the node.
    Returns:
      A Resolver; `outputs["model"]` holds one model or none and goes into `Evaluator(baseline_model=...)`.
    """
    node = resolver.Resolver(
        strategy_class=ChampionStrategy,
        # Without an output key: TFX 1.16 names a resolver's inputs after producer and output key, so that a
        # full address collides with the challenger's. A trainer has one output of this type.
        model=types.Channel(
            type=standard_artifacts.Model, producer_component_id=challenger.producer_component_id
        ),
        model_blessing=types.Channel(
            type=standard_artifacts.ModelBlessing, producer_component_id=evaluator_id, output_key="blessing"
        ),
        challenger=challenger,
    )
    return node.with_id(node_id)


def base_model_resolver(
    examples: types.OutputChannel, trainer_id: str, evaluator_id: str, node_id: str
) -> resolver.Resolver:
    """Build the Resolver whose output `model` is the one at whose parameters a Trainer begins.

    Args:
      examples: the examples that this run trains on.
      trainer_id: id of the Trainer, whose models of earlier runs are looked up.
      evaluator_id: id of the Evaluator of its models.
      node_id: id of the node.
    Returns:
      A Resolver; `outputs["model"]` holds one model or none.
    """
    node = resolver.Resolver(
        strategy_class=BaseModelStrategy,
        model=types.Channel(type=standard_artifacts.Model, producer_component_id=trainer_id),
        model_blessing=types.Channel(
            type=standard_artifacts.ModelBlessing, producer_component_id=evaluator_id, output_key="blessing"
        ),
        examples=examples,
    )
    return node.with_id(node_id)


class RecordedChampionSpec(component_spec.ComponentSpec):
    """The challenger in, the champion's URI out."""

    INPUTS = {executor.CHALLENGER: component_spec.ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {executor.BASELINE_URI: component_spec.ChannelParameter(type=standard_artifacts.String)}
    PARAMETERS = {
        executor.VERDICTS: component_spec.ExecutionParameter(type=str),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class RecordedChampion(base_component.BaseComponent):
    """Look the champion up among the verdicts that one RecordingEvaluator wrote.

    The result depends on files that are no input, so this step must not be served from a cache.

    Outputs:
      baseline_uri: of the champion, or the word `none`. It goes into the Evaluator as a parameter: a new
        artifact in every run, even of the same model, would keep the Evaluator from the cache.
    """

    SPEC_CLASS = RecordedChampionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, challenger: types.BaseChannel, verdicts: str, source_digest: str):
        """Construct the component.

        Args:
          challenger: output `model` of a trainer, of this run.
          verdicts: folder of this trainer's models' verdicts, in any of Beam's file systems.
          source_digest: changes when the executor's code does.
        """
        super().__init__(
            spec=RecordedChampionSpec(
                challenger=challenger,
                verdicts=verdicts,
                source_digest=source_digest,
                baseline_uri=types.Channel(type=standard_artifacts.String),
            )
        )


class RecordingEvaluatorSpec(component_spec.ComponentSpec):
    """The Evaluator's spec, with the champion's URI and the folder of verdicts as parameters."""

    INPUTS = standard_component_specs.EvaluatorSpec.INPUTS
    OUTPUTS = standard_component_specs.EvaluatorSpec.OUTPUTS
    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        executor.BASELINE_URI: component_spec.ExecutionParameter(type=str),
        executor.VERDICTS: component_spec.ExecutionParameter(type=str),
    }


class RecordingEvaluator(Evaluator):
    """TFX's Evaluator, whose baseline comes from a RecordedChampion.

    Outputs:
      evaluation: as the Evaluator's.
      blessing: as the Evaluator's.
    """

    SPEC_CLASS = RecordingEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.EvaluatorExecutor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_uri: str | placeholder.Placeholder,
        verdicts: str,
        eval_config: config_pb2.EvalConfig,
        example_splits: list[str],
        module_path: str,
    ):
        """Construct the component.

        Args:
          examples: the examples to evaluate on.
          model: the challenger.
          baseline_uri: output of a RecordedChampion.
          verdicts: the folder that the RecordedChampion reads; this step's verdict is added to it.
          eval_config: metrics and gates.
          example_splits: splits of `examples`.
          module_path: module with the function `custom_extractors`.
        """
        parameters: dict[str, Any] = {executor.BASELINE_URI: baseline_uri, executor.VERDICTS: verdicts}
        spec = RecordingEvaluatorSpec(
            examples=examples,
            model=model,
            eval_config=eval_config,
            example_splits=json_utils.dumps(example_splits),
            module_path=module_path,
            fairness_indicator_thresholds=json_utils.dumps(None),
            evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            **parameters,
        )
        # Skip the Evaluator's own constructor, which builds the standard spec.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
