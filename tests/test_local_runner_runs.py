"""Runs of local_runner.py, with a small pipeline: what is shown, logged and reported, and how they end."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

import local_runner
from common import durable
from common.errors import DataError
from retraining.journal import Report
from runners.running import workspace
from tests.helpers.processes import warm_python

pytestmark = pytest.mark.slow("processes with TFX")

ROOT = pathlib.Path(local_runner.__file__).parent
# The real command, with a small pipeline instead of the real one.
COMMAND = """
import pathlib, sys, types
import local_runner
from retraining.journal import Report

def create_pipeline(pipeline_root, metadata_connection_config, **_):
    from tests.runners.pipelines import slow_pipeline
    return slow_pipeline.create(pathlib.Path(pipeline_root), metadata_connection_config)

sys.modules["pipeline.pipeline"] = types.SimpleNamespace(create_pipeline=create_pipeline)
sys.exit(local_runner.main(sys.argv[1:]))
"""


@pytest.fixture
def command(tmp_path: pathlib.Path) -> list[str]:
    """What follows `python`."""
    (tmp_path / "data").mkdir()
    for name in ("ratings.csv", "movies.csv"):
        (tmp_path / "data" / name).touch()
    flags = [
        "--release",
        "custom",
        "--data",
        str(tmp_path / "data"),
        "--pipeline-root",
        str(tmp_path / "runs"),
    ]
    return ["-c", COMMAND, *flags]


def test_a_run_shows_its_steps_and_logs_everything_else(command: list[str], tmp_path: pathlib.Path) -> None:
    done = warm_python.run(command)
    lines = [re.sub(r" +", " ", re.sub(r"\d+\.\d s", "_ s", line)) for line in done.stdout.splitlines()]
    (log,) = (tmp_path / "runs" / "logs").iterdir()
    assert [line for line in lines if not line.endswith("...")] == [
        *("TensorFlow and TFX _ s loaded", "First _ s run", "Second _ s run", "Third _ s run", ""),
        *("Time: _ s; 0 of 3 steps from the cache", f"Log: {log}", ""),
        "No bundle was ever pushed, so there are no recommendations: see docs/gates.md.",
        f"Report: {tmp_path / 'runs' / 'reports' / log.stem / 'index.html'}",
    ]
    assert done.stderr == ""
    assert "Component Third is finished." in log.read_text()


def test_with_a_report_no_recommendations_are_shown(command: list[str], tmp_path: pathlib.Path) -> None:
    path = tmp_path / "report.json"
    done = warm_python.run([*command, "--report", str(path), "--no-report"])
    assert done.returncode == 0 and "recommendations" not in done.stdout
    assert "Report: " not in done.stdout and not (tmp_path / "runs" / "reports").exists()
    # The small pipeline has neither data nor models.
    report = Report.model_validate_json(path.read_text())
    assert report == Report(
        rows=(0, 0), models=(), pushed_version=None, not_pushed_because="no bundle was to be pushed"
    )
    done = warm_python.run([*command, "--report", str(tmp_path / "none" / "report.json")])
    assert done.returncode == 1
    assert "cannot be used: No such file or directory" in done.stderr


def test_a_report_is_replaced_whole_or_not_at_all(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_text("of the run before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "sync", full)
    with pytest.raises(DataError, match="The disk is full"):
        workspace.write_report({workspace.FAILED: "words"}, path)
    assert path.read_text() == "of the run before"


def test_a_failure_ends_with_its_cause_and_the_log(command: list[str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "refuse").touch()
    report = tmp_path / "report.json"
    done = warm_python.run([*command, "--report", str(report)])
    words = "Second failed: the file must have rows; it has none. Give another."
    assert json.loads(report.read_text()) == {"failed": words}
    (log,) = (tmp_path / "runs" / "logs").iterdir()
    assert done.returncode == 1
    page = tmp_path / "runs" / "reports" / log.stem / "index.html"
    assert done.stderr == f"\n{words}\nLog: {log}\nReport: {page}\n"
    assert words in page.read_text() and words in (page.parents[1] / "index.html").read_text()
    steps = json.loads(page.with_name("report.json").read_text())["steps"]
    assert [(step["name"], step["state"]) for step in steps] == [("First", "run"), ("Second", "failed")]
    assert re.search(r"Second +\d+\.\d s  failed$", done.stdout.strip())
    assert "Traceback (most recent call last)" in log.read_text()


def test_damaged_metadata_are_named_with_the_remedy(command: list[str], tmp_path: pathlib.Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    (root / "metadata.sqlite").write_bytes(b"no database" * 1000)
    done = warm_python.run(command)
    _, words, log = done.stderr.splitlines()
    assert done.returncode == 1
    assert words.startswith(f"{root / 'metadata.sqlite'} must be the record of earlier runs; ")
    assert "file is not a database. Restore it, or move it away" in words and "CREATE" not in words
    assert log.startswith("Log: ")


def test_a_folder_in_which_nothing_was_pushed_yet_is_no_failure(
    command: list[str], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "live").mkdir()
    done = warm_python.run([*command, "--push-dir", str(tmp_path / "live")])
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nNo bundle was ever pushed, so there are no recommendations: see docs/gates.md.\n" in done.stdout


def test_a_bundle_that_cannot_recommend_is_an_error_and_the_run_has_its_page(
    command: list[str], tmp_path: pathlib.Path
) -> None:
    bundle = tmp_path / "live" / "bundles" / "1"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").touch()
    (bundle.parents[1] / "current").symlink_to("bundles/1")
    done = warm_python.run([*command, "--push-dir", str(tmp_path / "live")])
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("recommend.py: ") and "manifest.json" in line
    assert "recommend.py" not in done.stdout
    assert pathlib.Path(done.stdout.splitlines()[-1].removeprefix("Report: ")).is_file()


# As COMMAND, with Beam's workers at work on a function of the project, and a user who is in no database.
WORKERS = """
import pathlib, pwd, sys, types
sys.path.insert(0, ROOT)

