"""Warm-up requests, replayed as TensorFlow Serving would: file, proto, signature."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.index_pusher.composite import warmup
from components.index_pusher.gates import Refusal
from components.index_pusher.index.queries import read_records
from components.index_pusher.proof import model_process
from components.index_pusher.proof.processes import Job, run_saved_models
from modules import features


def tensors(request: predict_pb2.PredictRequest) -> dict[str, tf.Tensor]:
    """A request's inputs as a loaded signature takes them."""
    return {
        name: tf.constant(tf.make_ndarray(proto), tf.as_dtype(proto.dtype))
        for name, proto in request.inputs.items()
    }


def logs(model: pathlib.Path) -> list[prediction_log_pb2.PredictionLog]:
    """Read the file where TensorFlow Serving looks for it."""
    path = model / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def models(bundle: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path.parent for path in bundle.glob("*/saved_model.pb"))


def test_every_model_of_a_bundle_answers_the_requests_that_it_comes_with(pushed) -> None:
    bundle = pushed.destination / "current"
    assert {"ranking", "recommend"} <= {path.name for path in models(bundle)}
    for path in models(bundle):
        loaded = tf.saved_model.load(str(path))
        requests = [log.predict_log.request for log in logs(path)]
        assert 0 < len(requests) <= 1000, "TensorFlow Serving takes no more"
        expected = {name for name, f in loaded.signatures.items() if f.structured_input_signature[1]}
        expected -= {features.EVAL_SIGNATURE}
        assert {request.model_spec.signature_name for request in requests} == expected
        for request in requests:
            assert request.model_spec.name == path.name
            answer = loaded.signatures[request.model_spec.signature_name](**tensors(request))
            (rows,) = {proto.tensor_shape.dim[0].size for n, proto in request.inputs.items() if n != "k"}
            assert rows in warmup.BATCHES
            assert {tensor.shape[0] for tensor in answer.values()} == {rows}


def test_they_are_made_of_real_queries(pushed) -> None:
    every = [log.predict_log.request for log in logs(pushed.destination / "current" / "recommend")]
    requests = [request for request in every if request.model_spec.signature_name == "serving_default"]
    single = tensors(requests[0])
    assert single["user_id"].numpy()[0].decode() in pushed.planted.world.users
    assert int(single["k"]) == 10
    history = np.concatenate([tensors(r)["history_title"].numpy().ravel() for r in requests])
    titles = {title.encode() for title in pushed.planted.world.titles}
    assert len(set(history)) > 10 and set(history) <= titles | {b""}


class _Model(tf.Module):
    """Takes serialized examples and lists; the Evaluators' signature is not to be expected."""

    def save(self, path: pathlib.Path) -> str:
        examples = tf.TensorSpec([None], tf.string, "examples")
        listed = tf.TensorSpec([None, None], tf.string, "exclude_title")

        @tf.function(input_signature=[examples])
        def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            parsed = tf.io.parse_example(examples, {"user_id": tf.io.FixedLenFeature([], tf.string)})
            return {"user": parsed["user_id"]}

        @tf.function(input_signature=[listed])
        def few(exclude_title: tf.Tensor) -> dict[str, tf.Tensor]:
            with tf.control_dependencies(
                [tf.debugging.assert_less(tf.shape(exclude_title)[0], 64, "too many")]
            ):
                return {"rows": tf.shape(exclude_title)[0][None]}

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "weight")])
        def odd(weight: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"weight": weight}

        self.parts = {"serving_default": serve, features.EVAL_SIGNATURE: odd, "few": few, "odd": odd}
        tf.saved_model.save(self, str(path), signatures={name: self.parts[name] for name in self.wanted})
        return str(path)


def write(path: pathlib.Path, *wanted: str) -> str:
    model: Any = _Model()
    model.wanted = wanted
    return model.save(path)


def test_examples_are_whole_rows_and_the_evaluators_signature_is_left_out(
    planted, tmp_path: pathlib.Path
) -> None:
    path = write(tmp_path / "model", "serving_default", features.EVAL_SIGNATURE)
    records = read_records(planted.sources.queries_dir, warmup.QUERIES)
    assert warmup.add(path, records) == 3
    (single, *_) = [log.predict_log.request for log in logs(pathlib.Path(path))]
    assert single.model_spec.signature_name == "serving_default"
    assert single.inputs["examples"].string_val[0] == records[0]


def test_few_queries_make_few_requests(planted, tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "model", "serving_default")
    assert warmup.add(path, read_records(planted.sources.queries_dir, 5)) == 2


def test_a_model_that_takes_a_feature_that_no_query_has_is_refused(planted, tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "model", "odd")
    with pytest.raises(Refusal, match="model takes weight in odd, which no query has"):
        warmup.add(path, read_records(planted.sources.queries_dir, warmup.QUERIES))
    assert not (tmp_path / "model" / "assets.extra").exists()


def test_a_model_whose_warm_up_fails_is_refused(planted, tmp_path: pathlib.Path) -> None:
    """The fresh process of the parity proof refuses it."""
    path = write(tmp_path / "model", "serving_default", "few")
    records = read_records(planted.sources.queries_dir, warmup.QUERIES)
    assert warmup.add(path, records) == 6
    job = Job(path, "serving_default", {"examples": np.array(records[:2], object)})
    with pytest.raises(Refusal, match="model fails on a warm-up request to few: .*too many"):
        run_saved_models([job])
    bare = write(tmp_path / "bare", "few")
    assert model_process.replay(bare, tf.saved_model.load(bare)) == 0
