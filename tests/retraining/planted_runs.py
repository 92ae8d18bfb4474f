"""A scheduler on planted spans, whose pipeline is planted too."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline import config as configuration
from pipeline.config import Config
from retraining import runs
from retraining.journal import Report
from retraining.runs import Launched, Workspace
from retraining.schedule import Schedule
from runners.running.workspace import BusyError

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
