"""Make the runs that are due, one after the other: each a process of its own, one scheduler at a time."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pydantic

from common.errors import DataError, disk_errors
from common.progress import progress
from common.validation import in_words
from components.movielens_example_gen.config import SpansConfig
from components.movielens_example_gen.sources import emptiness, local_listing, parts, spans
from pipeline.config import Config
from retraining import journal, plan, retention
from retraining.schedule import Schedule
from runners.exit_codes import BUSY
from runners.running.workspace import FAILED, BusyError, claimed

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_BUSY_SECONDS = 30.0  # Between two attempts while another run uses the root.


class Workspace(NamedTuple):
    """The folders of a pipeline's runs.

    Attributes:
      data: folder of the spans.
      root: folder of artifacts and metadata, of all pipelines.
      push_dir: folder of the pushed bundles.
      name: of the pipeline.
    """

    data: pathlib.Path
    root: pathlib.Path
    push_dir: pathlib.Path
    name: str

    @property
    def folder(self) -> pathlib.Path:
        """Folder of the scheduler's own files."""
        return self.root / "retraining" / self.name

    @property
    def journal(self) -> pathlib.Path:
        """File of the record of the runs."""
        return self.folder / "runs.jsonl"


class Launched(NamedTuple):
    """How a run ended: its report, or the message of its failure."""

    report: journal.Report | None
    words: str = ""


# Runs a pipeline with a configuration.
Launch = Callable[[Config, Workspace], Launched]


class SpansFound(NamedTuple):
    """The latest version of each span, by number; and the spans of these that hold no rows."""

    versions: dict[int, int]
    empty: set[int]


def find_spans(data: pathlib.Path, config: Config) -> SpansFound:
    """Find the spans in a folder.

    Raises:
      DataError: a folder cannot be listed, a folder's name has no number, or two have the same.
    """
    table = config.data.spec.ratings
    found = local_listing.sizes(str(data), spans.patterns(parts.patterns(table.names)))
    latest = spans.versions(found)

    def has_rows(span: spans.Span) -> bool:
        for name in found:
            if parts.whole(name).rpartition("/")[0] != span.folder:
                continue
            with contextlib.suppress(FileNotFoundError), open(data / name, "rb") as file:
                if emptiness.has_rows(file, name, table.header):
                    return True
        return False

    empty = {span.number for span in latest if not has_rows(span)}
    return SpansFound({span.number: span.version for span in latest}, empty)


def require_spans(config: Config) -> SpansConfig:
    """Return the settings of spans.

    Raises:
      ValueError: the configuration reads a release as a whole.
    """
    if not config.data.spans:
        raise ValueError(
            "the configuration must read spans, as the preset retraining does; data.spans is not set"
        )
    return config.data.spans


def configured(config: Config, window: int | None, versions: Mapping[int, int]) -> Config:
    """Return the configuration of the run whose newest span is the last of the given ones.

    It names the versions of the spans, so that the run reads exactly the recorded versions, also if later
    ones come meanwhile, and comes from the cache only if the cached run read the same. TFX's cache alone does
    not distinguish files of equal size and time in different folders.

    >>> from pipeline import config
    >>> configured(config.retraining(), 5, {8: 0, 9: 2}).data.spans
    SpansConfig(window=5, newest=9, versions={8: 0, 9: 2}, gaps='stop')
    """
    changes = {"window": window, "newest": max(versions), "versions": dict(versions)}
    read = require_spans(config).model_copy(update=changes)
    data = config.data.model_copy(update={"spans": read})
    return config.model_copy(update={"data": data})


