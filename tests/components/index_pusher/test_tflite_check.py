"""The TFLite file against its SavedModel, in a process without TensorFlow."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher import signatures
from components.index_pusher.gates import Refusal
from components.index_pusher.queries import read_queries
from components.index_pusher.tflite_check import check_tflite, with_strangers
from modules import features
from tests import planted_models


@pytest.fixture(scope="module")
def ranking(planted) -> Any:
    return signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING)


@pytest.fixture(scope="module")
def queries(planted) -> dict[str, np.ndarray]:
    return read_queries(planted.sources.queries_dir, 1_000)


def twin(model_dir: str) -> str:
    return os.path.join(model_dir, features.TFLITE_DIR, features.RANKING_TFLITE)


def test_an_honest_file_passes(planted, ranking, queries) -> None:
    assert 0 <= check_tflite(ranking, twin(planted.sources.ranking_dir), queries) <= 1e-5


def test_a_file_that_differs_by_a_little_is_refused_with_the_difference(
    planted, ranking, queries, tmp_path
) -> None:
    other = planted_models.write_model(planted.world, tmp_path, planted_models.RANKING, tflite_shift=1e-3)
    with pytest.raises(Refusal, match="differs from its SavedModel on 205 of 205 queries") as error:
        check_tflite(ranking, twin(other), queries)
    assert error.value.figures["tflite_max_difference"] == pytest.approx(1e-3, rel=1e-2)


def test_a_file_that_returns_nan_is_refused(planted, ranking, queries, tmp_path: pathlib.Path) -> None:
    other = planted_models.write_model(
        planted.world, tmp_path, planted_models.RANKING, tflite_shift=float("nan")
    )
    with pytest.raises(Refusal, match="205 of 205 queries .*: nan where"):
        check_tflite(ranking, twin(other), queries)


def test_an_absent_file_and_a_broken_one_are_refused(ranking, queries, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refusal, match="holds no TFLite file at"):
        check_tflite(ranking, str(tmp_path / "none.tflite"), queries)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a flatbuffer at all")
    with pytest.raises(Refusal, match="does not run without TensorFlow: ValueError"):
        check_tflite(ranking, str(broken), queries)


def test_a_file_that_needs_tensorflow_kernels_is_refused(ranking, queries, tmp_path: pathlib.Path) -> None:
    """It runs in any process that has TensorFlow loaded, this one for instance."""
    spec = planted_models.QUERY_SPEC

    @tf.function(input_signature=[spec[features.USER_ID], spec[features.TIMESTAMP]])
    def rate(user_id, timestamp):
        hashed = tf.strings.to_hash_bucket_fast(user_id, 10)
        return {features.PREDICTED_RATING: tf.cast(hashed + timestamp, tf.float32)}

    module = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([rate.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    path = tmp_path / "select.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(Refusal, match="does not run without TensorFlow"):
        check_tflite(ranking, str(path), queries)


def test_strangers_tell_of_whole_histories_or_of_none(queries) -> None:
    asked = with_strangers(queries)
    assert {len(column) for column in asked.values()} == {len(queries["user_id"]) + 5}
    for row in features.HISTORY_FEATURES:
        given, column = queries[row.name], asked[row.name]
        assert column.dtype == given.dtype and column.shape[1] == features.HISTORY_LENGTH
        np.testing.assert_array_equal(column[:-5], given)
        np.testing.assert_array_equal(column[-5:-2], given[[0, 0, 0]])
    titles = asked["history_title"]
    assert (titles[-5:, :7] != b"").all(axis=1).tolist() == [True, True, True, False, False]
    for name, absent in (("history_title", b""), ("history_rating", 0), ("history_timestamp", 0)):
        assert asked[name][-2:].tolist() == [[absent] * features.HISTORY_LENGTH] * 2
    assert [user == b"no such user" for user in asked["user_id"][-5:]] == [True, False, True, False, True]
    assert queries["user_id"][0] == b"1" and queries["history_title"][0, 0] != b"", "the given are left alone"


def test_a_file_that_overlooks_the_history_is_refused(planted, ranking, queries, tmp_path) -> None:
    """By the rows with a history alone, so the histories do reach both."""
    bare = planted_models.write_model(planted.world, tmp_path, planted_models.RANKING, told_weight=0.0)
    told = sum(1 for row in with_strangers(queries)["history_title"] if row[0])
    assert told == 163
    with pytest.raises(Refusal, match=f"differs from its SavedModel on {told} of 205 queries"):
        check_tflite(ranking, twin(bare), queries)


def test_a_timestamp_beyond_the_file_s_integers_is_refused_not_wrapped(planted, ranking, queries) -> None:
    late = {**queries, features.TIMESTAMP: queries[features.TIMESTAMP] + 2**32}
    with pytest.raises(Refusal, match="timestamp holds 51.*, which int32 cannot hold"):
        check_tflite(ranking, twin(planted.sources.ranking_dir), late)
