"""The wiring against a golden file, so that a changed edge is a line in a diff."""

from __future__ import annotations

import pytest

from pipeline import config
from tests.pipeline import dag


@pytest.fixture(scope="module")
def golden() -> list[str]:
    return dag.GOLDEN.read_text().splitlines()


@pytest.mark.parametrize("preset", config.PRESETS)
def test_the_wiring_is_that_of_the_golden_file(preset: str, golden: list[str]) -> None:
    received = dag.describe(dag.create(config.PRESETS[preset]())).splitlines()
    assert received == golden, f"where the new wiring is meant, run: {dag.COMMAND}"


def test_pushing_multitask_takes_model_and_blessing_from_it_alone(golden: list[str]) -> None:
    joint = config.default().model_copy(update={"push": "multitask"})
    received = dag.describe(dag.create(joint)).splitlines()
    changed = [line for line in received if line not in golden]
    assert changed == [
        "  retrieval_model <- Trainer.multitask.model",
        "  retrieval_blessing <- Evaluator.multitask.blessing",
        "  ranking_model <- Trainer.multitask.model",
        "  ranking_blessing <- Evaluator.multitask.blessing",
    ]
    assert len(received) == len(golden)
