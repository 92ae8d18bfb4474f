"""The Evaluator itself refuses: a model below a bound, one that is worse than champion, baselines or chance,
on all rows or on a slice, NaN, and no data at all.

What is measured is known by hand, for the models' answers are planted: a good one finds four of five and errs
by half a star.
"""

from __future__ import annotations

import functools
import itertools
import json
import pathlib
from collections.abc import Iterable

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from modules import features
from modules.features import BIASES, CHAMPION, GATED_HITS, ITEM_ITEM, LOWER, POPULARITY, UPPER, gain_metric
from pipeline.evaluation import EXTRACTORS, eval_config
from pipeline.gates import COMPARED_SLICES, Gate, SliceGate
from tests.helpers.beam import eager
from tests.pipeline.planted_answers import (
    FIRST,
    RATING_COLUMNS,
    RETRIEVAL_COLUMNS,
    ROWS,
    SLICES,
    PlantedModel,
    example,
)

pytestmark = pytest.mark.slow("each test runs the Evaluator")

HITS, RMSE = features.hit_metric(100, unseen=True), features.RMSE
GATES = (
    Gate(
        metric=HITS,
        bound=0.55,
        slices=tuple(SliceGate(feature=feature, bound=0.3) for feature in SLICES),
    ),
    Gate(
        metric=RMSE,
        bound=1.2,
        slices=tuple(SliceGate(feature=feature, bound=1.5) for feature in SLICES),
    ),
)


class Judge:
    """Calls the Evaluator's executor on planted artifacts."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self._numbers = itertools.count()
        # Saved once, however many tests judge it.
        self._model = functools.cache(self._save_model)
        self.full = self._examples(example(row) for row in ROWS)
        self.without_gender = self._examples(example(row, features.UNKNOWN) for row in ROWS)
        self.empty = self._examples([])
        # Of four users, who are too few for an interval.
        self.few = self._examples(example(row) for row in ROWS if row.number < 2 and row.user_gender == "F")

    def _folder(self) -> str:
        return str(self._root / str(next(self._numbers)))

    def _examples(self, records: Iterable[bytes]) -> standard_artifacts.Examples:
        artifact = standard_artifacts.Examples()
        artifact.uri, artifact.split_names = self._folder(), json.dumps([features.EVAL_SPLIT])
        artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
        artifact.set_string_custom_property("file_format", "tfrecords_gzip")
        split = pathlib.Path(artifact.uri, f"Split-{features.EVAL_SPLIT}")
        split.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            for record in records:
                writer.write(record)
        return artifact

    def _save_model(self, name: str, columns: tuple[str, ...]) -> standard_artifacts.Model:
        artifact = standard_artifacts.Model()
        artifact.uri = self._folder()
        model = PlantedModel(name, columns)
        path = pathlib.Path(artifact.uri, features.SERVING_DIR)
        tf.saved_model.save(model, str(path), signatures={features.EVAL_SIGNATURE: model.eval})
        return artifact

    def judge(
        self,
        challenger: str,
        champion: str | None = None,
        retrieval: bool = True,
        rating: bool = True,
        examples: standard_artifacts.Examples | None = None,
        gates: tuple[Gate, ...] | None = None,
        must_beat_baselines: bool = True,
    ) -> tuple[bool, set[tuple[str, str]]]:
        """Evaluate a model.

        Returns:
          Whether it was blessed; and the failures, each a metric and a slice, which is empty for all rows.
        """
        columns = RETRIEVAL_COLUMNS * retrieval + RATING_COLUMNS * rating
        gates = GATES[0 if retrieval else 1 : 2 if rating else 1] if gates is None else gates
        evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
        evaluation.uri, blessing.uri = self._folder(), self._folder()
        inputs = {"examples": [examples or self.full], "model": [self._model(challenger, columns)]}
        if champion:
            inputs["baseline_model"] = [self._model(champion, columns)]
        Executor(Executor.Context(beam_pipeline_args=list(eager.FLAGS))).Do(
            inputs,
            {"evaluation": [evaluation], "blessing": [blessing]},
            {
                "eval_config": proto_utils.proto_to_json(
                    eval_config(gates, retrieval, rating, must_beat_baselines)
                ),
                "example_splits": json.dumps([features.EVAL_SPLIT]),
                "module_path": EXTRACTORS,
                "fairness_indicator_thresholds": "null",
            },
        )
        result = tfma.load_validation_result(evaluation.uri)
        failures = {
            (failure.metric_key.name, ":".join(key.column + "=" + key.bytes_value.decode() for key in keys))
            for validation in result.metric_validations_per_slice
            for keys in [validation.slice_key.single_slice_keys]
            for failure in validation.failures
        }
        return blessing.get_int_custom_property("blessed") == 1, failures


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("gates"))


def both(slice_name: str = "") -> set[tuple[str, str]]:
    """Both metrics' failures on a slice."""
    return {(HITS, slice_name), (RMSE, slice_name)}


