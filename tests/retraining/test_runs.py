"""Runs that are due: made one at a time, recorded, skipped, stopped. The pipeline itself is planted."""

from __future__ import annotations

import dataclasses
import datetime
import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from common.errors import DataError
from common.progress import progress
from pipeline import config as configuration
from pipeline.config import Config
from retraining import journal, runs, watch
from retraining.journal import Report
from retraining.runs import Launched, Workspace
from retraining.schedule import Schedule
from runners.exit_codes import BUSY, FAILED, STOPPED
from runners.running.workspace import BusyError, claimed

CONFIG = configuration.retraining()
WEEKLY = Schedule(window=3)


@dataclasses.dataclass
class Planted:
    """A pipeline that pushes, but for the spans whose push it refuses, or at which it fails."""

    workspace: Workspace
    refuses: set[int] = dataclasses.field(default_factory=set)
    fails: set[int] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        self.seen: list[tuple[int | None, int | None]] = []

    def launch(self, config: Config, workspace: Workspace) -> Launched:
        with pytest.raises(BusyError):
            runs.run_due(workspace, config, WEEKLY, self.launch)
        read = runs.require_spans(config)
        self.seen.append((read.newest, read.window))
        if read.newest in self.fails:
            return Launched(None, "Transform failed: the disk is full. Free some space.")
        served = None if read.newest in self.refuses else read.newest
        return Launched(Report(rows=(8, 2), models=(), pushed_version=served, not_pushed_because="worse"))

    def run(self, schedule: Schedule = WEEKLY, since: int | None = None) -> list[tuple[int, str]]:
        made = runs.run_due(self.workspace, CONFIG, schedule, self.launch, since)
        return [(entry.span, entry.outcome) for entry in made]


@pytest.fixture
def planted(tmp_path: pathlib.Path) -> Planted:
    data = tmp_path / "data"
    name = configuration.of_data(CONFIG, data).pipeline_name
    pipeline = Planted(Workspace(data, tmp_path / "runs", tmp_path / "pushed", name))
    deliver(pipeline, 1, 2, 3)
    return pipeline


def deliver(planted: Planted, *spans: int, version: int | None = None) -> None:
    for span in spans:
        folder = planted.workspace.data / f"span-{span}"
        folder = folder / f"version-{version}" if version else folder
        folder.mkdir(parents=True)
        (folder / "u.data").write_bytes(b"1\t1\t3\t880000000\n")


def replace_runner(planted: Planted, monkeypatch, text: str) -> None:
    """Replace local_runner.py by a script, for `runs.launch`."""
    script = planted.workspace.root / "local_runner.py"
    script.parent.mkdir(parents=True)
    script.write_text(text)
    monkeypatch.setattr(runs, "_ROOT", planted.workspace.root)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", progress.name)
    return caplog


def test_without_a_new_span_no_run_is_made_and_the_log_says_so(planted: Planted, log) -> None:
    assert planted.run() == [(3, "pushed")]
    assert planted.run() == []
    assert "Nothing to run: no span came since span 3" in log.text
    assert planted.seen == [(3, 3)]


def test_what_was_missed_is_caught_up_with_one_at_a_time(planted: Planted) -> None:
    planted.run()
    deliver(planted, 4, 5, 6)
    planted.refuses = {5}
    assert planted.run() == [(4, "pushed"), (5, "refused"), (6, "pushed")]
    deliver(planted, 7, 8)
    assert planted.run(Schedule(catch_up=False, window=None)) == [(8, "pushed")]
    assert planted.seen[-1] == (8, None)


def test_the_window_is_the_schedules_or_else_the_configurations(planted: Planted) -> None:
    planted.run(Schedule())
    deliver(planted, 4)
    planted.run(Schedule(window=2))
    assert planted.seen == [(3, runs.require_spans(CONFIG).window), (4, 2)] == [(3, 12), (4, 2)]


def test_spans_without_rows_are_passed_over(planted: Planted, log) -> None:
    planted.run()
    deliver(planted, 4, 6)
    for span in (5, 7):
        (planted.workspace.data / f"span-{span}").mkdir()
        (planted.workspace.data / f"span-{span}" / "u.data").touch()
    assert planted.run() == [(4, "pushed"), (6, "pushed")]
    assert planted.run() == []
    assert "Nothing to run: no span came since span 6, except without rows: 7" in log.text
    assert 5 in journal.read(planted.workspace.journal)[-1].versions


def test_a_run_reads_the_versions_that_are_recorded_of_it(planted: Planted) -> None:
    deliver(planted, 2, version=1)

    def launch(config: Config, workspace: Workspace) -> Launched:
        deliver(planted, 2, version=9)  # Comes while the run is under way.
        read.append(runs.require_spans(config).versions)
        return planted.launch(config, workspace)

    read: list[dict[int, int] | None] = []
    (entry,) = runs.run_due(planted.workspace, CONFIG, WEEKLY, launch)
    assert read == [{1: 0, 2: 1, 3: 0}] and entry.versions == read[0]
    assert planted.run() == [(3, "pushed")]