def run_due(
    workspace: Workspace,
    config: Config,
    schedule: Schedule,
    launch: Launch,
    since: int | None = None,
) -> list[journal.Entry]:
    """Make the runs that are due, and record each.

    After a failed run no later one is made, because it would build on the models of the failed one.

    Args:
      since: of a backfill, see plan.due.
    Returns:
      The records of the runs; none if no span came.
    Raises:
      BusyError: another scheduler runs the pipeline.
      DataError: a span's folder has a wrong name, or the disk cannot be read or written.
      JournalError: the record of the runs is damaged.
      ValueError: the backfill begins too early.
    """
    made = []
    window = schedule.read_window(require_spans(config).window)
    # Locked from the plan to the record, so that no two schedulers run the same span. Each run locks the root
    # itself.
    with claimed(workspace.folder):
        entries = journal.read(workspace.journal)
        found = find_spans(workspace.data, config)
        due = plan.due(found.versions, entries, schedule.catch_up, window, since, found.empty)
        if not due.spans:
            progress.info("Nothing to run: %s", due.reason)
        for position, newest in enumerate(due.spans, 1):
            progress.info("Span %d, run %d of %d: %s", newest, position, len(due.spans), due.reason)
            known = {number: version for number, version in found.versions.items() if number <= newest}
            started = time.time()
            launched = launch(configured(config, window, known), workspace)
            entry = _entry(newest, known, launched, started)
            journal.append(workspace.journal, entry)
            made.append(entry)
            progress.info("Span %d: %s", newest, describe(entry))
            if entry.outcome == "failed":
                if waiting := due.spans[position:]:
                    progress.info("Later spans wait for it; `run --since %d` goes on without it", waiting[0])
                break
            _tidy(workspace, schedule.keep_runs)
    return made


def _tidy(workspace: Workspace, keep_runs: int) -> None:
    # A run that is recorded stays recorded, also if its old artifacts cannot be removed now.
    try:
        retention.tidy(workspace.root, workspace.name, keep_runs)
    except (BusyError, DataError, OSError) as error:
        progress.warning("Artifacts of old runs stay until the next run has ended: %s", error)


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


def describe(entry: journal.Entry) -> str:
    """Describe the outcome of a run in one line."""
    if not entry.report:
        return f"failed: {entry.words}"
    report = entry.report
    drift = f"; drifted: {', '.join(report.drifted)}" if report.drifted else ""
    if entry.outcome == "pushed":
        return f"pushed version {report.pushed_version}{drift}"
    return f"refused, the served version stays: {report.not_pushed_because}{drift}"


def launch(config: Config, workspace: Workspace) -> Launched:
    """Run local_runner.py as soon as no other run uses the root."""
    folder = workspace.folder
    settings, report = folder / "config.json", folder / "report.json"
    with disk_errors(folder):
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
        code = _wait(command, output)
        if code == BUSY:
            # Pipelines may share a root, and a run may have outlived the scheduler that began it.
            progress.info("Waiting: another run uses %s", workspace.root)
        while code == BUSY:
            time.sleep(_BUSY_SECONDS)
            code = _wait(command, output)
        output.seek(0)
        named = ("Log: ", "Report: ", "No report ")  # What stands after the cause of a failure.
        lines = [line.strip() for line in output if line.strip() and not line.startswith(named)]
    try:
        launched = _read(report)
    except ValueError as error:  # A run that was killed, or whose disk is full, leaves no whole report.
        launched = Launched(None, lines[-1] if code and lines else f"{error}; exit code {code}")
    if code and launched.report:
        return Launched(None, lines[-1] if lines else f"exit code {code}")
    return launched


def _read(report: pathlib.Path) -> Launched:
    """Read a run's report.

    Raises:
      ValueError: there is no report, or it cannot be read.
    """
    try:
        content = json.loads(report.read_text())
        if isinstance(content, dict) and FAILED in content:
            return Launched(None, " ".join(str(content[FAILED]).split()))
        return Launched(journal.Report.model_validate(content))
    except FileNotFoundError as error:
        raise ValueError("the run left no report") from error
    except pydantic.ValidationError as error:
        raise ValueError(f"{report} must be the report of a run: {in_words(error)}") from error
    except ValueError as error:
        raise ValueError(f"{report} must be the report of a run; it cannot be read: {error}") from error


def _wait(command: Sequence[str], output) -> int:
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=_ROOT)
    try:
        return process.wait()
    finally:
        if process.poll() is None:  # A signal stopped this process: stop the child too.
            process.terminate()
            process.wait()
