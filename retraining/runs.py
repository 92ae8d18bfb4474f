"""Make the runs that are due, one after the other: each a process of its own, under the pipeline's lease."""

from __future__ import annotations

import json
import logging
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from components.movielens_example_gen import spans
from components.movielens_example_gen.config import SpansConfig
from pipeline.config import Config
from retraining import journal, lease, plan, retention
from retraining.schedule import Schedule

_PROGRESS = logging.getLogger("marquee.progress")
_ROOT = pathlib.Path(__file__).resolve().parents[1]


class LeaseLostError(Exception):
    """The lease went to another while a run was under way."""


class Workspace(NamedTuple):
    """Where a pipeline is run again and again.

    Attributes:
      data: folder of the spans.
      root: for artifacts and metadata, of all pipelines.
      push_dir: where bundles go.
      name: of the pipeline.
    """

    data: pathlib.Path
    root: pathlib.Path
    push_dir: pathlib.Path
    name: str

    @property
    def folder(self) -> pathlib.Path:
        """For what is remembered from run to run."""
        return self.root / "retraining" / self.name

    @property
    def journal(self) -> pathlib.Path:
        """What was run."""
        return self.folder / "runs.jsonl"

    @property
    def lease(self) -> pathlib.Path:
        """Who runs it."""
        return self.folder / "lease.json"


class Launched(NamedTuple):
    """How a run ended: what it came to, or the words of its failure."""

    report: journal.Report | None
    words: str = ""


# Runs a pipeline with a configuration, until it is over or the lease was lost.
Launch = Callable[[Config, Workspace, lease.Lease], Launched]


def versions(data: pathlib.Path, config: Config) -> dict[int, int]:
    """Look what is there: the latest version of each span, by number.

    Raises:
      DataError: a folder's name leaves open what is meant.
    """
    names = config.data.spec.ratings.names
    found = [str(path) for pattern in spans.patterns(names) for path in data.glob(pattern)]
    return {span.number: span.version for span in spans.latest_versions(found)}


def require_spans(config: Config) -> SpansConfig:
    """Return how a configuration reads spans.

    Raises:
      ValueError: it reads a release as a whole.
    """
    if not config.data.spans:
        raise ValueError(
            "the configuration must read spans, as the preset retraining does; data.spans is not set"
        )
    return config.data.spans


def configured(config: Config, schedule: Schedule, newest: int) -> Config:
    """Return the configuration of the run whose newest span is given.

    >>> from pipeline import config
    >>> configured(config.retraining(), Schedule(window=5), newest=9).data.spans.window
    5
    """
    read = require_spans(config).model_copy(update={"window": schedule.window, "newest": newest})
    data = config.data.model_copy(update={"spans": read})
    return config.model_copy(update={"data": data})


def run_due(
    workspace: Workspace,
    config: Config,
    schedule: Schedule,
    launch: Launch,
    since: int | None = None,
) -> list[journal.Entry]:
    """Run what is due, and record each run.

    The runs after one that failed are left for another time: they would build on what it did not leave.

    Args:
      since: of a backfill, see plan.due.
    Returns:
      What was run; nothing where no span came.
    Raises:
      JournalError: the record of the runs is damaged.
      LeaseError: the pipeline is being run by another.
      LeaseLostError: another took the lease, after this process stood still.
      ValueError: the backfill cannot be.
    """
    made = []
    with lease.held(workspace.lease, schedule.lease_seconds) as held:
        entries = journal.read(workspace.journal)
        there = versions(workspace.data, config)
        due = plan.due(there, entries, schedule, since)
        if not due.spans:
            _PROGRESS.info("Nothing to run: %s", due.reason)
        for place, newest in enumerate(due.spans, 1):
            _PROGRESS.info("Span %d, run %d of %d: %s", newest, place, len(due.spans), due.reason)
            known = {number: version for number, version in there.items() if number <= newest}
            started = time.time()
            launched = launch(configured(config, schedule, newest), workspace, held)
            # Asked anew: the thread that renews it may not have run since this process stood still.
            if held.lost.is_set() or not held.renew():
                raise LeaseLostError(
                    f"The lease on {workspace.root} went to another while span {newest} was run: this "
                    f"process stood still for more than {schedule.lease_seconds} s. See that only one "
                    "scheduler runs."
                )
            entry = _entry(newest, known, launched, started)
            journal.append(workspace.journal, entry)
            made.append(entry)
            _PROGRESS.info("Span %d: %s", newest, described(entry))
            if entry.outcome == "failed":
                break
            retention.tidy(workspace.root, workspace.name, schedule.keep_runs)
    return made


def _entry(newest: int, known: dict[int, int], launched: Launched, started: float) -> journal.Entry:
    outcome = "failed"
    if launched.report:
        outcome = "refused" if launched.report.pushed_version is None else "pushed"
    return journal.Entry(
        span=newest,
        versions=known,
        outcome=outcome,
        ended=time.time(),
        seconds=time.time() - started,
        words=launched.words,
        report=launched.report,
    )


def described(entry: journal.Entry) -> str:
    """Say in one line what a run came to."""
    if not entry.report:
        return f"failed: {entry.words}"
    report = entry.report
    drift = f"; drifted: {', '.join(report.drifted)}" if report.drifted else ""
    if entry.outcome == "pushed":
        return f"pushed version {report.pushed_version}{drift}"
    return f"refused, what was served still is: {report.not_pushed_because}{drift}"


def launch(config: Config, workspace: Workspace, held: lease.Lease) -> Launched:
    """Run local_runner.py, and stop it if the lease goes to another."""
    folder = workspace.folder
    settings, report = folder / "config.json", folder / "report.json"
    settings.write_text(config.model_dump_json(indent=1))
    report.unlink(missing_ok=True)
    flags = {
        "--data": workspace.data,
        "--config": settings,
        "--pipeline-root": workspace.root,
        "--push-dir": workspace.push_dir,
        "--report": report,
    }
    command = [
        sys.executable,
        str(_ROOT / "local_runner.py"),
        *(str(x) for pair in flags.items() for x in pair),
    ]
    with open(folder / "output.log", "w+", encoding="utf-8", errors="replace") as output:
        code = _wait(command, output, held)
        output.seek(0)
        lines = [line.strip() for line in output if line.strip()]
    if code or not report.exists():
        return Launched(None, _words(lines) or f"exit code {code}")
    return Launched(journal.Report.model_validate(json.loads(report.read_text())))


def _wait(command: Sequence[str], output, held: lease.Lease) -> int:
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=_ROOT)
    try:
        while process.poll() is None and not held.lost.wait(0.5):
            pass
        if process.poll() is None:
            process.terminate()  # Once, or it would be interrupted while it puts things in order.
        return process.wait()
    finally:
        if process.poll() is None:  # Stopped by a signal, like this process.
            process.terminate()
            process.wait()


def _words(lines: Sequence[str]) -> str:
    """Find what a failed run said last, before where its log is."""
    said = [line for line in lines if not line.startswith("Log: ")]
    return said[-1] if said else ""
