"""What a pushed manifest tells of data, gates, thresholds and signatures, against the files themselves."""

from __future__ import annotations

import hashlib
import json
import math
import pathlib

import pytest
import tensorflow as tf

from components.index_pusher.config import BlendConfig, IndexConfig
from components.index_pusher.description import provenance
from components.index_pusher.description.model_card import Data
from components.movielens_example_gen.config import DataConfig
from modules import features
from modules.evaluation.results import Evaluation, Gated
from serving import manifest


@pytest.fixture(scope="module")
def content(pushed) -> dict:
    return manifest.read(str(pushed.destination / "current"))


def test_every_model_and_file_is_described(content: dict) -> None:
    assert set(content["signatures"]) == {
        *("recommend", "recommend_exact", "retrieval", "ranking"),
        *(path for path in content["files"] if path.endswith(".tflite")),
    }
    assert len([name for name in content["signatures"] if name.startswith("tflite/")]) == 4


@pytest.mark.parametrize("model", ["recommend_exact", "retrieval", "ranking"])
def test_the_signatures_are_those_of_the_loaded_model(pushed, content: dict, model: str) -> None:
    loaded = tf.saved_model.load(str(pushed.destination / "current" / model)).signatures
    described = content["signatures"][model]
    assert set(described) == set(loaded)
    for name, ends in described.items():
        specs = loaded[name].structured_input_signature[1]
        assert ends["inputs"] == {key: _described(spec) for key, spec in specs.items()}
        outputs = loaded[name].structured_outputs
        assert ends["outputs"] == {key: _described(spec) for key, spec in outputs.items()}


def _described(spec: tf.TensorSpec) -> dict:
    shape = [-1 if axis is None else axis for axis in spec.shape] if spec.shape.rank is not None else None
    return {"dtype": spec.dtype.name, "shape": shape}


def test_a_tflite_file_is_listed_with_its_widths_and_types(content: dict) -> None:
    rate = content["signatures"]["tflite/ranking.tflite"]["rate"]
    assert rate["inputs"]["user_id"] == {"dtype": "string", "shape": [-1]}
    assert rate["inputs"]["history_timestamp"] == {"dtype": "int32", "shape": [-1, features.HISTORY_LENGTH]}
    assert rate["outputs"]["predicted_rating"]["dtype"] == "float32"


def test_the_pipeline_that_made_the_bundle_is_named(content: dict) -> None:
    assert content["pipeline"] == "planted"


def test_the_order_is_stated_with_the_parts_that_are_diverse(content: dict) -> None:
    assert content["order"] == {"rating_weight": 0.0, "diversity": 0.0, "diverse": []}
    config = IndexConfig(blend=BlendConfig(rating_weight=2.0), diversity=0.3)
    assert provenance.order(config) == {
        "rating_weight": 2.0,
        "diversity": 0.3,
        "diverse": ["recommend", "recommend_exact"],
    }


def test_the_thresholds_are_those_that_the_parity_was_held_against(content: dict) -> None:
    listed = content["thresholds"]
    assert listed["index_recall"] == IndexConfig().min_recall
    of_part = {row["part"]: row["bound"] for row in content["metrics"]["parity"]}
    assert listed["tflite"] == of_part["tflite/ranking.tflite"]
    assert listed["parity"] == of_part["ranking, rate"]
    assert listed["quantized_max_rmse_increase"] == of_part["tflite/ranking_quantized.tflite"]
    assert listed["quantized_max_hit_loss"] == of_part["tflite/retrieval_quantized.tflite"]


def test_the_data_are_identified_by_digests_of_their_content(tmp_path: pathlib.Path) -> None:
    for name, rows in {"b": b"later", "a": b"earlier"}.items():
        (tmp_path / name).write_bytes(rows)
    listed = provenance.data(Data(DataConfig(), {"train_rows": 2}), {"train": str(tmp_path)})
    assert listed["splits"]["train"] == {
        "files": 2,
        "bytes": 12,
        "sha256": hashlib.sha256(b"earlierlater").hexdigest(),
    }
    assert listed["config"]["release"] == "ml-100k" and listed["counts"] == {"train_rows": 2}
    (tmp_path / "a").write_bytes(b"another")
    again = provenance.data(Data(), {"train": str(tmp_path)})
    assert again["splits"]["train"]["sha256"] != listed["splits"]["train"]["sha256"]
    assert again["config"] is None


def test_metrics_and_gates_are_listed_and_nan_is_no_number() -> None:
    gated = Gated("rmse", "user_gender", "user_gender=F", "<= 1", 1.25, None, None, False)
    listed = provenance.evaluations(
        {"ranking": Evaluation((gated,), {}, 20, values={"": {"rmse": 0.9, "mae": math.nan}})}
    )
    assert listed["ranking"]["metrics"] == {"mae": None, "rmse": 0.9} and listed["ranking"]["rows"] == 20
    assert listed["ranking"]["gates"] == [
        {"metric": "rmse", "slice": "user_gender=F", "rule": "<= 1", "value": 1.25, "passed": False}
    ]
    json.dumps(listed, allow_nan=False)
