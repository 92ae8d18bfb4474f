"""Steps that do not need one another run at once, each in a process of its own."""

from __future__ import annotations

import io
import pathlib

import pytest

from runners import flags
from runners.reporting.failure import RunError
from runners.running import local, record
from runners.terminal.status import Terminal
from tests.runners.pipelines import pair_pipeline
from tests.runners.test_local import store_of


def run(root: pathlib.Path, jobs: int = 2) -> str:
    """Run to the end; the answer is what was shown."""
    stream = io.StringIO()
    terminal = Terminal(stream)
    with terminal.listening():
        local.run(
            lambda connection: pair_pipeline.create(root, connection), flags.LOCAL, root, terminal, jobs
        )
    return stream.getvalue()


def switch(root: pathlib.Path, *names: str) -> None:
    for name in names:
        (root / name).touch()


def states(root: pathlib.Path) -> dict[str, str]:
    return {step.node_id: step.state for step in record.latest_run(store_of(root))}


def test_two_steps_run_at_once_and_the_one_that_needs_them_after_them(tmp_path: pathlib.Path) -> None:
    switch(tmp_path, "Left.meet", "Right.meet")
    shown = run(tmp_path)
    assert states(tmp_path) == {"Left": "run", "Right": "run", "Both": "run"}
    for name in ("Left", "Right"):
        assert f"{name} reads rows\n" in shown, "progress of its process"
    assert shown.splitlines()[-1].startswith("Both ")


def test_one_job_runs_one_step_at_a_time(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_pipeline, "_WAITS", 1.0)
    switch(tmp_path, "Left.meet")
    with pytest.raises(RunError, match=r"^Left failed: Right.began must appear within 1 s; it did not\.$"):
        run(tmp_path, jobs=1)
    assert states(tmp_path) == {"Left": "failed"}


def test_the_memory_of_a_step_is_its_own_and_is_free_when_it_has_ended(tmp_path: pathlib.Path) -> None:
    switch(tmp_path, "Left.hold")
    steps = local.run(
        lambda connection: pair_pipeline.create(tmp_path, connection),
        flags.LOCAL,
        tmp_path,
        Terminal(io.StringIO()),
        jobs=1,
    )
    left, right, both = (step.peak_bytes or 0 for step in steps)
    assert left > max(right, both) + pair_pipeline.HELD / 2
    assert min(right, both) > 0


def test_a_failure_starts_nothing_more_and_keeps_what_runs_beside_it(tmp_path: pathlib.Path) -> None:
    switch(tmp_path, "Left.meet", "Left.refuse", "Right.refused")
    with pytest.raises(RunError) as error:
        run(tmp_path)
    assert str(error.value) == "Left failed: Left must have rows; it has none."
    assert states(tmp_path) == {"Left": "failed", "Right": "run"}
    (tmp_path / "Left.refuse").unlink()
    run(tmp_path)
    assert states(tmp_path) == {"Left": "run", "Right": "cached", "Both": "run"}


def test_of_two_failures_the_first_is_named(tmp_path: pathlib.Path) -> None:
    switch(tmp_path, "Left.meet", "Left.refuse", "Right.refused", "Right.refuse")
    with pytest.raises(RunError, match=r"^Left failed: Left must have rows"):
        run(tmp_path)
    assert states(tmp_path) == {"Left": "failed", "Right": "failed"}


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            "die",
            r"^Left failed: its process was killed \(SIGKILL\), .* With --jobs 1 one step runs at a time",
        ),
        ("exit", r"^Left failed: its process ended with exit code 3; the log may tell why\.$"),
    ],
)
def test_a_process_that_ends_amid_its_step_fails_it_in_words(
    tmp_path: pathlib.Path, end: str, words: str
) -> None:
    switch(tmp_path, f"Left.{end}")
    with pytest.raises(RunError, match=words) as error:
        run(tmp_path)
    peaks = {step.node_id: step.peak_bytes for step in error.value.steps}
    assert peaks["Left"] is None and peaks["Right"]
    (tmp_path / f"Left.{end}").unlink()
    run(tmp_path)
    assert states(tmp_path) == {"Left": "run", "Right": "cached", "Both": "run"}
