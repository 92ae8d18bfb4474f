"""A run that was killed at two of its steps completes when it is run again."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import steps
from tests.planted_pipeline import PlantedPipeline

pytestmark = pytest.mark.e2e


def test_a_run_killed_twice_is_run_again_and_completes(planted_pipeline: PlantedPipeline) -> None:
    output = planted_pipeline.output
    assert {"MovieLensExampleGen", "Transform", "Trainer.multitask"} <= steps(output, "cached")
    assert {"Trainer.ranking", "Trainer.retrieval", "IndexPusher"} <= steps(output, "run")
    assert "Pushed version 1" in output
    assert "Recommended to user 42" in output
