"""Runs that fail, are killed and go on."""

from __future__ import annotations

import io
import logging
import os
import pathlib
import resource
import shutil
import signal
import socket
import sys
import time

import ml_metadata as mlmd
import pytest
from apache_beam.runners.direct.direct_runner import DirectRunner
from tfx.orchestration import metadata

from common.progress import progress
from runners.reporting.failure import RunError
from runners.running import local, record, workspace
from runners.terminal.status import Terminal
from tests.helpers.processes import warm_python
from tests.runners.pipelines import slow_pipeline

_STARTS_WITHIN = 250.0  # Seconds: imports of TFX on a busy machine.


class Watched(Terminal):
    """Remembers how long each step was expected to take, and whether stages of Beam were counted."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.expected: dict[str, float] = {}
        self.counted = False

    def begin(self, name: str, expected: float = 0.0) -> None:
        self.expected[name] = expected
        super().begin(name, expected)

    def stages(self, done: int, of: int, name: str = "") -> None:
        self.counted = True


def run(root: pathlib.Path, runner: str = "local", terminal: Terminal | None = None) -> dict[str, str]:
    """Run to the end; the answer is each step's state."""
    terminal = terminal or Terminal(io.StringIO())
    steps = local.run(
        lambda connection: slow_pipeline.create(root, connection), runner, root, terminal, jobs=2
    )
    return {step.node_id: step.state for step in steps}


def store_of(root: pathlib.Path) -> mlmd.MetadataStore:
    return mlmd.MetadataStore(metadata.sqlite_metadata_connection_config(str(root / workspace.METADATA)))


def hang(root: pathlib.Path) -> warm_python.Command:
    """Start a run in a process of its own that hangs in the second step."""
    (root / "hang").touch()
    code = "import sys, tests.runners.pipelines.slow_pipeline as slow; slow.run_alone(*sys.argv[1:])"
    command = warm_python.start(["-c", code, str(root)], root / "stdout", root / "stderr")
    deadline = time.monotonic() + _STARTS_WITHIN
    while not (root / "hanging").exists():
        assert command.process.is_alive(), (root / "stderr").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (root / "hang").unlink()
    return command


@pytest.mark.parametrize("runner", ["local", "beam"])
def test_a_failure_names_the_step_and_the_cause_alone_and_is_made_good_by_running_again(
    tmp_path: pathlib.Path, runner: str
) -> None:
    (tmp_path / "refuse").touch()
    watched = Watched()
    with pytest.raises(RunError) as error:
        run(tmp_path, runner, watched)
    assert watched.expected == {"First": 0.0, "Second": 0.0}
    assert str(error.value) == "Second failed: the file must have rows; it has none. Give another."
    states = {step.node_id: step.state for step in record.latest_run(store_of(tmp_path))}
    assert states == {"First": "run", "Second": "failed"}
    first, second = (step.peak_bytes or 0 for step in error.value.steps)
    assert first and second
    if runner == "beam":  # Of a step's own process: test_parallel.py.
        held = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert held / 2 < first <= second <= held, "the peak so far"

    (tmp_path / "refuse").unlink()
    assert run(tmp_path, runner) == {"First": "cached", "Second": "run", "Third": "run"}
    steps = record.latest_run(store_of(tmp_path))
    written = [tuple(artifact.id for artifact in step.outputs) for step in steps]
    assert [step.inputs for step in steps] == [(), written[0], written[1]]
    watched = Watched()
    assert run(tmp_path, runner, watched) == {"First": "cached", "Second": "cached", "Third": "cached"}
    took = {step.node_id: step.seconds for step in (error.value.steps[0], *steps[1:])}
    assert watched.expected == took, "as long as each ran last"
    assert watched.counted == (runner == "beam")


def test_a_fault_in_the_wiring_is_named_without_a_step(tmp_path: pathlib.Path) -> None:
    def create(connection):
        raise ValueError("a gate's metric must be known")

    with pytest.raises(RunError) as error:
        local.run(create, "local", tmp_path, Terminal(io.StringIO()), jobs=1)
    assert str(error.value) == "ValueError: a gate's metric must be known"


@pytest.mark.slow("a process with TFX")
def test_a_killed_run_goes_on_and_nothing_half_written_is_used_or_stays(tmp_path: pathlib.Path) -> None:
    hanging = hang(tmp_path)
    with pytest.raises(workspace.BusyError) as busy, workspace.claimed(tmp_path):
        pass
    assert f"process {hanging.pid} on {socket.gethostname()} is using it" in str(busy.value)

    step = int((tmp_path / "pid").read_text())
    assert step != hanging.pid, "a process of its own"
    os.kill(hanging.pid, signal.SIGKILL)
    hanging.finish()
    deadline = time.monotonic() + 60
    while pathlib.Path(f"/proc/{step}").exists():
        assert time.monotonic() < deadline, "it ends with the run"
        time.sleep(0.01)
    (killed,) = [step for step in record.latest_run(store_of(tmp_path)) if not step.done]
    assert (killed.node_id, killed.state) == ("Second", "running")
    (half,) = (tmp_path / "Second" / "model").iterdir()
    assert os.listdir(half) == ["half"]

    with workspace.claimed(tmp_path):
        assert run(tmp_path) == {"First": "cached", "Second": "run", "Third": "run"}
    assert not half.exists()
    (whole,) = (tmp_path / "Second" / "model").iterdir()
    assert sorted(os.listdir(whole)) == ["half", "whole"]
    assert [e for e in store_of(tmp_path).get_executions() if e.last_known_state == e.RUNNING] == []


def test_a_step_whose_output_is_missing_runs_again_with_the_steps_that_read_it(
    tmp_path: pathlib.Path,
) -> None:
    run(tmp_path)
    shutil.rmtree(tmp_path / "Second")
    assert run(tmp_path) == {"First": "cached", "Second": "run", "Third": "run"}
    shutil.rmtree(tmp_path / "First")
    assert run(tmp_path) == {"First": "run", "Second": "run", "Third": "run"}


def test_inputs_that_cannot_be_resolved_are_a_failure(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError) as error:
        local.run(
            lambda connection: slow_pipeline.create_lookup(tmp_path, connection),
            "local",
            tmp_path,
            Terminal(io.StringIO()),
            jobs=1,
        )
    words = "InternalError: Error while resolving inputs for Lookup: "
    assert str(error.value).startswith(f"Lookup failed: {words}")
    assert "\n" not in str(error.value)


def test_beams_pipeline_of_steps_names_its_runner_too(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Beam 2.68 on DirectRunner, Beam's default, downloads a program first."""

    def download(*_: object) -> None:
        raise ConnectionError("Prism is to be downloaded")

    monkeypatch.setattr(DirectRunner, "run_pipeline", download)
    assert run(tmp_path, "beam") == {"First": "run", "Second": "run", "Third": "run"}


def test_a_run_without_scann_says_so_before_its_steps(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, progress.name)
    (tmp_path / "refuse").touch()
    monkeypatch.setitem(sys.modules, "scann", None)
    with pytest.raises(RunError):
        run(tmp_path)
    assert "ScaNN is not installed: the index is TensorFlow's own exact search" in caplog.messages
    caplog.clear()
    monkeypatch.undo()
    (tmp_path / "refuse").unlink()
    run(tmp_path)
    assert "ScaNN" not in caplog.text
