"""What a person is told of batch recommendations, on their step's line."""

from __future__ import annotations

import pytest

from runners.reporting import figures
from runners.running.record import Artifact, Step


@pytest.mark.parametrize(
    "told, words",
    [
        (
            {"recommended": 1, "users": 943, "rows": 9430},
            "9,430 titles for 943 users: runs/BatchRecommender/recommendations/7",
        ),
        ({"recommended": 0, "reason": "nothing was pushed in this run"}, "nothing was pushed in this run"),
    ],
)
def test_the_line_tells_how_much_and_where_or_why_not(told: dict, words: str) -> None:
    artifact = Artifact(7, "recommendations", "runs/BatchRecommender/recommendations/7", told)
    assert figures.figure(Step("BatchRecommender", "BatchRecommender", "run", 3.0, (artifact,))) == words
