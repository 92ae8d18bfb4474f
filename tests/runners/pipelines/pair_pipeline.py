"""A pipeline whose steps Left and Right do not need one another, and whose step Both needs both."""

import os
import pathlib
import signal
import time

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import pipeline
from tfx.types.standard_artifacts import Examples

from common.errors import DataError
from common.progress import progress

HELD = 300_000_000
_WAITS = 60.0  # Seconds.


def _do(switches: str, name: str, other: str) -> None:
    """Do as files named after the step say.

    NAME.meet: fail unless the other step has begun, too. NAME.refuse: raise. NAME.refused: wait until the
    other has raised. NAME.die: be killed. NAME.exit: end the process. NAME.hold: use HELD bytes of memory.
    """
    switch = pathlib.Path(switches)
    progress.info("%s reads rows", name)
    (switch / f"{name}.began").touch()
    if (switch / f"{name}.meet").exists():
        _wait(switch / f"{other}.began")
    if (switch / f"{name}.refused").exists():
        _wait(switch / f"{other}.raises")
        time.sleep(1)  # The other's process has to end before this one does.
    if (switch / f"{name}.refuse").exists():
        (switch / f"{name}.raises").touch()
        raise DataError(f"{name} must have rows; it has none.")
    if (switch / f"{name}.hold").exists():
        bytearray(HELD).translate(bytes(range(256)))  # Touches every page.
    if (switch / f"{name}.die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if (switch / f"{name}.exit").exists():
        os._exit(3)


def _wait(path: pathlib.Path) -> None:
    deadline = time.monotonic() + _WAITS
    while not path.exists():
        if time.monotonic() > deadline:
            raise DataError(f"{path.name} must appear within {_WAITS:g} s; it did not.")
        time.sleep(0.01)


@component
def Left(examples: OutputArtifact[Examples], switches: Parameter[str]):
    """Do as the switches say."""
    _do(switches, "Left", "Right")


@component
def Right(examples: OutputArtifact[Examples], switches: Parameter[str]):
    """Do as the switches say."""
    _do(switches, "Right", "Left")


@component
def Both(left: InputArtifact[Examples], right: InputArtifact[Examples], examples: OutputArtifact[Examples]):
    """Succeed, where both have written."""
    assert pathlib.Path(left.uri).exists() and pathlib.Path(right.uri).exists()


def create(root: pathlib.Path, connection) -> pipeline.Pipeline:
    """Wire the steps; switches are files in the root."""
    left, right = Left(switches=str(root)), Right(switches=str(root))
    both = Both(left=left.outputs["examples"], right=right.outputs["examples"])
    return pipeline.Pipeline("pair", str(root), connection, components=[left, right, both], enable_cache=True)
