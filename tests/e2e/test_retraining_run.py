"""The preset `retraining` over planted spans, each run the process that `python -m retraining run` starts.

It is forked here from one that has imported TFX; tests/retraining/test_run_processes.py starts interpreters.
Models as small and trainings as short as can be, and gates that such models pass: for the machinery, not for
quality.
"""

from __future__ import annotations

import dataclasses
import html
import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import TextIO

import ml_metadata as mlmd
import pytest

from benchmarks.quality.replay import reduced
from common.progress import progress
from modules import features
from modules.hyperparameters import read_ranking
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.drift import DriftConfig
from pipeline.gates import Gate
from retraining import runs
from retraining.cut import cut
from retraining.journal import Entry, Report
from retraining.runs import Workspace
from retraining.schedule import Schedule
from runners.running import workspace
from tests.helpers import planted_release
from tests.helpers.processes import warm_python

pytestmark = pytest.mark.e2e

# So that a run meets users whom the one before it has not seen, and misses some of its own.
SCHEDULE = Schedule(window=3)
GRADIENT_MODELS = ("retrieval", "multitask")


def forked(command: Sequence[str], output: TextIO) -> int:
    """Do what `runs.launch` has a new interpreter do, with what it would print."""
    log = pathlib.Path(output.name)
    return warm_python.start(command[1:], log, log).finish(warm_python.PIPELINE_SECONDS).returncode


def config(rmse_bound: float) -> Config:
    """The preset with small models; the ranking model passes its gate where its RMSE is below the bound."""
    sides = {"query_features": ["user_id"], "candidate_features": ["movie_title"], "embedding_dim": 4}
    # As in the preset, which planted_release has fitted by gradients.
    bayesian = {"head": "bayesian", **sides, "history": False}
    # With a weight, so that no run fits its models a second time to choose one.
    small = planted_release.config(index={"blend": {"rating_weight": 0.25}})
    gate = Gate(metric=features.RMSE, bound=rmse_bound)
    changes = {
        "models": small.models.model_copy(update={"ranking": read_ranking(bayesian)}),
        "gates": small.gates.model_copy(update={"ranking": (gate,)}),
        "index": small.index,
    }
    return reduced(configuration.retraining().model_copy(update=changes), epochs=1, sweeps=12)


@dataclasses.dataclass(frozen=True)
class Played:
    """Where spans arrive and are run, and the runs of spans 3 and 4; in the second a model is not blessed."""

    folders: Workspace
    cut: pathlib.Path
    entries: list[Entry]
    output: str
    served_first: tuple[str, dict] = ("", {})

    def deliver(self, span: int) -> None:
        (self.cut / f"span-{span}").rename(self.folders.data / f"span-{span}")

    def report(self, run: int) -> Report:
        report = self.entries[run].report
        assert report, self.entries[run].words + self.output
        return report

    def served(self) -> tuple[str, dict]:
        current = self.folders.push_dir / "current"
        return os.readlink(current), json.loads((current / "manifest.json").read_text())


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("played")
    release = planted_release.write(folder / "release")
    assert cut(release, configuration.default().data, folder / "cut", days=7).spans == 5  # Four are played.
    (folder / "data").mkdir()
    for name in ("u.item", "u.user"):
        (folder / "cut" / name).rename(folder / "data" / name)
    name = configuration.of_data(config(9), folder / "data").pipeline_name
    # TensorFlow takes such names for patterns.
    folders = Workspace(folder / "data", folder / "runs [1]*?", folder / "pushed [1]*?", name)
    played = Played(folders, folder / "cut", [], "")
    for span in (1, 2, 3):
        played.deliver(span)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_wait", forked)
        entries = runs.run_due(folders, config(9), SCHEDULE, runs.launch)
        first = played.served()
        played.deliver(4)
        entries += runs.run_due(folders, config(0), SCHEDULE, runs.launch)
    output = (folders.folder / "output.log").read_text()
    return dataclasses.replace(played, entries=entries, output=output, served_first=first)


