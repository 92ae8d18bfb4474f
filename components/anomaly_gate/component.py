"""AnomalyGate: the step behind which all data agrees with its schema."""

from typing import Literal

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.anomaly_gate import executor


class AnomalyGateSpec(component_spec.ComponentSpec):
    """Sets of anomalies in, nothing out."""

    PARAMETERS = {
        "source_digest": component_spec.ExecutionParameter(type=str),
        executor.ON_DRIFT: component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        executor.RATINGS_KEY: component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        executor.CATALOGUE_KEY: component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        executor.DRIFT_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleAnomalies, optional=True
        ),
    }
    OUTPUTS: dict = {}


class AnomalyGate(base_component.BaseComponent):
    """Stop the pipeline with a message if ExampleValidator found anomalies.

    ExampleValidator records anomalies and goes on; this step raises an error. It has no output: a step that
    must not start before it names it with `add_upstream_node`. TFX caches it by its inputs, like any other
    step.
    """

    SPEC_CLASS = AnomalyGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        ratings_anomalies: types.BaseChannel,
        catalogue_anomalies: types.BaseChannel,
        source_digest: str,
        drift_anomalies: types.BaseChannel | None = None,
        on_drift: Literal["stop", "warn"] | None = None,
    ) -> None:
        """Construct the component.

        Args:
          ratings_anomalies: output `anomalies` of the ratings' ExampleValidator.
          catalogue_anomalies: the same of the catalogue's.
          source_digest: changes when the executor's code does, so that TFX's cache then misses.
          drift_anomalies: output `anomalies` of a DistributionValidator of the ratings.
          on_drift: whether drift stops the pipeline, as the other anomalies do, or gives a warning.
        """
        super().__init__(
            spec=AnomalyGateSpec(
                ratings_anomalies=ratings_anomalies,
                catalogue_anomalies=catalogue_anomalies,
                source_digest=source_digest,
                drift_anomalies=drift_anomalies,
                on_drift=on_drift,
            )
        )
