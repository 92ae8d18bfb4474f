"""ML Metadata's record of a run, as plain data, for the terminal's lines and the summary."""

from __future__ import annotations

import dataclasses
import json

import ml_metadata as mlmd

_Property = int | float | str

# Nodes that only look up artifacts. TFX records each of their executions as served from the cache.
LOOKUPS = ("Resolver", "Importer")


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An output of a step.

    Attributes:
      id: in ML Metadata.
      key: name of the step's output.
      uri: folder of its files.
      properties: properties of its type and custom ones alike.
    """

    id: int
    key: str
    uri: str
    properties: dict[str, _Property]


@dataclasses.dataclass(frozen=True)
class Step:
    """One execution of a node.

    Attributes:
      node_id: such as `Trainer.retrieval`.
      kind: class of the component, such as `CandidateTrainer`.
      state: `run`, `cached`, or another of ML Metadata's states, in lower case.
      seconds: from the start of the execution to its last record.
      outputs: its artifacts.
      error: TFX's record of a failure; empty otherwise.
      peak_bytes: the most resident memory that its process had had when it ended; None where that is not
        known, for ML Metadata does not record it.
      inputs: ids of the artifacts that it read.
    """

    node_id: str
    kind: str
    state: str
    seconds: float
    outputs: tuple[Artifact, ...]
    error: str = ""
    peak_bytes: int | None = None
    inputs: tuple[int, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the outputs may be used."""
        return self.state in ("run", "cached")

    def output(self, key: str) -> Artifact | None:
        """Return the first artifact of an output; None if there is none."""
        return next((artifact for artifact in self.outputs if artifact.key == key), None)

    @property
    def passed_over(self) -> tuple[int, ...]:
        """Ids of models that a lookup passed over because their files are missing."""
        blessed = [
            artifact.properties["current_model_id"]
            for artifact in self.outputs
            if artifact.key == "model_blessing"
        ]
        chosen = self.output("model")
        return tuple(int(model) for model in blessed if not chosen or model != chosen.id)


def latest_id(store: mlmd.MetadataStore) -> int:
    """Return the id of the latest run; 0 if no run was ever recorded."""
    return max((run.id for run in store.get_contexts_by_type("pipeline_run")), default=0)


def latest_run(store: mlmd.MetadataStore, after: int = 0) -> list[Step]:
    """Read the executions of the latest run, in their order; none if no run was recorded after this id."""
    run = latest_id(store)
    if run <= after:
        return []
    executions = store.get_executions_by_context(run)
    return [_read(store, execution) for execution in sorted(executions, key=lambda execution: execution.id)]


def latest_seconds(store: mlmd.MetadataStore, pipeline: str, node_id: str) -> float:
    """Return how long a node took when it ran last, to its end and not from the cache; 0 if it never did."""
    context = store.get_context_by_type_and_name("node", f"{pipeline}.{node_id}")
    ran = [
        execution
        for execution in (store.get_executions_by_context(context.id) if context else ())
        if execution.last_known_state == mlmd.proto.Execution.COMPLETE
    ]
    return _seconds(max(ran, key=lambda execution: execution.id)) if ran else 0.0


def step(store: mlmd.MetadataStore, execution_id: int) -> Step:
    """Read one execution.

    Raises:
      ValueError: no execution has this id.
    """
    executions = store.get_executions_by_id([execution_id])
    if not executions:
        raise ValueError(f"execution {execution_id} must be recorded in ML Metadata; it is not")
    return _read(store, executions[0])


def _read(store: mlmd.MetadataStore, execution: mlmd.proto.Execution) -> Step:
    kind = execution.type.rsplit(".", 1)[-1]
    return Step(
        node_id=_node_id(store, execution),
        kind=kind,
        state=_state(kind, execution),
        seconds=_seconds(execution),
        outputs=_outputs(store, execution),
        error=_error(execution),
        inputs=_inputs(store, execution),
    )


def _seconds(execution: mlmd.proto.Execution) -> float:
    return (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000


def _state(kind: str, execution: mlmd.proto.Execution) -> str:
    name = mlmd.proto.Execution.State.Name(execution.last_known_state)
    if name == "COMPLETE" or (name == "CACHED" and kind in LOOKUPS):
        return "run"
    return name.lower()


def _error(execution: mlmd.proto.Execution) -> str:
    # A missing property reads as an empty string.
    recorded = execution.custom_properties["__execution_result__"].string_value
    return json.loads(recorded).get("resultMessage", "") if recorded else ""


def _node_id(store: mlmd.MetadataStore, execution: mlmd.proto.Execution) -> str:
    # The context is named `<pipeline>.<node id>`; a pipeline's name has no dot, a node's id may.
    names = [
        context.name for context in store.get_contexts_by_execution(execution.id) if context.type == "node"
    ]
    return names[0].split(".", 1)[1]


def _outputs(store: mlmd.MetadataStore, execution: mlmd.proto.Execution) -> tuple[Artifact, ...]:
    events = mlmd.proto.Event
    keys = {
        event.artifact_id: event.path.steps[0].key
        for event in store.get_events_by_execution_ids([execution.id])
        if event.type in (events.OUTPUT, events.INTERNAL_OUTPUT)
    }
    return tuple(
        Artifact(artifact.id, keys[artifact.id], artifact.uri, _properties(artifact))
        for artifact in store.get_artifacts_by_id(list(keys))
    )


def _inputs(store: mlmd.MetadataStore, execution: mlmd.proto.Execution) -> tuple[int, ...]:
    events = store.get_events_by_execution_ids([execution.id])
    return tuple(event.artifact_id for event in events if event.type == mlmd.proto.Event.INPUT)


def _properties(artifact: mlmd.proto.Artifact) -> dict[str, _Property]:
    both = [*artifact.properties.items(), *artifact.custom_properties.items()]
    read = {name: getattr(value, value.WhichOneof("value")) for name, value in both}
    return {name: value for name, value in read.items() if isinstance(value, (int, float, str))}
