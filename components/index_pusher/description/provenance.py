"""What the manifest states beside digests and figures: data, the models' gates, thresholds, signatures.

Runs in the executor's process, on a bundle that is complete.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from components.index_pusher.bundle import RECOMMEND, RECOMMEND_EXACT
from components.index_pusher.config import IndexConfig
from components.index_pusher.description.model_card import Data
from components.index_pusher.proof import recommend_check, saved_model_check, tflite_check
from modules.evaluation.results import Evaluation
from serving.manifest import CHUNK

Ends = dict[str, dict[str, Any]]


def data(recorded: Data, split_dirs: Mapping[str, str]) -> dict[str, Any]:
    """State which data the models were trained and measured on.

    Args:
      recorded: release, split and counts of the ratings' artifact.
      split_dirs: folders of its splits, by name.
    Returns:
      `config`: release and split, None where it is not recorded; `counts`; `splits`: by name, files, bytes
      and `sha256` of the files' contents, in the order of their names.
    """
    return {
        "config": recorded.config.model_dump(mode="json") if recorded.config else None,
        "counts": dict(recorded.counts),
        "splits": {name: _files(folder) for name, folder in split_dirs.items()},
    }


def _files(folder: str) -> dict[str, int | str]:
    digest, size, paths = hashlib.sha256(), 0, sorted(tf.io.gfile.glob(os.path.join(folder, "*")))
    for path in paths:
        with tf.io.gfile.GFile(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
    return {"files": len(paths), "bytes": size, "sha256": digest.hexdigest()}


def evaluations(read: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Tell each model's metrics over all rows, and every threshold that it was held against.

    Args:
      read: what the Evaluators measured, by what the model does in the bundle.
    """
    return {
        name: {
            "rows": of_model.rows,
            "metrics": {key: _number(value) for key, value in sorted(of_model.values.get("", {}).items())},
            "gates": [
                {
                    "metric": gated.metric,
                    "slice": gated.slice,
                    "rule": gated.rule,
                    "value": _number(gated.value),
                    "passed": gated.passed,
                }
                for gated in of_model.gated
            ],
        }
        for name, of_model in read.items()
    }


def _number(value: float) -> float | None:
    """JSON has no NaN.

    >>> _number(0.5), _number(float("nan"))
    (0.5, None)
    """
    return value if math.isfinite(value) else None


def thresholds(config: IndexConfig) -> dict[str, Any]:
    """State the bounds of the bundle's own gates; those of the models are among their evaluations."""
    return {
        "index_recall": config.min_recall,
        "recommend_recall": config.min_recall,
        "parity": saved_model_check.BOUND,
        "recommend_score": recommend_check.SCORE_TOLERANCE,
        "tflite": tflite_check.TOLERANCE,
        **{f"quantized_{name}": bound for name, bound in config.quantized.model_dump().items()},
    }


def order(config: IndexConfig) -> dict[str, Any]:
    """State what orders the bundle's lists.

    Returns:
      `rating_weight` and `diversity`, as configured; and `diverse`, the parts whose lists the latter changes.
      The single models, the TFLite files and the vectors know nothing of it.
    """
    return {
        "rating_weight": config.blend.rating_weight or 0.0,
        "diversity": config.diversity,
        "diverse": [RECOMMEND, RECOMMEND_EXACT] if config.diversity else [],
    }


def signatures(folder: str) -> dict[str, dict[str, Ends]]:
    """Describe every signature of a bundle's SavedModels and TFLite files.

    Args:
      folder: of the bundle.
    Returns:
      By model (a folder, or a file below `tflite/`) and signature: `inputs` and `outputs`, a `dtype` and a
      `shape` each; -1 stands for any length, None for any shape.
    """
    models = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if name == tf.saved_model.SAVED_MODEL_FILENAME_PB:
                models[os.path.relpath(parent, folder)] = _of_saved_model(path)
            elif name.endswith(".tflite"):
                models[os.path.relpath(path, folder)] = _of_tflite(path)
    return models


def _of_saved_model(path: str) -> dict[str, Ends]:
    message = saved_model_pb2.SavedModel()
    with open(path, "rb") as file:
        message.ParseFromString(file.read())
    return {
        name: {
            end: {
                key: {
                    "dtype": tf.as_dtype(info.dtype).name,
                    "shape": None
                    if info.tensor_shape.unknown_rank
                    else [int(axis.size) for axis in info.tensor_shape.dim],
                }
                for key, info in sorted(getattr(signature, end).items())
            }
            for end in ("inputs", "outputs")
        }
        for name, signature in message.meta_graphs[0].signature_def.items()
        # TensorFlow's own signature, which says how the variables are restored.
        if not name.startswith("__")
    }


def _of_tflite(path: str) -> dict[str, Ends]:
    interpreter = tf.lite.Interpreter(model_path=path)
    ends: dict[str, Ends] = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        ends[name] = {
            end: {
                key: {"dtype": _dtype(detail["dtype"]), "shape": detail["shape_signature"].tolist()}
                for key, detail in sorted(details().items())
            }
            for end, details in (("inputs", runner.get_input_details), ("outputs", runner.get_output_details))
        }
    return ends


def _dtype(kind: type) -> str:
    """Name a type as SavedModels do.

    >>> _dtype(np.float32), _dtype(np.bool_), _dtype(np.bytes_)
    ('float32', 'bool', 'string')
    """
    return "string" if np.dtype(kind).kind in "SUO" else np.dtype(kind).name