def inputs(played: Played, node: str) -> list[dict[str, int]]:
    """What each execution of a node read: the artifacts' ids by the names of the inputs, oldest first."""
    connection = mlmd.proto.ConnectionConfig()
    connection.sqlite.filename_uri = str(played.folders.root / workspace.METADATA)
    store = mlmd.MetadataStore(connection)
    context = store.get_context_by_type_and_name("node", f"{played.folders.name}.{node}")
    executions = sorted(execution.id for execution in store.get_executions_by_context(context.id))
    events = store.get_events_by_execution_ids(executions)
    return [
        {
            event.path.steps[0].key: event.artifact_id
            for event in events
            if event.execution_id == execution and event.type == mlmd.proto.Event.INPUT
        }
        for execution in executions
    ]


def rows_of(played: Played, span: int) -> int:
    return len((played.folders.data / f"span-{span}" / "u.data").read_text().splitlines())


def test_every_span_that_came_was_run(played: Played) -> None:
    assert [(entry.span, entry.outcome, entry.words) for entry in played.entries] == [
        (3, "pushed", ""),
        (4, "refused", ""),
    ]


def test_a_run_trains_on_its_window_and_measures_on_the_newest_span(played: Played) -> None:
    for run, newest in enumerate((3, 4)):
        train = sum(rows_of(played, span) for span in range(newest - 2, newest))
        assert played.report(run).rows == (train, rows_of(played, newest))


def test_challenger_and_champion_met_on_the_same_rows(played: Played) -> None:
    first, second = (
        {(model.name, metric): both for model in report.models for metric, both in model.metrics.items()}
        for report in (played.report(0), played.report(1))
    )
    assert {name for name, _ in first} == {"retrieval", "ranking", "multitask"}
    assert all(champion is None for _, champion in first.values())
    assert all(champion is not None for _, champion in second.values())
    # On the second run's rows the champion's figures are others; one metric of few rows may be the same.
    others = {name for (name, metric), (_, champion) in second.items() if champion != first[name, metric][0]}
    assert others == {name for name, _ in second}
    for name in ("retrieval", "ranking", "multitask"):
        before, now = inputs(played, f"Evaluator.{name}")[:2]
        assert now["baseline_model"] == before["model"] != now["model"]
        assert now["examples"] != before["examples"]


def test_the_second_training_began_where_the_first_ended(played: Played) -> None:
    for name in GRADIENT_MODELS:
        before, now = inputs(played, f"Trainer.{name}")[:2]
        champion = inputs(played, f"Evaluator.{name}")[0]["model"]
        assert "base_model" not in before and now["base_model"] == champion
        assert f"{name}: begins at the champion's parameters; new to it are " in played.output


def test_drift_gives_a_warning(played: Played) -> None:
    """Who comes later is older: so users were planted."""
    for run in (0, 1):
        report = played.report(run)
        assert set(report.drift) == set(DriftConfig().bounds)
        assert features.USER_AGE in report.drifted
        assert f"drifted: {', '.join(report.drifted)}" in runs.describe(played.entries[run])


def test_without_a_new_span_nothing_is_run(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", progress.name)
    log = played.folders.folder / "output.log"
    before = log.stat().st_mtime_ns
    assert runs.run_due(played.folders, config(9), SCHEDULE, runs.launch) == []
    assert "Nothing to run: no span came since span " in caplog.text
    assert log.stat().st_mtime_ns == before


def test_a_model_that_is_not_blessed_leaves_the_served_version(played: Played) -> None:
    first, second = played.report(0), played.report(1)
    assert (first.pushed_version, second.pushed_version) == (1, None)
    reasons = {model.name: model.refused_because for model in second.models if not model.blessed}
    assert list(reasons) == ["ranking"] and "rmse" in reasons["ranking"]
    assert "ranking" in second.not_pushed_because
    assert played.served() == played.served_first
    assert played.served_first[0] == "bundles/1"


def test_a_run_that_pushes_nothing_has_a_page_and_the_list_of_runs_says_so(played: Played) -> None:
    reports = played.folders.root / "reports"
    _, refused = sorted(path for path in reports.iterdir() if path.is_dir())
    because = played.report(1).not_pushed_because
    page, listed = (html.unescape((folder / "index.html").read_text()) for folder in (refused, reports))
    assert f"✗ Nothing is pushed</span>: {because}." in page and "✗ not blessed" in page
    assert "/proc/" not in page + listed + played.output, "the root is shown by the user's own path"
    newest, oldest = re.findall(r"<tr>\s*<td><a .*?</tr>", listed, re.DOTALL)
    assert f'href="{refused.name}/index.html"' in newest and f"✗ not pushed</span>: {because}" in newest
    assert "✓ pushed version 1" in oldest
