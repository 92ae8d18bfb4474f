"""The DAG as text. `python -m tests.pipeline.dag` writes the golden files anew."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import BaseChannel, OutputChannel
from tfx.types.resolved_channel import ResolvedChannel

from pipeline import config
from pipeline.config import Config
from pipeline.pipeline import create_pipeline

_GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
GOLDEN, TUNED_GOLDEN = _GOLDENS / "dag.txt", _GOLDENS / "dag_tuned.txt"
COMMAND = "python -m tests.pipeline.dag"


def create(configuration: Config, beam: Sequence[str] = ()) -> Pipeline:
    """Wire a pipeline that never runs; metadata=None keeps it from touching a disk."""
    return create_pipeline(
        configuration,
        data_root="data",
        pipeline_root="root",
        push_destination="pushed",
        metadata_connection_config=None,
        beam_pipeline_args=list(beam),
    )


def describe(pipeline: Pipeline) -> str:
    """List the nodes in the order in which they run, each with its inputs and what it waits for besides."""
    return "\n".join(line for node in pipeline.components for line in _describe(node)) + "\n"


def _describe(node: BaseNode) -> list[str]:
    channels = {name: _unwrapped(name, channel) for name, channel in node.inputs.items()}
    edges, producers = [], set()
    for name, channel in channels.items():
        producer = channel.producer_component_id
        producers.add(producer)
        # A channel that is no node's output is a search in the metadata.
        found = "" if isinstance(channel, OutputChannel) else " of earlier runs"
        edges.append(f"  {name} <- {producer}.{channel.output_key or name}{found}")
    waits = sorted(upstream.id for upstream in node.upstream_nodes if upstream.id not in producers)
    return [node.id, *edges, *(f"  after {name}" for name in waits)]


def _unwrapped(name: str, channel: BaseChannel) -> BaseChannel:
    """Return what a Resolver's input is made of, which TFX wraps into its resolver function."""
    if not isinstance(channel, ResolvedChannel):
        return channel
    (inputs,) = channel.output_node.args
    return inputs.nodes[name].wrapped


if __name__ == "__main__":
    GOLDEN.write_text(describe(create(config.default())))
    TUNED_GOLDEN.write_text(describe(create(config.tuned(config.default()))))
