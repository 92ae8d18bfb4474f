"""What is shown while a pipeline runs and after it, on the real Evaluator's artifacts."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import re
import shutil

import ml_metadata as mlmd
import pytest
from rich.console import Console
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.index_pusher.description import model_card
from modules.evaluation.results import Gated
from modules.features import COVERAGE, TOP_KS, hit_metric
from runners.reporting import tables
from runners.reporting.summary import Model, Summary, read_summary
from runners.running import record, steps
from runners.terminal.status import Terminal
from tests.runners.pipelines import planted_run

pytestmark = pytest.mark.slow("runs Evaluators")

TOP_100 = "top_100_categorical_accuracy"
TOP_1 = "top_1_categorical_accuracy_unseen"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: the terminal's lines, and what was read of it afterwards."""

    lines: list[str]
    summary: Summary

    def model(self, name: str) -> Model:
        """What was gated of one model."""
        return next(model for model in self.summary.models if model.name == name)

    @property
    def shown(self) -> list[str]:
        """The summary as printed."""
        stream = io.StringIO()
        console = Console(file=stream, width=110)
        tables.show(console, self.summary, 12.34, pathlib.Path("runs/logs/now.log"))
        return squeeze(stream.getvalue())


def squeeze(text: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in text.splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A good model, the same again, and one that fails the women; the second under Beam.

    Last the good one again, after somebody has deleted all models.
    """
    root = tmp_path_factory.mktemp("planted")
    runs = []
    for rank, runner, deleted in (
        ("good_rank", LocalDagRunner, ""),
        ("good_rank", BeamDagRunner, ""),
        ("sexist_rank", LocalDagRunner, ""),
        ("good_rank", LocalDagRunner, "Trainer.*"),
    ):
        for folder in root.glob(deleted) if deleted else ():
            shutil.rmtree(folder)
        stream = io.StringIO()
        with steps.shown(Terminal(stream)):
            runner().run(planted_run.create(root, rank))
        store = mlmd.MetadataStore(planted_run.connection(root))
        lines = [re.sub(r"\d+\.\d s", "_ s", line) for line in squeeze(stream.getvalue())]
        runs.append(
            Run([line for line in lines if not line.endswith("...")], read_summary(record.latest_run(store)))
        )
    return runs


def test_each_step_has_a_line_with_its_figure(runs: list[Run]) -> None:
    assert sorted(runs[0].lines) == [
        "Champion.ranking _ s run none yet",
        "Champion.retrieval _ s run none yet",
        "Evaluator.ranking _ s run blessed",
        "Evaluator.retrieval _ s run blessed",
        "IndexPusher _ s run version 1",
        "MovieLensExampleGen _ s run 800 train rows, 200 eval rows, 20 candidates, 3 bad rows",
        "Trainer.ranking _ s run",
        "Trainer.retrieval _ s run",
    ]


def test_an_identical_run_is_cached_under_the_other_runner_too(runs: list[Run]) -> None:
    looked_up = {"Champion.ranking", "Champion.retrieval"}
    states = {step.node_id: step.state for step in runs[1].summary.steps}
    assert states == {
        node: "run" if node in looked_up else "cached"
        for node in (step.node_id for step in runs[0].summary.steps)
    }
    assert sorted(line.replace(" run", " cached") for line in runs[0].lines) == sorted(
        line.replace(" run", " cached") for line in runs[1].lines
    )
    assert runs[1].summary.models == runs[0].summary.models
    assert "published before: the same models" in runs[1].shown


def test_a_model_that_is_not_blessed_and_an_unchanged_one_have_different_lines(runs: list[Run]) -> None:
    lines = {line.split()[0]: line for line in runs[2].lines}
    assert lines["Evaluator.retrieval"] == "Evaluator.retrieval _ s run not blessed"
    assert lines["Evaluator.ranking"] == "Evaluator.ranking _ s cached blessed"
    assert re.fullmatch(r"Champion\.retrieval _ s run model \d+", lines["Champion.retrieval"])
    assert lines["IndexPusher"] == "IndexPusher _ s run not pushed"


def test_a_model_whose_files_are_missing_is_no_champion_and_the_run_says_so(runs: list[Run]) -> None:
    last = runs[3]
    states = {step.node_id: step.state for step in last.summary.steps}
    assert states["Trainer.ranking"] == states["Evaluator.ranking"] == "run"
    for name in ("retrieval", "ranking"):
        assert (last.model(name).blessed, last.model(name).champion) == (True, None)
        missing = rf"Champion\.{name}.* none, because the files of model \d+ are missing"
        assert [line for line in last.lines if re.fullmatch(missing, line)]
        assert [line for line in last.shown if re.fullmatch(missing, line)]
    assert not [line for run in runs[:3] for line in run.shown if "are missing" in line]


def test_the_data_is_read_from_the_example_gen(runs: list[Run]) -> None:
    data = runs[0].summary.data
    assert data is not None
    assert {name: data.counts[name] for name in planted_run.COUNTS} == planted_run.COUNTS
    assert pathlib.Path(data.quarantine).is_dir()


def without_interval(gated: Gated) -> Gated:
    return dataclasses.replace(gated, interval=None)


def of_rule(model: Model, rule: str) -> Gated:
    (gated,) = [gated for gated in model.evaluation.gated if gated.rule == rule and not gated.feature]
    return gated


def test_every_gate_is_read_with_threshold_value_reference_and_verdict(runs: list[Run]) -> None:
    first, third = runs[0].model("retrieval"), runs[2].model("retrieval")
    gender = "user_gender"
    assert (first.blessed, first.champion) == (True, None)
    # With 20 titles the depth is 1, where planted hits are hits as well.
    assert {
        without_interval(gated)
        for gated in first.evaluation.gated
        if gated.feature not in ("user_activity", "visit")
    } == {
        Gated(TOP_100, "", "", ">= 0.3", 0.5, None, None, True),
        *(Gated(TOP_100, gender, f"user_gender={value}", ">= 0.25", 0.5, None, None, True) for value in "FM"),
        *(
            Gated(TOP_1, "", "", f"beat {baseline}", 0.5 - 0.1, None, 0.1, True, baseline)
            for baseline in ("popularity", "item-item")
        ),
        *(
            Gated(
                TOP_1,
                gender,
                f"user_gender={value}",
                f"not be beaten by {baseline}",
                0.4,
                None,
                0.1,
                True,
                baseline,
            )
            for baseline in ("popularity", "item-item")
            for value in "FM"
        ),
    }
    assert first.evaluation.rows == 200

    assert (third.blessed, third.champion is not None) == (False, True)
    gain = of_rule(third, "not be beaten by champion")
    assert (gain.value, gain.reference, gain.passed) == (pytest.approx(-0.1), pytest.approx(0.5), True)
    assert gain.interval is not None and gain.interval[0] < -0.1 < 0 < gain.interval[1]
    assert {without_interval(failure) for failure in third.evaluation.failures} == {
        Gated(TOP_100, gender, "user_gender=F", ">= 0.25", 0.0, None, None, False)
    }
    assert of_rule(third, "beat popularity").value == pytest.approx(0.3)


def test_intervals_are_shown_beside_their_metric_and_not_as_metrics(runs: list[Run]) -> None:
    evaluation = runs[0].model("retrieval").evaluation
    for gated in evaluation.gated:
        assert gated.interval is not None
        assert gated.interval[0] < gated.value < gated.interval[1]
    assert evaluation.others == {
        **{
            hit_metric(k, unseen): 0.5
            for k in TOP_KS
            for unseen in (False, True)
            if hit_metric(k, unseen) not in (TOP_100, TOP_1)
        },
        COVERAGE: 5 / 20,
    }


def test_the_summary_of_a_good_run(runs: list[Run]) -> None:
    shown = runs[0].shown
    for line in (
        "ratings 1,004 1,000 3 800 train, 200 eval, of 9 users; 1 duplicates dropped",
        "movies 22 20 0 2 ids merged by title, 0 titles renamed",
        "Quarantined ratings: 2 columns, 1 rating",
        "rmse be <= 0.94 0.500 0.500 to 0.500 ok",
        "rmse beat biases +0.250 0.250 to 0.250 0.750 ok",
        "not gated: calibration_error 0.500, mae 0.500",
        # Ratings of 1 to 5, each predicted half a star too high.
        "reliability, mean prediction to mean rating (rows): 1.50 to 1.00 (40), 2.50 to 2.00 (40), "
        "3.50 to 3.00 (40),",
        "5.00 to 4.50 (80)",
        "retrieval: blessed, no champion to compare with yet",
        "Pushed version 1",
        "pushed to /srv/models/1",
        "published anew",
        "index, recall against brute force 0.998",
        "TFLite model, greatest difference below 1e-06",
        "Log: runs/logs/now.log",
    ):
        assert line in shown
    (closest,) = [line for line in shown if "closest of 2" in line and ">=" in line]
    assert re.fullmatch(r"user_gender=[FM] \(closest of 2\) be >= 0.25 0.500 0\.\d+ to 0\.\d+ ok", closest)
    assert not [line for line in shown if line.startswith("users ")]
    assert [line for line in shown if line.startswith("Time: 12.3 s; 0 of 8 steps from the cache")]


def test_the_summary_of_a_model_that_is_not_blessed(runs: list[Run]) -> None:
    shown = runs[2].shown
    for line in (
        "user_gender=F be >= 0.25 0.000 0.000 to 0.000 failed",
        f"retrieval: not blessed: {TOP_100} on user_gender=F must be >= 0.25, is 0.000",
        "ranking: blessed, no champion to compare with yet",
        "Not pushed",
        "not pushed, because the retrieval model is not blessed",
    ):
        assert line in shown


def test_the_summary_names_a_champion_whose_figures_are_not_finite(runs: list[Run]) -> None:
    # As the Evaluator leaves it: a champion was resolved, and no comparison with it is gated.
    model = dataclasses.replace(runs[0].model("ranking"), champion=7)
    shown = Run([], dataclasses.replace(runs[0].summary, models=(model,))).shown
    assert "ranking: blessed, not compared: the figures of its champion, model 7, are not finite" in shown


def test_slices_without_rows_or_with_too_few_users_are_said_to_be_left_out(runs: list[Run]) -> None:
    of_users = (
        "user_activity=cold, user_activity=medium, user_activity=heavy, visit=sitting (no rows); "
        "visit=first (too few users to compare)"
    )
    of_titles = "title_popularity=unseen, title_popularity=tail, title_popularity=torso, "
    text = " ".join(runs[0].shown)
    assert f" slices left out: {of_users} not gated: " in text
    assert f" slices left out: {of_titles}{of_users} not gated: " in text
    assert "visit=first" not in text.replace(of_users, ""), "it is no slice on which a model was compared"


def test_the_model_card_is_written_from_the_evaluators_own_results(
    runs: list[Run], tmp_path: pathlib.Path
) -> None:
    found = {
        step.node_id.split(".")[1]: step.output("evaluation")
        for step in runs[2].summary.steps
        if step.kind == "Evaluator"
    }
    folders = {name: artifact.uri for name, artifact in found.items() if artifact}
    model_card.write(str(tmp_path), model_card.Data(), folders, {}, {})
    card = (tmp_path / "MODEL_CARD.md").read_text()
    lines = card.splitlines()
    # The retrieval model of this run hits in 0.4 of all rows and in none of the women's: see planted_run.py.
    (overall,) = [line for line in lines if line.startswith(f"| `{TOP_100}` |")]
    assert overall.startswith(f"| `{TOP_100}` | 0.400 | ") and overall.endswith(" | >= 0.3 |")
    assert any(line.startswith("| user_gender=F | 100 | 0.000 |") for line in lines)
    assert any(line.startswith("| user_gender=M | 100 | 0.800 |") for line in lines)
    assert f"- retrieval: `{TOP_100}` is worst on user_gender=F, 0.000 (0.400 over all rows)." in lines
    assert any(line.startswith("| `rmse` | biases | 0.750 | 0.250 |") for line in lines)
    left_out = [line for line in lines if line.startswith("Slices left out of the gates: ")]
    assert left_out == [
        f"Slices left out of the gates: {runs[2].model(name).evaluation.left_out()}." for name in found
    ]
    assert left_out[0].endswith("visit=sitting (no rows); visit=first (too few users to compare).")


def test_one_model_in_two_parts_is_listed_once(runs: list[Run], tmp_path: pathlib.Path) -> None:
    (step, *_) = [step for step in runs[0].summary.steps if step.node_id == "Evaluator.ranking"]
    evaluation = step.output("evaluation")
    assert evaluation
    folders = dict.fromkeys(("retrieval", "ranking"), evaluation.uri)
    model_card.write(str(tmp_path), model_card.Data(), folders, {}, {})
    titles = re.findall(r"^## Model: (.*)$", (tmp_path / "MODEL_CARD.md").read_text(), re.MULTILINE)
    assert titles == ["retrieval and ranking"]