# What must be above 0: the lower ends of the gains.
BEATS_POPULARITY = (gain_metric(GATED_HITS, POPULARITY) + LOWER, "")
BEATS_ITEM_ITEM = (gain_metric(GATED_HITS, ITEM_ITEM) + LOWER, "")
BEATS_BIASES = (gain_metric(RMSE, BIASES) + LOWER, "")
# What must not be below 0: the upper ends.
HITS_ON_CHAMPION, RMSE_ON_CHAMPION = (gain_metric(m, CHAMPION) + UPPER for m in (GATED_HITS, RMSE))
NO_WORSE_THAN_BIASES = gain_metric(RMSE, BIASES) + UPPER
# Slices in which every user has a row.
OF_ALL_USERS = [f"{features.VISIT}={visit}" for visit in (features.SAME_SITTING, features.RETURN_VISIT)]
EVERY_SLICE = {f"{feature}={getattr(row, feature)}" for row in ROWS for feature in (*SLICES, features.VISIT)}


@pytest.mark.parametrize(
    ("challenger", "retrieval", "rating"),
    [("good", True, False), ("good", False, True), ("worse", True, True)],
    ids=["retrieval", "ranking", "multitask"],
)
def test_a_model_within_the_bounds_is_blessed_when_there_is_no_champion_yet(
    judge: Judge, challenger: str, retrieval: bool, rating: bool
) -> None:
    assert judge.judge(challenger, retrieval=retrieval, rating=rating) == (True, set())


def test_a_model_below_the_bounds_is_refused(judge: Judge) -> None:
    assert judge.judge("bad") == (False, both())


def test_a_model_that_does_not_surely_beat_its_baselines_is_refused_though_within_the_bounds(
    judge: Judge,
) -> None:
    assert judge.judge("hardly above its baselines") == (False, {BEATS_POPULARITY, BEATS_BIASES})


def test_a_model_that_is_surely_worse_than_its_baseline_is_refused_for_every_slice_too(judge: Judge) -> None:
    blessed, failures = judge.judge("below its baselines")
    assert not blessed
    on_slices = {(NO_WORSE_THAN_BIASES, slice_name) for slice_name in EVERY_SLICE}
    # Of the ten users of other slices it is not certain.
    on_slices |= {(gain_metric(GATED_HITS, POPULARITY) + UPPER, slice_name) for slice_name in OF_ALL_USERS}
    assert failures == {BEATS_POPULARITY, BEATS_BIASES} | on_slices


@pytest.mark.parametrize(
    ("beats", "rating"), [(BEATS_POPULARITY, False), (BEATS_BIASES, True)], ids=["retrieval", "ranking"]
)
def test_a_single_model_must_beat_its_own_baseline(
    judge: Judge, beats: tuple[str, str], rating: bool
) -> None:
    received = judge.judge("hardly above its baselines", retrieval=not rating, rating=rating)
    assert received == (False, {beats})


def test_a_retrieval_model_must_beat_the_item_item_model(judge: Judge) -> None:
    on_slices = {(gain_metric(GATED_HITS, ITEM_ITEM) + UPPER, slice_name) for slice_name in OF_ALL_USERS}
    assert judge.judge("below the item-item model", rating=False) == (False, {BEATS_ITEM_ITEM} | on_slices)


def test_a_retrieval_model_that_the_item_item_model_beats_on_return_visits_is_refused(judge: Judge) -> None:
    received = judge.judge(
        "below the item-item model on return visits", gates=(), champion="bad", rating=False
    )
    on_return = f"{features.VISIT}={features.RETURN_VISIT}"
    assert received == (False, {(gain_metric(GATED_HITS, ITEM_ITEM) + UPPER, on_return)})


