"""A pipeline of three steps to fail, to kill and to go on with."""

import os
import pathlib
import sys
import time

from tfx import types
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common import resolver
from tfx.orchestration import pipeline
from tfx.types.standard_artifacts import Examples, Model

from common.errors import DataError
from runners.running import local, workspace
from runners.terminal.status import Terminal

NAME = "slow"


@component
def First(examples: OutputArtifact[Examples]):
    """Succeed."""
    pathlib.Path(examples.uri, "rows").write_text("rows")


@component
def Second(examples: InputArtifact[Examples], model: OutputArtifact[Model], switches: Parameter[str]):
    """Do as a file in `switches` says: `hang`, `refuse`, `disconnect` so often; or else succeed."""
    pathlib.Path(model.uri, "half").write_text("half")
    switch = pathlib.Path(switches)
    if (switch / "refuse").exists():
        raise DataError("the file must have rows; it has none. Give another.")
    tries = switch / "disconnect"
    if tries.exists() and int(tries.read_text()):
        tries.write_text(str(int(tries.read_text()) - 1))
        raise ConnectionError("reset by peer")
    if (switch / "hang").exists():
        (switch / "pid").write_text(str(os.getpid()))
        (switch / "hanging").touch()
        time.sleep(600)
    pathlib.Path(model.uri, "whole").write_text(pathlib.Path(examples.uri, "rows").read_text())


@component
def Third(model: InputArtifact[Model], examples: OutputArtifact[Examples]):
    """Need what the second step wrote."""
    pathlib.Path(examples.uri, "copy").write_text(pathlib.Path(model.uri, "whole").read_text())


def create(root: pathlib.Path, connection) -> pipeline.Pipeline:
    """Wire the steps."""
    first = First()
    second = Second(examples=first.outputs["examples"], switches=str(root))
    third = Third(model=second.outputs["model"])
    return pipeline.Pipeline(
        NAME, str(root), connection, components=[first, second, third], enable_cache=True
    )


class NothingFound(resolver.ResolverStrategy):
    """Find nothing, and say so by raising."""

    def resolve_artifacts(self, store, input_dict):
        raise DataError("there must be a model; there is none. Train one.")


def create_lookup(root: pathlib.Path, connection) -> pipeline.Pipeline:
    """Wire a lookup that raises while TFX resolves inputs, which TFX records without raising."""
    lookup = resolver.Resolver(strategy_class=NothingFound, model=types.Channel(type=Model)).with_id("Lookup")
    third = Third(model=lookup.outputs["model"])
    return pipeline.Pipeline(NAME, str(root), connection, components=[lookup, third])


def run_alone(folder: str) -> None:
    """Run as local_runner does; for a process of its own."""
    root = pathlib.Path(folder)
    with workspace.claimed(root):
        screen = Terminal(sys.stdout)
        with screen.listening():
            local.run(lambda connection: create(root, connection), "local", root, screen, jobs=2)
