"""BatchRecommender's executor on real artifacts: Beam in, Parquet out, the same as recommend.py tells."""

from __future__ import annotations

import json
import pathlib
import shutil
import uuid
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx import types
from tfx.types import standard_artifacts

import recommend
from common import parquet, remote
from components.batch_recommender import answers, recommending
from components.batch_recommender.component import Recommendations
from components.batch_recommender.config import BatchConfig
from components.batch_recommender.executor import Executor
from modules import features
from pipeline.beam_flags import with_runner
from tests.helpers import planted_models
from tests.helpers.planted_bundles import make_bundle

NOW = 880_000_000
THREADS = ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]
# With several processes Beam may wait for ever where a step fails: see CONTRIBUTING.md.
PROCESS = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]


@pytest.fixture(scope="module")
def examples(pushed, tmp_path_factory: pytest.TempPathFactory) -> types.Artifact:
    """Ratings of the planted users in train, three each."""
    root = tmp_path_factory.mktemp("examples")
    (root / "Split-train").mkdir()
    world = pushed.planted.world
    with tf.io.TFRecordWriter(str(root / "Split-train" / "rows.gz"), "GZIP") as writer:
        for row in range(3):
            for user in world.users:
                writer.write(planted_models.rating(user, world.titles[row], NOW).SerializeToString())
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(root), json.dumps(["train", "eval"])
    return artifact


def pushed_model(uri: str, **properties: int) -> types.Artifact:
    artifact = standard_artifacts.PushedModel()
    artifact.uri = uri
    for name, value in properties.items():
        artifact.set_int_custom_property(name, value)
    return artifact


def run(
    examples: types.Artifact,
    model: types.Artifact,
    folder: pathlib.Path,
    beam_args: list | None = None,
    k: int = 5,
) -> types.Artifact:
    written = Recommendations()
    written.uri = str(folder)
    folder.mkdir()
    Executor(Executor.Context(beam_pipeline_args=with_runner(beam_args or []))).Do(
        {"pushed_model": [model], "examples": [examples]},
        {"recommendations": [written]},
        {"batch_config": BatchConfig(k=k, timestamp=NOW).model_dump_json()},
    )
    return written


def rows(written: types.Artifact) -> list[dict[str, Any]]:
    """All rows, user by user."""
    files = pathlib.Path(written.uri).glob("*.parquet")
    listed = [row for path in files for row in parquet.read_table(path).to_pylist()]
    return sorted(listed, key=lambda row: (int(row["user_id"]), row["rank"]))


