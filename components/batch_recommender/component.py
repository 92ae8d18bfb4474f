"""BatchRecommender: declares its inputs, parameters and output."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.batch_recommender import executor
from components.batch_recommender.config import BatchConfig


class Recommendations(types.Artifact):
    """Parquet files of one schema (answers.SCHEMA); none if no bundle was pushed.

    Custom properties: `recommended` 0 or 1; then `users`, `rows`, `version`, `timestamp`, or the `reason`.
    """

    # Where Kubeflow's containers import it from: see components/__init__.py.
    TYPE_NAME = "components.Recommendations"


class BatchRecommenderSpec(component_spec.ComponentSpec):
    """Inputs, parameters and output of the BatchRecommender."""

    PARAMETERS = {
        executor.BATCH_CONFIG: component_spec.ExecutionParameter(type=str),
        executor.SOURCE_DIGEST: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        executor.PUSHED_MODEL: component_spec.ChannelParameter(type=standard_artifacts.PushedModel),
        executor.EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {executor.RECOMMENDATIONS: component_spec.ChannelParameter(type=Recommendations)}


class BatchRecommender(base_beam_component.BaseBeamComponent):
    """Recommend titles to every user of the train split, as recommend.py would at the same time.

    The step runs after the IndexPusher and uses the bundle that this run pushed, or found published already.
    If this run pushes nothing, the step recommends nothing: the served bundle is then of an earlier run, and
    that run's recommendations are still valid.
    """

    SPEC_CLASS = BatchRecommenderSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        pushed_model: types.BaseChannel,
        examples: types.BaseChannel,
        batch_config: BatchConfig,
        source_digest: str,
    ) -> None:
        """Wire the component.

        Args:
          pushed_model: PushedModel of the IndexPusher, which holds the bundle.
          examples: Examples of the ratings; the users are those of the train split.
          batch_config: number of titles, and time of the requests.
          source_digest: changes when the executor's code does, so that TFX's cache then misses.
        """
        super().__init__(
            spec=BatchRecommenderSpec(
                pushed_model=pushed_model,
                examples=examples,
                batch_config=batch_config.model_dump_json(),
                source_digest=source_digest,
                recommendations=types.Channel(type=Recommendations),
            )
        )