def test_a_root_that_another_uses_is_waited_for(planted: Planted, monkeypatch, log) -> None:
    replace_runner(
        planted,
        monkeypatch,
        "import pathlib, sys\n"
        "tries = pathlib.Path('tries')\n"
        "with tries.open('a') as file:\n"
        "    file.write('x')\n"
        f"sys.exit('It ran.' if tries.stat().st_size > 2 else {BUSY})\n",
    )
    monkeypatch.setattr(runs, "_BUSY_SECONDS", 0.01)
    made = runs.run_due(planted.workspace, CONFIG, WEEKLY, runs.launch)
    assert [entry.words for entry in made] == ["It ran."]
    assert (planted.workspace.root / "tries").read_text() == "xxx"
    assert log.text.count("Waiting: another run uses") == 1


def test_a_failed_retention_undoes_no_run(planted: Planted, monkeypatch, log) -> None:
    def deny(*_: object) -> None:
        raise BusyError("One run at a time may use it.")

    monkeypatch.setattr(runs.retention, "tidy", deny)
    assert planted.run(since=2) == [(2, "pushed"), (3, "pushed")]
    assert "Artifacts of old runs stay until the next run has ended: One run at a time" in log.text


def test_a_failed_run_holds_up_the_later_ones_and_is_tried_again(planted: Planted, log) -> None:
    planted.run()
    deliver(planted, 4, 5)
    planted.fails = {4}
    assert planted.run() == [(4, "failed")]
    assert "Span 4: failed: Transform failed: the disk is full" in log.text
    assert "Later spans wait for it; `run --since 5` goes on without it" in log.text
    planted.fails = set()
    assert planted.run() == [(4, "pushed"), (5, "pushed")]


def test_late_data_makes_the_newest_span_run_again_once(planted: Planted) -> None:
    planted.run()
    deliver(planted, 2, version=1)
    assert planted.run() == [(3, "pushed")]
    assert planted.run() == []


def test_a_damaged_record_runs_nothing_and_holds_up_nobody(planted: Planted) -> None:
    planted.run()
    content = planted.workspace.journal.read_bytes()[:-20]
    planted.workspace.journal.write_bytes(content)
    deliver(planted, 4)
    with pytest.raises(journal.JournalError, match=r"Line 1 of .*runs.jsonl must be .* Restore the file"):
        planted.run()
    assert planted.seen == [(3, 3)]
    assert planted.workspace.journal.read_bytes() == content
    with claimed(planted.workspace.folder):
        pass


def test_a_backfill_goes_through_the_past(planted: Planted) -> None:
    assert planted.run(since=2) == [(2, "pushed"), (3, "pushed")]
    with pytest.raises(ValueError, match="must begin after span 3"):
        planted.run(since=2)


def test_what_was_run_is_on_record(planted: Planted) -> None:
    planted.refuses = {3}
    planted.run()
    (entry,) = journal.read(planted.workspace.journal)
    assert (entry.span, entry.versions, entry.outcome) == (3, {1: 0, 2: 0, 3: 0}, "refused")
    assert entry.report and entry.report.rows == (8, 2)
    assert runs.describe(entry) == "refused, the served version stays: worse"


def test_a_configuration_that_reads_no_spans_is_rejected() -> None:
    with pytest.raises(ValueError, match="must read spans, as the preset retraining does"):
        runs.require_spans(configuration.default())


def test_the_process_of_a_run_gets_the_configuration_and_leaves_a_report(
    planted: Planted, monkeypatch
) -> None:
    """local_runner.py is replaced by a script that takes the same flags."""
    replace_runner(
        planted,
        monkeypatch,
        "import json, pathlib, sys\n"
        "flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "config = json.loads(pathlib.Path(flags['--config']).read_text())\n"
        "span = config['data']['spans']['newest']\n"
        "print('working', flush=True)\n"
        "if span == 4:\n"
        "    words = 'Transform failed: no.\\n\\nAt all.'\n"
        "    pathlib.Path(flags['--report']).write_text(json.dumps({'failed': words}))\n"
        "    sys.exit(words + '\\nLog: somewhere')\n"
        "report = {'rows': [1, 1], 'models': [], 'pushed_version': span}\n"
        "pathlib.Path(flags['--report']).write_text(json.dumps(report))\n",
    )
    made = runs.run_due(planted.workspace, CONFIG, WEEKLY, runs.launch)
    assert [(entry.outcome, entry.report and entry.report.pushed_version) for entry in made] == [
        ("pushed", 3)
    ]
    deliver(planted, 4)
    (entry,) = runs.run_due(planted.workspace, CONFIG, WEEKLY, runs.launch)
    assert (entry.outcome, entry.words) == ("failed", "Transform failed: no. At all.")
    written = json.loads((planted.workspace.folder / "config.json").read_text())
    assert Config.model_validate(written) == runs.configured(CONFIG, 3, {1: 0, 2: 0, 3: 0, 4: 0})


