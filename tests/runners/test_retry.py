"""A step that fails for what passes by itself is tried again, and no other."""

from __future__ import annotations

import io
import pathlib

import pytest

from runners.reporting.failure import Cause, RunError
from runners.running import local, record, retry
from runners.terminal.status import Terminal
from tests.runners.pipelines import slow_pipeline
from tests.runners.test_local import store_of


def run(root: pathlib.Path, runner: str) -> tuple[dict[str, str], str]:
    """State of every step, and what was shown."""
    stream = io.StringIO()
    terminal = Terminal(stream)
    with terminal.listening():
        local.run(lambda connection: slow_pipeline.create(root, connection), runner, root, terminal, jobs=2)
    states = {step.node_id: step.state for step in record.latest_run(store_of(root))}
    return states, stream.getvalue()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (0.01, 0.02))


@pytest.mark.parametrize("runner", ["local", "beam"])
def test_a_step_that_cannot_connect_twice_is_run_a_third_time(tmp_path: pathlib.Path, runner: str) -> None:
    (tmp_path / "disconnect").write_text("2")
    states, shown = run(tmp_path, runner)
    assert states == {"First": "run", "Second": "run", "Third": "run"}
    assert "Second: ConnectionError: reset by peer; trying again in 0.01 s" in shown
    (model,) = (tmp_path / "Second" / "model").iterdir()
    assert sorted(path.name for path in model.iterdir()) == ["half", "whole"]


def test_a_step_that_goes_on_failing_fails_the_run(tmp_path: pathlib.Path) -> None:
    (tmp_path / "disconnect").write_text("9")
    with pytest.raises(RunError, match="Second failed: ConnectionError: reset by peer"):
        run(tmp_path, "local")
    assert (tmp_path / "disconnect").read_text() == "6"


def test_what_somebody_has_to_change_is_not_tried_again(tmp_path: pathlib.Path) -> None:
    (tmp_path / "refuse").touch()
    with pytest.raises(RunError, match="the file must have rows"):
        run(tmp_path, "local")
    states = [step.state for step in record.latest_run(store_of(tmp_path))]
    assert states == ["run", "failed"]


@pytest.mark.parametrize(
    ("name", "message", "transient"),
    [
        ("google.api_core.exceptions.ResourceExhausted", "429 Quota exceeded", True),
        ("google.api_core.exceptions.ServiceUnavailable", "503", True),
        ("google.api_core.exceptions.PermissionDenied", "403", False),
        ("tensorflow.python.framework.errors_impl.UnavailableError", "socket closed", True),
        ("tensorflow.python.framework.errors_impl.ResourceExhaustedError", "OOM when allocating", False),
        ("tensorflow.python.framework.errors_impl.ResourceExhaustedError", "No space left on device", False),
        ("TimeoutError", "timed out", True),
        ("ValueError", "Connection must be a name", False),
        ("serving.stores.lease.LeaseLost", "another took it", False),
    ],
)
def test_which_failures_pass_by_themselves(name: str, message: str, transient: bool) -> None:
    assert retry.is_transient(Cause(name, message)) is transient
