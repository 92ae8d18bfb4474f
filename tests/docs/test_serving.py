"""docs/serving.md: the pushed models answer every request on the page, every configuration is parsed."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from modules import features
from tests.docs.blocks import DOCS, blocks

DOCUMENT = "serving.md"
MODEL = "recommend_exact"
TRITON_TYPES = {
    tf.string: "TYPE_STRING",
    tf.int64: "TYPE_INT64",
    tf.int32: "TYPE_INT32",
    tf.float32: "TYPE_FP32",
}


@pytest.fixture(scope="module")
def bundle(pushed) -> pathlib.Path:
    return pushed.destination / "current"


@pytest.fixture(scope="module")
def models(bundle: pathlib.Path) -> dict[str, Any]:
    """The models that the page asks, as stock TensorFlow would load them."""
    return {name: tf.saved_model.load(str(bundle / name)) for name in (MODEL, "ranking")}


class _Server(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict with loaded models: TensorFlow Serving's interface, without its binary."""

    def __init__(self, models: dict[str, Any]) -> None:
        self._models = models
        self.requests: list[predict_pb2.PredictRequest] = []

    def Predict(self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        signature = self._models[request.model_spec.name].signatures[request.model_spec.signature_name]
        inputs = {
            name: tf.constant(tf.make_ndarray(proto), tf.as_dtype(proto.dtype))
            for name, proto in request.inputs.items()
        }
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for name, tensor in signature(**inputs).items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor))
        return response


@pytest.fixture
def server(models: dict[str, Any]) -> Iterator[tuple[str, _Server]]:
    servicer = _Server(models)
    listening = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, listening)
    port = listening.add_insecure_port("localhost:0")
    listening.start()
    yield f"localhost:{port}", servicer
    listening.stop(None).wait()


def with_a_world(code: str, world: Any) -> str:
    """Replace MovieLens' user and titles by those of the planted world."""
    titles = ["Toy Story (1995)", "Aladdin (1992)", "Ghost (1990)"]
    for row, title in enumerate(titles):
        code = code.replace(f'b"{title}"', repr(world.titles[row].encode()))
        code = code.replace(json.dumps(title), json.dumps(world.titles[row], ensure_ascii=False))
    return code.replace('"42"', '"1"')


def as_tensors(body: dict[str, Any], signature: Any) -> dict[str, tf.Tensor]:
    """Read the columnar form as TensorFlow Serving does: a tensor for each input, of the signature's type."""
    specs = signature.structured_input_signature[1]
    assert set(body["inputs"]) == set(specs), "TensorFlow Serving rejects a missing and an unknown input"
    made = {name: tf.constant(value, specs[name].dtype) for name, value in body["inputs"].items()}
    for name, tensor in made.items():
        assert specs[name].shape.is_compatible_with(tensor.shape), name
    return made


def test_the_rest_body_gets_recommendations(pushed, models: dict[str, Any]) -> None:
    world = pushed.planted.world
    first, _ = blocks(DOCUMENT, "json")
    body = json.loads(with_a_world(first, world))
    signature = models[MODEL].signatures[body["signature_name"]]
    answer = {name: tensor.numpy() for name, tensor in signature(**as_tensors(body, signature)).items()}
    assert answer["movie_title"].shape == (2, 10) and answer["num_returned"].tolist() == [10, 10]
    for row, excluded in enumerate(([world.titles[2]], world.titles[:2])):
        assert not {title.encode() for title in excluded} & set(answer["movie_title"][row])
    scores = world.embeddings @ world.user_vectors[0]
    scores[2] = -np.inf
    best = [world.titles[row].encode() for row in np.argsort(-scores)[:10]]
    assert answer["movie_title"][0].tolist() == best


def test_the_rest_body_gets_a_rating(pushed, models: dict[str, Any]) -> None:
    _, second = blocks(DOCUMENT, "json")
    body = json.loads(with_a_world(second, pushed.planted.world))
    assert body["signature_name"] == features.RATING_SIGNATURE
    signature = models["ranking"].signatures[body["signature_name"]]
    (rating,) = signature(**as_tensors(body, signature))["predicted_rating"].numpy()
    assert np.isfinite(rating)


