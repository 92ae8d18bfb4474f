"""The processes of runs and of schedulers: what they are given and leave, and what ends them."""

from __future__ import annotations

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
from pipeline.config import Config
from retraining import journal, runs, watch
from runners.exit_codes import FAILED, STOPPED
from tests.retraining.planted_runs import CONFIG, WEEKLY, Planted, deliver, replace_runner


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
