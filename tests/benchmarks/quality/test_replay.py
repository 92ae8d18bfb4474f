"""The replay, shortened: real Evaluators and champions on planted predictions, and one refused push."""

from __future__ import annotations

import io
import json
import pathlib

import ml_metadata as mlmd
import pytest
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from benchmarks.quality import replay
from components.movielens_example_gen.config import DataConfig
from pipeline import config as configuration
from pipeline.config import Config
from retraining import runs
from retraining.cut import DAY, cut
from retraining.journal import Report
from retraining.runs import Launched, Workspace
from retraining.schedule import Schedule
from runners.reporting import report
from runners.reporting.summary import read_summary
from runners.running import record, steps
from runners.terminal.status import Terminal
from tests.runners.pipelines import planted_run

pytestmark = pytest.mark.slow("runs Evaluators span by span")

REFUSED = 4


def launch(config: Config, folders: Workspace) -> Launched:
    """Run a small pipeline; its retrieval model fails the women in one span, and is worse for it."""
    rank = "sexist_rank" if runs.require_spans(config).newest == REFUSED else "good_rank"
    folders.root.mkdir(parents=True, exist_ok=True)
    with steps.shown(Terminal(io.StringIO())):
        LocalDagRunner().run(planted_run.create(folders.root, rank))
    steps_of_run = record.latest_run(mlmd.MetadataStore(planted_run.connection(folders.root)))
    report.write(read_summary(steps_of_run), folders.folder / "report.json")
    return Launched(Report.model_validate(json.loads((folders.folder / "report.json").read_text())))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    folder = tmp_path_factory.mktemp("replay")
    release = folder / "release"
    release.mkdir()
    lines = [b"1\t1\t3\t%d\n" % (880_000_000 + day * DAY) for day in range(0, 35, 3)]
    (release / "u.data").write_bytes(b"".join(lines))
    (release / "u.item").write_bytes(b"1|A (1990)|01-Jan-1990||u|" + b"|".join([b"0"] * 19) + b"\n")
    (release / "u.user").write_bytes(b"1|30|F|writer|00000\n")
    assert cut(release, DataConfig(), folder / "spans", days=7).spans == 5
    config = configuration.retraining()
    entries = replay.replay(
        folder / "spans", range(3, 6), config, Schedule(window=3, keep_runs=9), folder / "run", launch
    )
    return replay.rows(entries)


def test_every_span_gets_a_run_and_a_refused_push_leaves_the_served_version(table: list[list[str]]) -> None:
    spans, outcomes, served = ([row[column] for row in table] for column in (0, 5, 6))
    assert spans == ["3", "4", "5"]
    assert outcomes == ["pushed", "refused: retrieval", "pushed"]
    assert served == ["1", "1", "1"]


def test_challenger_and_champion_are_measured_on_the_same_rows(table: list[list[str]]) -> None:
    # planted_run gates hits with seen titles, so the replay's own figure is not there; RMSE is.
    ratings = [row[4] for row in table]
    assert ratings[0] == "0.500 / -"
    assert len({row[1] for row in table}) == 1


def test_a_failed_run_ends_the_replay(tmp_path: pathlib.Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / "spans" / f"span-{number}").mkdir(parents=True)
        (tmp_path / "spans" / f"span-{number}" / "u.data").write_bytes(b"1\t1\t3\t880000000\n")
    entries = replay.replay(
        tmp_path / "spans",
        range(2, 4),
        configuration.retraining(),
        Schedule(),
        tmp_path / "run",
        lambda *_: Launched(None, "Transform failed: no."),
    )
    assert [entry.outcome for entry in entries] == ["failed"]
    assert replay.rows(entries)[0][5] == "failed"
