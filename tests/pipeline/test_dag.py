"""The wiring against a golden file, so that a changed edge is a line in a diff."""

from __future__ import annotations

import difflib

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


@pytest.mark.parametrize("preset", config.PRESETS)
def test_tuning_puts_a_tuner_before_each_trainer_and_changes_nothing_else(
    preset: str, golden: list[str]
) -> None:
    received = dag.describe(dag.create(config.tuned(config.PRESETS[preset]()))).splitlines()
    assert received == dag.TUNED_GOLDEN.read_text().splitlines(), (
        f"where the new wiring is meant, run: {dag.COMMAND}"
    )
    added = [line for line in difflib.ndiff(golden, received) if not line.startswith("  ")]
    models = ("multitask", "ranking", "retrieval")
    inputs = (
        "+   examples <- Transform.transformed_examples",
        "+   transform_graph <- Transform.transform_graph",
        "+   candidates <- MovieLensExampleGen.catalogue",
    )
    assert added == [
        *(line for name in models for line in (f"+ Tuner.{name}", *inputs)),
        *(f"+   hyperparameters <- Tuner.{name}.best_hyperparameters" for name in models),
    ]


def test_batch_recommendations_are_the_last_node_and_change_nothing_else(golden: list[str]) -> None:
    received = dag.describe(dag.create(config.with_batch(config.default()))).splitlines()
    assert received == [
        *golden,
        "BatchRecommender",
        "  pushed_model <- IndexPusher.pushed_model",
        "  examples <- MovieLensExampleGen.examples",
    ]


def test_pushing_multitask_takes_model_and_blessing_from_it_alone(golden: list[str]) -> None:
    joint = config.default().model_copy(update={"push": "multitask"})
    received = dag.describe(dag.create(joint)).splitlines()
    changed = [line for line in received if line not in golden]
    assert changed == [
        "  retrieval_model <- Trainer.multitask.model",
        "  retrieval_blessing <- Evaluator.multitask.blessing",
        "  ranking_model <- Trainer.multitask.model",
        "  ranking_blessing <- Evaluator.multitask.blessing",
        "  retrieval_evaluation <- Evaluator.multitask.evaluation",
        "  ranking_evaluation <- Evaluator.multitask.evaluation",
    ]
    assert len(received) == len(golden)
