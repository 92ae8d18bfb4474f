"""Warm-up requests, which TensorFlow Serving sends to a model once, before it serves the model.

Runs in the executor's process, on the files to be published. A model whose warm-up fails is not served at
all, so the fresh processes of the parity proof replay every request first (see model_process.py).

References: https://www.tensorflow.org/tfx/serving/saved_model_warmup, for the file's path and format.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.index_pusher.composite import recommender
from components.index_pusher.gates import Refusal
from components.index_pusher.index import queries
from modules import features

FOLDER, FILE = "assets.extra", "tf_serving_warmup_requests"
# Rows of the requests to each signature: one user, a small batch and a large one.
BATCHES = (1, 8, 64)
# Number of queries in all of them.
QUERIES = sum(BATCHES)
# Titles in a request.
K = 10


def add_all(bundle: str, records: Sequence[bytes]) -> int:
    """Give every SavedModel of a bundle its warm-up requests.

    Args:
      bundle: folder with a folder for each model.
      records: serialized ratings, as of queries.read_records; the first QUERIES are used.
    Returns:
      How many requests were written.
    Raises:
      Refusal: a signature takes a feature that no query has.
    """
    models = sorted(
        entry.path for entry in os.scandir(bundle) if tf.saved_model.contains_saved_model(entry.path)
    )
    return sum(add(path, records) for path in models)


def add(path: str, records: Sequence[bytes]) -> int:
    """Write a SavedModel's requests; returns their number.

    The signature that the Evaluators call is left out, and those without inputs.
    """
    name = os.path.basename(path)
    logs = []
    for signature, specs in sorted(_inputs(path).items()):
        for batch in _batches(records) if specs else ():
            request = predict_request(name, signature, specs, batch)
            log = prediction_log_pb2.PredictLog(request=request)
            logs.append(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
    os.makedirs(os.path.join(path, FOLDER), exist_ok=True)
    with tf.io.TFRecordWriter(os.path.join(path, FOLDER, FILE)) as writer:
        for log in logs:
            writer.write(log)
    return len(logs)


def _inputs(path: str) -> dict[str, dict[str, tf.TensorSpec]]:
    """Inputs by signature, from the file alone: to load the model takes seconds."""
    message = saved_model_pb2.SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        message.ParseFromString(file.read())
    return {
        name: {
            key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype), key)
            for key, info in signature.inputs.items()
        }
        for name, signature in message.meta_graphs[0].signature_def.items()
        if name != features.EVAL_SIGNATURE
    }


def _batches(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut the records into BATCHES, or into what of them there is."""
    start = 0
    for size in BATCHES:
        if batch := records[start : start + size]:
            yield batch
        start += size


def predict_request(
    model: str, signature: str, specs: Mapping[str, tf.TensorSpec], records: Sequence[bytes]
) -> predict_pb2.PredictRequest:
    """Ask a signature about ratings: its query features, its title, or the whole as serialized examples.

    Raises:
      Refusal: an input is none of these, not `k`, and no list of which a request may tell nothing.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    columns: dict[str, Any] = {
        **queries.parse(records),
        features.EXAMPLES_INPUT: list(records),
        recommender.K: K,
    }
    for name, spec in specs.items():
        value = columns.get(name)
        if value is None and spec.shape.rank == 2:
            value = tf.zeros([len(records), 0], spec.dtype).numpy()
        if value is None:
            raise Refusal(f"{model} takes {name} in {signature}, which no query has")
        if spec.shape.rank == 2 and np.ndim(value) == 1:
            value = value[:, np.newaxis]  # A list of one title.
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value, spec.dtype))
    return request
