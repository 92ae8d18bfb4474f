"""The Evaluator itself refuses: a worse model, one that is broken on a slice, NaN, and no data at all.

Planted models answer from columns of the planted rows, so that what is measured is known by hand: 40 ratings,
five for each gender, activity and popularity, of which a good model finds four and errs by half a star.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Callable, Iterable

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from modules import features
from pipeline.evaluation import eval_config
from pipeline.gates import Gate, SliceGate

HITS, RMSE = features.hit_metric(100, unseen=True), features.RMSE
SLICES = (features.USER_GENDER, features.USER_ACTIVITY, features.TITLE_POPULARITY)
GATES = (
    Gate(
        metric=HITS,
        bound=0.55,
        max_worsening=0.05,
        slices=tuple(SliceGate(feature=feature, bound=0.3) for feature in SLICES),
    ),
    Gate(
        metric=RMSE,
        bound=1.2,
        max_worsening=0.1,
        slices=tuple(SliceGate(feature=feature, bound=1.5) for feature in SLICES),
    ),
)
HIT, MISS, NAN = 99.0, 100.0, float("nan")


@dataclasses.dataclass(frozen=True)
class Row:
    """A rating of 3 stars, and where it stands among the five of its kind."""

    user_gender: str
    user_activity: str
    title_popularity: str
    place: int


ROWS = [Row(*kind) for kind in itertools.product(("F", "M"), ("light", "heavy"), ("tail", "head"), range(5))]
FIRST = ROWS[0]


def broken_on(feature: str, value: str) -> tuple[Callable[[Row], float], Callable[[Row], float]]:
    """Ranks and errors of a model that serves half of the rows well and the slice badly."""

    def is_in_slice(row: Row) -> bool:
        return getattr(row, feature) == value

    # 4 of the slice's 20 rows are hits, 0.2, and all of the other 20: 24 of 40, 0.6. The slice's errors are
    # 1.6, the others 0: sqrt(1.6 ** 2 / 2) = 1.13 overall. Half of every other slice is of this one.
    return (
        lambda row: HIT if not is_in_slice(row) or row.place == 0 else MISS,
        lambda row: 1.6 if is_in_slice(row) else 0.0,
    )


# Rank of the rated title, and error of the predicted rating, by model.
MODELS: dict[str, tuple[Callable[[Row], float], Callable[[Row], float]]] = {
    # 4 of 5: 0.8.
    "good": (lambda row: HIT if row.place < 4 else MISS, lambda row: 0.5),
    # 2 of 5: 0.4.
    "bad": (lambda row: HIT if row.place < 2 else MISS, lambda row: 1.3),
    # 3 of 5, 0.6: above the bound, 0.2 below the good one; the error 0.3 above it.
    "worse": (lambda row: HIT if row.place < 3 else MISS, lambda row: 0.8),
    # One hit less in 40, 0.775; the error 0.05 above.
    "hardly worse": (lambda row: HIT if row.place < 4 and row != FIRST else MISS, lambda row: 0.55),
    "no rank once": (lambda row: NAN if row == FIRST else HIT, lambda row: 0.5),
    "no rating once": (lambda row: HIT, lambda row: NAN if row == FIRST else 0.5),
    **{
        f"broken on {value}": broken_on(feature, value)
        for feature, value in zip(SLICES, ("F", "heavy", "tail"), strict=True)
    },
}


class PlantedModel(tf.Module):
    """Answers from the columns of one of MODELS."""

    def __init__(self, name: str, columns: Iterable[str]):
        super().__init__()
        self._rank, self._error = f"rank of {name}", f"error of {name}"
        self._columns = tuple(columns)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.EXAMPLES_INPUT)])
    def eval(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {name: tf.io.FixedLenFeature([], tf.float32) for name in (self._rank, self._error)}
        row = tf.io.parse_example(examples, spec)
        answer = {
            features.RANK: row[self._rank],
            features.RANK_UNSEEN: row[self._rank],
            features.PREDICTED_RATING: 3.0 + row[self._error],
        }
        return {name: answer[name] for name in self._columns}


def example(row: Row, gender: str | None = None) -> bytes:
    """The row as the ExampleGen would write it, with the columns of all models."""
    texts = {
        features.USER_ID: f"{row.user_gender} {row.user_activity} {row.place}",
        **{name: getattr(row, name) for name in SLICES},
        features.USER_GENDER: gender or row.user_gender,
    }
    numbers = {features.RATING: 3.0}
    for name, (rank, error) in MODELS.items():
        numbers.update({f"rank of {name}": rank(row), f"error of {name}": error(row)})
    message = tf.train.Example()
    for key, text in texts.items():
        message.features.feature[key].bytes_list.value.append(text.encode())
    for key, number in numbers.items():
        message.features.feature[key].float_list.value.append(number)
    return message.SerializeToString()


class Judge:
    """Calls the Evaluator's executor on planted artifacts."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self._numbers = itertools.count()
        self.full = self._examples(example(row) for row in ROWS)
        self.without_gender = self._examples(example(row, features.UNKNOWN) for row in ROWS)
        self.empty = self._examples([])

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

    def _model(self, name: str, columns: Iterable[str]) -> standard_artifacts.Model:
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
    ) -> tuple[bool, set[tuple[str, str]]]:
        """Evaluate a model.

        Returns:
          Whether it was blessed; and the failures, each a metric and a slice, which is empty for all rows.
        """
        columns = [features.RANK, features.RANK_UNSEEN] * retrieval + [features.PREDICTED_RATING] * rating
        gates = gates or GATES[0 if retrieval else 1 : 2 if rating else 1]
        evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
        evaluation.uri, blessing.uri = self._folder(), self._folder()
        inputs = {"examples": [examples or self.full], "model": [self._model(challenger, columns)]}
        if champion:
            inputs["baseline_model"] = [self._model(champion, columns)]
        # Without Beam flags, for with any the executor builds a package of TFX for remote workers first.
        Executor().Do(
            inputs,
            {"evaluation": [evaluation], "blessing": [blessing]},
            {
                "eval_config": proto_utils.proto_to_json(eval_config(gates, retrieval, rating)),
                "example_splits": json.dumps([features.EVAL_SPLIT]),
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


def both(place: str = "") -> set[tuple[str, str]]:
    """Both metrics' failures on a slice."""
    return {(HITS, place), (RMSE, place)}


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


def test_a_model_worse_than_the_champion_is_refused_though_within_the_bounds(judge: Judge) -> None:
    assert judge.judge("worse", champion="good") == (False, both())


def test_a_model_no_worse_than_the_champion_is_blessed(judge: Judge) -> None:
    assert judge.judge("hardly worse", champion="good") == (True, set())


@pytest.mark.parametrize(("feature", "value"), zip(SLICES, ("F", "heavy", "tail"), strict=True))
def test_a_model_broken_on_one_slice_is_refused_though_fine_overall(
    judge: Judge, feature: str, value: str
) -> None:
    assert judge.judge(f"broken on {value}") == (False, both(f"{feature}={value}"))


@pytest.mark.parametrize(
    ("challenger", "metric"), [("no rank once", HITS), ("no rating once", RMSE)], ids=["rank", "rating"]
)
def test_nan_in_one_row_is_refused(judge: Judge, challenger: str, metric: str) -> None:
    of_row = ["", *(f"{feature}={getattr(FIRST, feature)}" for feature in SLICES)]
    assert judge.judge(challenger) == (False, {(metric, place) for place in of_row})


def test_a_slice_that_is_asked_for_by_value_may_not_be_absent(judge: Judge) -> None:
    part = SliceGate(feature=features.USER_GENDER, value="F", bound=0.3)
    asked = (GATES[0].model_copy(update={"slices": (part,)}),)
    assert judge.judge("good", rating=False, gates=asked) == (True, set())
    blessed, _ = judge.judge("good", rating=False, gates=asked, examples=judge.without_gender)
    assert not blessed


def test_data_that_knows_no_gender_is_no_reason_to_refuse(judge: Judge) -> None:
    assert judge.judge("good", examples=judge.without_gender) == (True, set())


def test_no_rows_are_no_reason_to_bless(judge: Judge) -> None:
    blessed, _ = judge.judge("good", examples=judge.empty)
    assert not blessed
