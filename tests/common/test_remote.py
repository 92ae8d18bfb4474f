"""Artifacts of a bucket, for which TensorFlow's file system in memory stands."""

from __future__ import annotations

import pathlib
import uuid

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from common import remote
from components.index_pusher import executor


@pytest.fixture
def bucket() -> str:
    return f"ram://{uuid.uuid4().hex}"


def artifact(kind: type, uri: str):
    made = kind()
    made.uri = uri
    return made


def fill(folder: str) -> None:
    tf.io.gfile.makedirs(f"{folder}/below")
    for name in ("saved_model.pb", "below/weights"):
        tf.io.gfile.GFile(f"{folder}/{name}", "w").write(name)


def test_a_model_of_a_bucket_is_copied_here_and_the_output_is_copied_back(bucket: str) -> None:
    fill(f"{bucket}/model")
    model = artifact(standard_artifacts.Model, f"{bucket}/model")
    made = artifact(standard_artifacts.PushedModel, f"{bucket}/made")
    with remote.as_local_folders({"model": [model]}, {"made": [made]}) as folders:
        assert folders == {f"{bucket}/model": model.uri, f"{bucket}/made": made.uri}
        assert pathlib.Path(model.uri, "below", "weights").read_text() == "below/weights"
        pathlib.Path(made.uri, "index").mkdir()
        pathlib.Path(made.uri, "index", "file").write_text("made of it")
    assert (model.uri, made.uri) == (f"{bucket}/model", f"{bucket}/made")
    assert tf.io.gfile.GFile(f"{bucket}/made/index/file").read() == "made of it"
    assert not pathlib.Path(folders[f"{bucket}/model"]).exists()


def test_an_object_that_would_lead_out_of_its_folder_is_rejected(bucket: str, tmp_path: pathlib.Path) -> None:
    fill(f"{bucket}/model")
    tf.io.gfile.makedirs(f"{bucket}/model/..")
    tf.io.gfile.GFile(f"{bucket}/model/../evil", "w").write("")
    with pytest.raises(ValueError, match=rf"{bucket}/model holds an object whose name would lead out of it"):
        remote.copy_folder(f"{bucket}/model", str(tmp_path / "copy"))
    assert not (tmp_path / "evil").exists()


def test_a_local_artifact_is_not_copied(tmp_path: pathlib.Path) -> None:
    model = artifact(standard_artifacts.Model, str(tmp_path))
    with remote.as_local_folders({"model": [model]}, {}) as folders:
        assert not folders and model.uri == str(tmp_path)


def test_nothing_is_left_in_the_bucket_of_what_failed(bucket: str) -> None:
    made = artifact(standard_artifacts.PushedModel, f"{bucket}/made")
    with pytest.raises(RuntimeError), remote.as_local_folders({}, {"made": [made]}):
        pathlib.Path(made.uri, "half").touch()
        raise RuntimeError
    assert made.uri == f"{bucket}/made" and not tf.io.gfile.exists(made.uri)


def test_the_pusher_takes_a_blessing_of_a_buckets_model_for_the_copy(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, outputs = {}, {"pushed_model": [artifact(standard_artifacts.PushedModel, f"{bucket}/pushed")]}
    for name in ("retrieval", "ranking"):
        fill(f"{bucket}/{name}")
        blessing = artifact(standard_artifacts.ModelBlessing, f"{bucket}/blessing/{name}")
        blessing.set_int_custom_property("blessed", 1)
        blessing.set_string_custom_property("current_model", f"{bucket}/{name}")
        inputs[f"{name}_model"] = [artifact(standard_artifacts.Model, f"{bucket}/{name}")]
        inputs[f"{name}_blessing"] = [blessing]
    examples = artifact(standard_artifacts.Examples, f"{bucket}/examples")
    examples.split_names = '["eval"]'
    inputs["examples"] = [examples]

    def push(sources, blessings, destination, archive, keep):
        assert pathlib.Path(sources.retrieval_dir, "saved_model.pb").exists()
        assert blessings.retrieval.model_uri == sources.retrieval_dir
        assert blessings.ranking.model_uri == sources.ranking_dir != sources.retrieval_dir
        assert sources.queries_dir == f"{bucket}/examples/Split-eval", "TensorFlow reads these where they are"
        assert destination == "gs://live/models"
        pathlib.Path(archive, "manifest.json").write_text("{}")
        return {"pushed": 1}

    monkeypatch.setattr(executor, "push", push)
    parameters = {"push_destination": "gs://live/models", "index_config": "{}", "publish_config": "{}"}
    parameters |= {"pipeline_name": "films", "source_digest": "0"}
    executor.Executor().Do(inputs, outputs, {**parameters, "must_beat_baselines": 1})
    assert tf.io.gfile.exists(f"{bucket}/pushed/manifest.json")
    assert outputs["pushed_model"][0].get_int_custom_property("pushed") == 1
