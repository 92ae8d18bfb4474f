"""The terminal's line of the step of batch recommendations."""

from __future__ import annotations

import pytest

from runners.reporting import figures
from runners.running.record import Artifact, Step


@pytest.mark.parametrize(
    "properties, words",
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