@pytest.mark.parametrize(
    ("report", "code", "words"),
    [
        pytest.param("", 1, "The disk is full (/srv/runs). Free some space.", id="a full disk, then"),
        pytest.param(
            "", 0, "report.json must be the report of a run; it cannot be read", id="a full disk at the end"
        ),
        pytest.param('{"rows": [1', 0, "report.json must be the report of a run", id="cut short"),
        pytest.param('{"rows": [1]}', 0, "report.json must be the report of a run", id="of another release"),
        pytest.param(
            '{"rows": [1, 1], "models": [], "pushed_version": 1}',
            1,
            "The disk is full",
            id="and then it failed",
        ),
        pytest.param("[]", 0, "report.json must be the report of a run", id="something else"),
    ],
)
def test_a_run_whose_report_cannot_be_read_has_failed(
    planted: Planted, monkeypatch, report: str, code: int, words: str
) -> None:
    replace_runner(
        planted,
        monkeypatch,
        "import pathlib, sys\n"
        "flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        f"pathlib.Path(flags['--report']).write_text({report!r})\n"
        "print('The disk is full (/srv/runs). Free some space.')\n"
        f"sys.exit({code})\n",
    )
    watching = [datetime.datetime.now(datetime.timezone.utc)] * 2
    monkeypatch.setattr(watch, "scheduled_times", lambda *_: iter(watching))
    watch.watch(WEEKLY, lambda: runs.run_due(planted.workspace, CONFIG, WEEKLY, runs.launch))
    entries = journal.read(planted.workspace.journal)
    assert [(entry.span, entry.outcome) for entry in entries] == [(3, "failed")] * 2, "it went on"
    assert words in entries[0].words and "\n" not in entries[0].words


def test_a_full_disk_is_reported(planted: Planted, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_text", full)
    with pytest.raises(DataError, match=r"The disk is full \(.*\)\. Free some space\."):
        runs.run_due(planted.workspace, CONFIG, WEEKLY, runs.launch)


# `python -m retraining`, with another script instead of local_runner.py.
SCHEDULER = """
import pathlib, sys
from retraining import __main__ as command, runs
runs._ROOT = pathlib.Path(sys.argv[1])
sys.exit(command.main(sys.argv[2:]))
"""
# Its run: says that it is under way, and ends when it may.
SLOW_RUN = """
import json, os, pathlib, sys, time
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("started.new", "w") as file:
    file.write(str(os.getpid()))
os.rename("started.new", "started")
while not os.path.exists("may-end"):
    time.sleep(0.02)
report = {"rows": [1, 1], "models": [], "pushed_version": 1}
pathlib.Path(flags["--report"]).write_text(json.dumps(report))
"""


@pytest.fixture
def scheduler(planted: Planted, monkeypatch) -> Iterator[subprocess.Popen]:
    """A scheduler whose run is under way."""
    replace_runner(planted, monkeypatch, SLOW_RUN)
    with schedule(planted) as process:
        wait_for(planted.workspace.root / "started")
        yield process
        (planted.workspace.root / "may-end").touch()


def schedule(planted: Planted) -> subprocess.Popen:
    flags = ["run", "--data", str(planted.workspace.data), "--pipeline-root", str(planted.workspace.root)]
    command = [sys.executable, "-c", SCHEDULER, str(planted.workspace.root), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: pathlib.Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_schedulers_one_runs_a_span_and_the_other_gives_up_in_words(
    planted: Planted, scheduler: subprocess.Popen
) -> None:
    second = schedule(planted)
    _, words = second.communicate()
    assert second.returncode == FAILED
    assert re.fullmatch(
        f"retraining: One run at a time may use {planted.workspace.folder}; process {scheduler.pid} on .+ is "
        "using it. Wait until it has ended, or name another folder with --pipeline-root.\n",
        words,
    )
    assert journal.read(planted.workspace.journal) == []
    (planted.workspace.root / "may-end").touch()
    scheduler.communicate()
    assert scheduler.returncode == 0
    assert planted.run() == []
    assert [entry.span for entry in journal.read(planted.workspace.journal)] == [3]


def test_a_killed_scheduler_holds_up_nobody(planted: Planted, scheduler: subprocess.Popen) -> None:
    scheduler.kill()
    scheduler.communicate()
    assert planted.run() == [(3, "pushed")]
    assert len(journal.read(planted.workspace.journal)) == 1


def test_a_scheduler_that_is_stopped_ends_its_run(planted: Planted, scheduler: subprocess.Popen) -> None:
    run = int((planted.workspace.root / "started").read_text())
    scheduler.send_signal(signal.SIGTERM)
    scheduler.communicate()
    assert scheduler.returncode == STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(run, 0)
    assert planted.run() == [(3, "pushed")]


def test_the_commands_reject_mistakes_in_words(planted: Planted) -> None:
    def command(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "retraining", *arguments], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr.strip().splitlines()[-1]

    nowhere = str(planted.workspace.root / "nowhere")
    assert command("run", "--data", nowhere) == (
        2,
        f"retraining: --data must name a folder with spans; there is none at {nowhere}",
    )
    code, words = command("run", "--data", str(planted.workspace.data), "--preset", "default")
    assert code == 2 and "must read spans" in words