def test_a_champion_is_no_excuse_for_losing_to_a_baseline(judge: Judge) -> None:
    # It is better than the champion by far.
    received = judge.judge("hardly above its baselines", champion="bad")
    assert received == (False, {BEATS_POPULARITY, BEATS_BIASES})


def test_where_it_need_not_beat_its_baselines_a_model_may_lose_to_them_but_not_to_chance(
    judge: Judge,
) -> None:
    assert judge.judge("below its baselines", must_beat_baselines=False) == (True, set())
    received = judge.judge("worse than chance", gates=(), must_beat_baselines=False)
    assert received == (
        False,
        {(gain_metric(m, features.CHANCE[m]) + UPPER, "") for m in (GATED_HITS, RMSE)},
    )


@pytest.mark.parametrize("champion", [None, "bad"])
def test_of_too_few_users_nothing_is_known_and_nothing_is_blessed(judge: Judge, champion: str | None) -> None:
    blessed, failures = judge.judge("good", champion, gates=(), must_beat_baselines=False, examples=judge.few)
    chance = {(gain_metric(m, features.CHANCE[m]) + UPPER, "") for m in (GATED_HITS, RMSE)}
    assert not blessed
    assert failures == chance | ({(HITS_ON_CHAMPION, ""), (RMSE_ON_CHAMPION, "")} if champion else set())


def test_a_model_surely_worse_than_the_champion_is_refused_though_within_the_bounds(judge: Judge) -> None:
    assert judge.judge("worse", champion="perfect") == (
        False,
        {(HITS_ON_CHAMPION, ""), (RMSE_ON_CHAMPION, "")},
    )


@pytest.mark.parametrize("challenger", ["hardly worse", "good", "perfect"])
def test_a_model_not_surely_worse_than_the_champion_is_blessed(judge: Judge, challenger: str) -> None:
    assert judge.judge(challenger, champion="good") == (True, set())


@pytest.mark.parametrize("champion", ["no rank once", "no rating once"])
def test_a_champion_that_answers_nan_rejects_no_challenger(judge: Judge, champion: str) -> None:
    assert judge.judge("perfect", champion) == (True, set())


@pytest.mark.parametrize(("feature", "value"), zip(SLICES, ("F", "heavy", "tail"), strict=True))
def test_a_model_broken_on_one_slice_is_refused_though_fine_overall(
    judge: Judge, feature: str, value: str
) -> None:
    slice_name = f"{feature}={value}"
    # The errors are above those of the biases there, too.
    expected = both(slice_name) | {(NO_WORSE_THAN_BIASES, slice_name)}
    if value == "tail":  # Whose rows are the return visits.
        expected |= {(NO_WORSE_THAN_BIASES, f"{features.VISIT}={features.RETURN_VISIT}")}
    assert judge.judge(f"broken on {value}") == (False, expected)


@pytest.mark.parametrize(
    ("challenger", "metric", "compared"),
    [("no rank once", HITS, GATED_HITS), ("no rating once", RMSE, RMSE)],
    ids=["rank", "rating"],
)
def test_nan_in_one_row_is_refused(judge: Judge, challenger: str, metric: str, compared: str) -> None:
    of_row = {feature: f"{feature}={getattr(FIRST, feature)}" for feature in (*SLICES, features.VISIT)}
    expected = {(metric, slice_name) for slice_name in ("", *(of_row[feature] for feature in SLICES))}
    for baseline in features.BASELINES[compared]:
        gain = gain_metric(compared, baseline)
        expected |= {(gain + LOWER, "")}
        expected |= {(gain + UPPER, of_row[feature]) for feature in COMPARED_SLICES[compared]}
    assert judge.judge(challenger) == (False, expected)


def test_data_that_knows_no_gender_is_no_reason_to_refuse(judge: Judge) -> None:
    assert judge.judge("good", examples=judge.without_gender) == (True, set())


def test_no_rows_are_no_reason_to_bless(judge: Judge) -> None:
    blessed, _ = judge.judge("good", examples=judge.empty)
    assert not blessed
