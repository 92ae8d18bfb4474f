"""A search for hyper-parameters on its step's line and in the summary."""

from __future__ import annotations

import io
import pathlib

import pytest
from rich.console import Console

from runners.reporting import figures, tables
from runners.reporting.summary import Tuned, read_summary
from runners.running.record import Artifact, Step

Properties = dict[str, int | float | str]
BEST: Properties = {
    **{"objective": "RMSE", "score": 0.88123, "own_score": 0.9},
    **{"trials": 20, "values": "l2 0.1, epochs 8"},
}


def step(name: str, properties: Properties, state: str = "run") -> Step:
    outputs = (
        Artifact(1, "best_hyperparameters", "runs/best", properties),
        Artifact(2, "tuner_results", "r", {}),
    )
    return Step(f"Tuner.{name}", "CandidateTuner", state, 3.0, outputs)


@pytest.mark.parametrize("state", ["run", "cached"])
def test_the_line_of_a_tuner_tells_what_was_found(state: str) -> None:
    assert figures.figure(step("ranking", BEST, state)) == "RMSE 0.8812 at best: l2 0.1, epochs 8"


def test_the_summary_sets_what_was_found_beside_what_was_configured() -> None:
    diverged = {name: value for name, value in BEST.items() if name != "own_score"}
    weight: Properties = {"objective": "graded nDCG@10", "score": 0.1875, "own_score": 0.125, "trials": 5}
    weight["values"] = "rating_weight 1.0"
    summary = read_summary(
        [step("blend", weight), step("retrieval", diverged), step("ranking", BEST, "cached")]
    )
    assert summary.tuned == (
        Tuned("blend", 5, "graded nDCG@10", 0.1875, 0.125, "rating_weight 1.0"),
        Tuned("ranking", 20, "RMSE", 0.88123, 0.9, "l2 0.1, epochs 8"),
        Tuned("retrieval", 20, "RMSE", 0.88123, None, "l2 0.1, epochs 8"),
    )
    stream = io.StringIO()
    tables.show(Console(file=stream, width=110), summary, 1.0, pathlib.Path("now.log"))
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert lines[1:6] == [
        "Tuned on a part of train",
        "trials figure reference best values",
        "blend 5 graded nDCG@10 0.125 at weight 0 0.188 rating_weight 1.0",
        "ranking 20 RMSE 0.900 as configured 0.881 l2 0.1, epochs 8",
        "retrieval 20 RMSE not finite as configured 0.881 l2 0.1, epochs 8",
    ]


def test_a_search_that_failed_is_not_in_the_summary() -> None:
    summary = read_summary([Step("Tuner.ranking", "CandidateTuner", "failed", 3.0, ())])
    assert summary.tuned == ()
    stream = io.StringIO()
    tables.show(Console(file=stream, width=110), summary, 1.0, pathlib.Path("now.log"))
    assert "Tuned" not in stream.getvalue()
