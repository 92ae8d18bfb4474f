"""The terminal's lines of the steps that look up a champion and that make batch recommendations."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from runners.reporting import figures
from runners.running.record import Artifact, Step


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (
            {"recommended": 1, "users": 943, "rows": 9430},
            "9,430 titles for 943 users: runs/BatchRecommender/recommendations/7",
        ),
        (
            {"recommended": 0, "reason": "no bundle was pushed in this run"},
            "no bundle was pushed in this run",
        ),
    ],
)
def test_the_line_names_the_rows_and_the_folder_or_the_reason(properties: dict, words: str) -> None:
    artifact = Artifact(7, "recommendations", "runs/BatchRecommender/recommendations/7", properties)
    assert figures.figure(Step("BatchRecommender", "BatchRecommender", "run", 3.0, (artifact,))) == words


@pytest.mark.parametrize(
    ("found", "blessed", "words"),
    [
        ([], [], "none yet"),
        ([5], [5], "model 5"),
        ([5], [5, 8], "model 5, because the files of model 8 are missing"),
        ([], [8, 6], "none, because the files of model 8 and 6 are missing"),
    ],
)
def test_the_line_names_the_champion_and_those_that_it_stands_in_for(
    found: Sequence[int], blessed: Sequence[int], words: str
) -> None:
    models = [Artifact(model, "model", f"runs/Trainer/model/{model}", {}) for model in found]
    verdicts = [
        Artifact(20 + model, "model_blessing", "runs/Evaluator", {"current_model_id": model})
        for model in blessed
    ]
    step = Step("Champion.ranking", "Resolver", "run", 0.1, (*models, *verdicts))
    assert figures.figure(step) == words