def nobody(*_):
    raise KeyError("not there")

pwd.getpwuid = nobody
import local_runner
from retraining.journal import Report

def create_pipeline(pipeline_root, metadata_connection_config, beam_pipeline_args, **_):
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from components.movielens_example_gen.parsing.catalogue import title_year
    from pipeline.beam_flags import with_runner
    from tests.runners.pipelines import slow_pipeline
    with beam.Pipeline(options=PipelineOptions(with_runner(beam_pipeline_args))) as pipeline:
        years = pipeline | beam.Create(["Solaris (1972)"]) | beam.Map(title_year) | beam.Map(str)
        years | beam.io.WriteToText(pipeline_root + "/years", shard_name_template="")
    return slow_pipeline.create(pathlib.Path(pipeline_root), metadata_connection_config)

sys.modules["pipeline.pipeline"] = types.SimpleNamespace(create_pipeline=create_pipeline)
sys.exit(local_runner.main(sys.argv[1:]))
"""


def test_beams_workers_find_the_project_from_any_folder_and_need_no_home(
    command: list[str], tmp_path: pathlib.Path
) -> None:
    beam_options = ["--", "--direct_running_mode=multi_processing", "--direct_num_workers=1"]
    code = WORKERS.replace("ROOT", repr(str(ROOT)))
    left_out = ("PYTHONPATH", "HOME", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [sys.executable, "-c", code, *command[2:], *beam_options],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=250,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "runs" / "years").read_text() == "1972\n"


# Beam would make an error of its own of a KeyboardInterrupt.
@pytest.mark.parametrize("runner", ["local", "beam"])
def test_an_interrupted_run_ends_in_words(command: list[str], tmp_path: pathlib.Path, runner: str) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    (root / "hang").touch()
    stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
    running = warm_python.start([*command, "--runner", runner], stdout, stderr)
    deadline = time.monotonic() + 250
    while not (root / "hanging").exists():
        assert running.process.is_alive() and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    done = running.finish()
    (log,) = (root / "logs").iterdir()
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.splitlines()[-2:] == [
        "Stopped. The same command goes on from here: finished steps are in the cache.",
        f"Log: {log}",
    ]