@pytest.mark.parametrize("beam_args", [[], PROCESS], ids=["here", "in a worker's process"])
def test_every_train_user_gets_what_recommend_tells(
    pushed, examples, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, beam_args: list
) -> None:
    model = pushed_model(str(pushed.destination / "bundles" / "1"), pushed=1, pushed_version=1)
    written = run(examples, model, tmp_path / "recommendations", beam_args)
    users = pushed.planted.world.users
    (tmp_path / "users.txt").write_text("\n".join(users))
    flags = ["--users", str(tmp_path / "users.txt"), "--json", "--k", "5", "--timestamp", str(NOW)]
    assert recommend.main([*flags, "--model-dir", str(pushed.destination)]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [
        {"user_id": answer["user_id"], "version": 1, **row}
        for answer in printed
        for row in answer["recommendations"]
    ]
    assert len(expected) == 39 * 5 + 3, "the last user has three titles left"
    found = rows(written)
    exact = [name for name in answers.SCHEMA.names if name not in ("score", "predicted_rating")]
    assert [[row[n] for n in exact] for row in found] == [[row[n] for n in exact] for row in expected]
    for name in ("score", "predicted_rating"):
        np.testing.assert_allclose([row[name] for row in found], [row[name] for row in expected], atol=1e-5)
    recorded = {
        n: written.get_int_custom_property(n)
        for n in ("recommended", "users", "rows", "version", "timestamp")
    }
    assert recorded == {"recommended": 1, "users": 40, "rows": 198, "version": 1, "timestamp": NOW}


def test_threads_share_one_model(
    pushed, examples, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    class Counted(recommending.Model):
        def __init__(self, path: str) -> None:
            loaded.append(path)
            super().__init__(path)

    monkeypatch.setattr(recommending, "Model", Counted)
    monkeypatch.setattr(recommending, "BATCH", 4)  # Ten batches, so that both threads have work.
    model = pushed_model(str(pushed.destination / "bundles" / "1"), pushed=1, pushed_version=1)
    written = run(examples, model, tmp_path / "recommendations", THREADS)
    found = rows(written)
    assert len(found) == 198 and len({(row["user_id"], row["rank"]) for row in found}) == 198
    assert len(loaded) == 1
    for path in pathlib.Path(written.uri).iterdir():
        assert path.name.startswith("recommendations") and path.suffix == ".parquet"
        assert parquet.ParquetFile(path).schema_arrow.equals(answers.SCHEMA)


def test_without_a_pushed_bundle_nothing_is_recommended(examples, tmp_path: pathlib.Path) -> None:
    written = run(examples, pushed_model(str(tmp_path / "nothing"), pushed=0), tmp_path / "recommendations")
    assert written.get_int_custom_property("recommended") == 0
    assert written.get_string_custom_property("reason") == "no bundle was pushed in this run"
    assert list((tmp_path / "recommendations").iterdir()) == []


def test_a_damaged_bundle_is_not_loaded(pushed, examples, tmp_path: pathlib.Path) -> None:
    shutil.copytree(pushed.destination / "bundles" / "1", tmp_path / "bundle")
    (tmp_path / "bundle" / "recommend" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match="recommend/saved_model.pb is changed"):
        run(examples, pushed_model(str(tmp_path / "bundle"), pushed=1), tmp_path / "recommendations")


def test_a_bundle_of_a_bucket_is_verified_here_and_loaded_from_there(
    examples, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In TensorFlow's file system in memory, which Beam does not know: so its part is left out."""
    bucket = f"ram://{uuid.uuid4().hex}/pushed"
    remote.copy_folder(make_bundle(tmp_path / "bundle", "a"), bucket)
    received: dict[str, Any] = {}
    monkeypatch.setattr(recommending, "build_pipeline", lambda _, **arguments: received.update(arguments))
    written = run(examples, pushed_model(bucket, pushed=1, pushed_version=1), tmp_path / "recommendations")
    assert received["model"] == f"{bucket}/recommend"
    assert written.get_int_custom_property("recommended") == 1
    with tf.io.gfile.GFile(f"{bucket}/recommend/saved_model.pb", "w") as file:
        file.write("damaged")
    with pytest.raises(ValueError, match="recommend/saved_model.pb is changed"):
        run(examples, pushed_model(bucket, pushed=1), tmp_path / "damaged")


def test_the_schema_is_the_documented_one() -> None:
    assert {field.name: str(field.type) for field in answers.SCHEMA} == {
        "user_id": "string",
        "rank": "int32",
        "movie_id": "string",
        "movie_title": "string",
        "score": "float",
        "predicted_rating": "float",
        "version": "int64",
    }


def test_rows_are_laid_out_without_padding() -> None:
    answer = {
        "movie_title": np.array([[b"A", b"B"], [b"C", b""], [b"", b""]], object),
        "movie_id": np.array([[b"1", b"2"], [b"3", b""], [b"", b""]], object),
        "score": np.array([[2.0, 1.0], [0.5, -9.0], [-9.0, -9.0]], np.float32),
        "predicted_rating": np.array([[4.0, 3.5], [3.0, 0.0], [0.0, 0.0]], np.float32),
        "num_returned": np.array([2, 1, 0], np.int32),
    }
    table = answers.rows([b"u", "é".encode(), b"w"], answer, 3)
    assert table.schema == answers.SCHEMA
    assert table.to_pydict() == {
        "user_id": ["u", "u", "é"],
        "rank": [1, 2, 1],
        "movie_id": ["1", "2", "3"],
        "movie_title": ["A", "B", "C"],
        "score": [2.0, 1.0, 0.5],
        "predicted_rating": [4.0, 3.5, 3.0],
        "version": [3, 3, 3],
    }


def test_a_request_tells_of_nobody_more_than_the_id() -> None:
    specs = {
        row.name: tf.TensorSpec([None, None] if row.repeated else [None], tf.as_dtype(row.dtype.value))
        for row in features.QUERY_FEATURES
    }
    specs |= {"k": tf.TensorSpec([], tf.int32), "exclude_title": tf.TensorSpec([None, None], tf.string)}
    request = answers.request(specs, [b"1", b"2"], 10, NOW)
    assert {name: tensor.numpy().tolist() for name, tensor in request.items()} == {
        "user_id": [b"1", b"2"],
        "timestamp": [NOW, NOW],
        "user_gender": [b"unknown", b"unknown"],
        "user_age": [-1, -1],
        "user_occupation": [b"unknown", b"unknown"],
        **{
            name: [[], []]
            for name in ("history_title", "history_rating", "history_timestamp", "exclude_title")
        },
        "k": 10,
    }
    assert all(request[name].dtype == spec.dtype for name, spec in specs.items())


def test_no_title_is_no_configuration() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        BatchConfig(k=0)
