"""The wiring against a golden file, so that a changed edge is a line in a diff."""

from __future__ import annotations

import collections
import difflib
import json

import pytest
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2

from pipeline import config
from pipeline.evaluation import eval_config
from tests.pipeline import dag

# Presets that read a release as a whole.
RELEASES = sorted(set(config.PRESETS) - {"retraining"})


@pytest.fixture(scope="module")
def golden() -> list[str]:
    return dag.GOLDEN.read_text().splitlines()


def of_preset(preset: str, lines: list[str]) -> list[str]:
    """Leave the choice of the rating's weight out, which the tutorial's dense layers do not have."""
    if preset != "tutorial":
        return lines
    start = lines.index("Tuner.blend")
    return [line for line in [*lines[:start], *lines[start + 4 :]] if "Tuner.blend" not in line]


@pytest.mark.parametrize("preset", RELEASES)
def test_the_wiring_is_that_of_the_golden_file(preset: str, golden: list[str]) -> None:
    received = dag.describe(dag.create(config.PRESETS[preset]())).splitlines()
    assert received == of_preset(preset, golden), f"where the new wiring is meant, run: {dag.COMMAND}"


@pytest.mark.parametrize("preset", RELEASES)
def test_each_model_is_held_to_the_gates_of_its_kind(preset: str) -> None:
    chosen = config.PRESETS[preset]()
    evaluators = {node.id: node for node in dag.create(chosen).components}
    kinds = {"retrieval": (True, False), "ranking": (False, True), "multitask": (True, True)}
    for model, kind in kinds.items():
        bounds = chosen.gates.bounds(model, chosen.data)
        expected = eval_config(bounds, *kind, chosen.gates.must_beat_baselines)
        received = evaluators[f"Evaluator.{model}"].exec_properties["eval_config"]
        assert json_format.Parse(received, config_pb2.EvalConfig()) == expected


def test_a_weight_that_is_configured_is_not_searched(golden: list[str]) -> None:
    received = dag.create(config.with_changes(config.default(), {"index": {"blend": {"rating_weight": 0.0}}}))
    assert dag.describe(received).splitlines() == of_preset("tutorial", golden)


@pytest.mark.parametrize("preset", RELEASES)
def test_tuning_puts_a_tuner_before_each_trainer_and_changes_nothing_else(
    preset: str, golden: list[str]
) -> None:
    received = dag.describe(dag.create(config.tuned(config.PRESETS[preset]()))).splitlines()
    assert received == of_preset(preset, dag.TUNED_GOLDEN.read_text().splitlines()), (
        f"where the new wiring is meant, run: {dag.COMMAND}"
    )
    one, other = (
        of_preset("tutorial", lines) if "Tuner.blend" in lines else lines for lines in (golden, received)
    )
    added = [line for line in difflib.ndiff(one, other) if not line.startswith("  ")]
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


def test_retraining_compares_the_spans_and_begins_at_the_champions_and_changes_nothing_else(
    golden: list[str],
) -> None:
    received = dag.describe(dag.create(config.retraining())).splitlines()
    # As bags of lines: where nodes do not depend on each other, TFX may put them in another order.
    lines, before = collections.Counter(received), collections.Counter(golden)
    assert not before - lines
    base = [
        line
        for name in ("multitask", "retrieval")  # A posterior, which ranking is, is sampled anew.
        for line in (
            f"Base.{name}",
            f"  model <- Trainer.{name}.model of earlier runs",
            f"  model_blessing <- Evaluator.{name}.blessing of earlier runs",
            "  examples <- Transform.transformed_examples",
            f"  base_model <- Base.{name}.model",
        )
    ]
    assert sorted((lines - before).elements()) == sorted(
        [
            "DistributionValidator",
            "  statistics <- StatisticsGen.ratings.statistics",
            "  baseline_statistics <- StatisticsGen.ratings.statistics",
            "  drift_anomalies <- DistributionValidator.anomalies",
            *base,
        ]
    )


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


def test_strategy_and_vocabularies_reach_the_steps_that_take_them(golden: list[str]) -> None:
    settings = {"strategy": "mirrored", "vocabularies": {"user_id": 1000}}
    pipeline = dag.create(config.default().model_copy(update=settings))
    assert dag.describe(pipeline).splitlines() == golden
    received = {
        node.id: json.loads(node.exec_properties["custom_config"])
        for node in pipeline.components
        if node.exec_properties.get("custom_config")
    }
    assert received["Transform"]["vocabularies"] == {"user_id": 1000}
    for name in ("retrieval", "ranking", "multitask"):
        assert received[f"Trainer.{name}"]["strategy"] == "mirrored"
    # As configured by default nothing is said of either, so that earlier runs' results still hold.
    for node in dag.create(config.default()).components:
        assert not settings.keys() & json.loads(node.exec_properties.get("custom_config") or "{}").keys()


def test_the_pusher_is_told_the_name_that_tells_folders_of_own_data_apart() -> None:
    named = [config.of_data(config.retraining(), folder) for folder in ("films", "others")]
    pushers = [node for one in named for node in dag.create(one).components if node.id == "IndexPusher"]
    received = [node.exec_properties["pipeline_name"] for node in pushers]
    assert received == [one.pipeline_name for one in named] and len(set(received)) == 2