def test_the_grpc_client_gets_recommendations_over_a_channel(pushed, server: tuple[str, _Server]) -> None:
    address, servicer = server
    world = pushed.planted.world
    code, _ = blocks(DOCUMENT, "python")
    assert "localhost:8500" in code
    names: dict[str, Any] = {}
    code = with_a_world(code, world).replace("localhost:8500", address)
    assert "timeout=5.0" in code
    exec(code.replace("timeout=5.0", "timeout=120.0"), names)  # A first call on a busy machine.
    (request,) = servicer.requests
    assert request.model_spec.name == MODEL
    scores = world.embeddings @ world.user_vectors[0]
    scores[2] = -np.inf
    assert names["titles"] == [world.titles[row] for row in np.argsort(-scores)[:10]]


def test_the_device_client_gets_what_the_savedmodel_says(
    pushed, models: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "pushed").symlink_to(pushed.destination)
    monkeypatch.chdir(tmp_path)
    _, code = blocks(DOCUMENT, "python")
    names: dict[str, Any] = {}
    exec(with_a_world(code, pushed.planted.world), names)
    _, second = blocks(DOCUMENT, "json")
    signature = models["ranking"].signatures[features.RATING_SIGNATURE]
    body = json.loads(with_a_world(second, pushed.planted.world))
    (expected,) = signature(**as_tensors(body, signature))["predicted_rating"].numpy()
    assert names["rating"] == pytest.approx(expected, abs=1e-5)


def test_labels_name_versions_that_the_policy_loads() -> None:
    (text,) = blocks(DOCUMENT, "textproto")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == (MODEL, "tensorflow")
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)
    (label,) = re.findall(r"/labels/(\w+):predict", (DOCS / DOCUMENT).read_text())
    assert label in model.version_labels


def test_tritons_configuration_is_the_signature(models: dict[str, Any]) -> None:
    (text,) = blocks(DOCUMENT, "pbtxt")
    inputs, outputs = text.split("output [")
    entry = re.compile(
        r'\{ name: "(\w+)" data_type: (\w+) dims: (\[[^]]*\])( reshape \{ shape: \[ \] \})? \}'
    )

    def described(tensors: dict[str, Any]) -> dict[str, tuple]:
        return {
            name: (
                TRITON_TYPES[tensor.dtype],
                "[ " + ", ".join(["-1"] * tensor.shape.rank or ["1"]) + " ]",
                "" if tensor.shape.rank else " reshape { shape: [ ] }",
            )
            for name, tensor in tensors.items()
        }

    signature = models[MODEL].signatures["serving_default"]
    assert {name: tuple(rest) for name, *rest in entry.findall(inputs)} == described(
        signature.structured_input_signature[1]
    )
    assert {name: tuple(rest) for name, *rest in entry.findall(outputs)} == described(
        signature.structured_outputs
    )
    assert text.startswith(f'name: "{MODEL}"\nplatform: "tensorflow_savedmodel"\nmax_batch_size: 0\n')


def test_the_table_of_inputs_has_every_input_and_the_kotlin_map_every_one_of_the_file(
    models: dict[str, Any],
) -> None:
    text = (DOCS / DOCUMENT).read_text()
    table = text.split("| input | shape, dtype | if unknown |")[1].split("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == set(models[MODEL].signatures["serving_default"].structured_input_signature[1])
    (kotlin,) = blocks(DOCUMENT, "kotlin")
    wanted = models["ranking"].signatures[features.RATING_SIGNATURE].structured_input_signature[1]
    assert set(re.findall(r'"(\w+)" to (?:arrayOf|intArrayOf)', kotlin)) == set(wanted)
    assert all(f"{kind}({features.HISTORY_LENGTH})" in kotlin for kind in ("Array", "FloatArray", "IntArray"))
    assert text.count(f"[1, {features.HISTORY_LENGTH}]") == len(features.HISTORY_FEATURES)
    assert f"A history always has {features.HISTORY_LENGTH} entries" in text
    assert f"takes {features.DEVICE_EXCLUDED} titles to exclude" in text
