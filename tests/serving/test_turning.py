"""Rollback and promote: what they turn, what they refuse, and what the next push may do about them."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving import manifest, publish
from serving.stores import store
from tests.helpers.planted_bundles import assert_whole, linked, make_bundle, versions_in


class Destination:
    """A destination with versions 1, 2, ... of the contents a, b, ..."""

    def __init__(self, root: pathlib.Path, contents: str) -> None:
        self.root = root
        self.path = root / "destination"
        for content in contents:
            self.push(content)

    def push(self, content: str, keep: int = 9) -> publish.Published:
        return publish.publish(make_bundle(self.root / content, content), str(self.path), keep)

    def rollback(self) -> publish.Turn:
        return publish.rollback(str(self.path))

    def promote(self, version: int) -> publish.Turn:
        return publish.promote(str(self.path), version)

    def serving(self, name: str = "models.config") -> dict[str, list[int]]:
        """What TF Serving is told to load, read as TF Serving reads it."""
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse((self.path / "serving" / name).read_text(), config)
        told = {}
        for model in config.model_config_list.config:
            assert model.base_path == str(self.path / "serving" / model.name)
            assert model.model_platform == "tensorflow"
            told[model.name] = list(model.model_version_policy.specific.versions)
            for version in told[model.name]:
                assert pathlib.Path(model.base_path, str(version), "saved_model.pb").is_file()
        return told


def test_a_rollback_turns_every_view_to_the_version_before(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "abc")
    assert destination.serving() == {"ranking": [3, 2], "recommend": [3, 2]}
    assert destination.rollback() == publish.Turn(3, 2)
    assert assert_whole(destination.path) == 2
    assert destination.serving() == {"ranking": [2, 1], "recommend": [2, 1]}
    assert linked(destination.path) == [1, 2], "a TF Serving that serves the highest version turns as well"
    assert versions_in(destination.path) == [1, 2, 3]
    assert destination.rollback() == publish.Turn(2, 1)
    assert destination.serving() == {"ranking": [1], "recommend": [1]}
    with pytest.raises(ValueError, match=r"needs a version before the one in service, 1; .* by `promote`"):
        destination.rollback()
    assert destination.promote(3) == publish.Turn(1, 3)
    assert assert_whole(destination.path) == 3
    assert destination.serving()["ranking"] == [3, 1]
    assert linked(destination.path) == [1, 3], "version 2 was taken out of service, and nobody put it back"


def test_the_models_rolled_back_are_not_put_in_service_by_a_push(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "ab")
    destination.rollback()
    again = destination.push("b")
    assert again == publish.Published(2, f"{destination.path}/bundles/2", new=False, in_service=False)
    identity = manifest.read(str(tmp_path / "b"))["identity"]
    assert publish.find(str(destination.path), identity) == again
    assert assert_whole(destination.path) == 1
    assert destination.push("a") == publish.Published(1, f"{destination.path}/bundles/1", new=False)
    assert versions_in(destination.path) == [1, 2], "what serves already is not published again"

    assert destination.push("c") == publish.Published(3, f"{destination.path}/bundles/3", new=True)
    assert assert_whole(destination.path) == 3, "other models are what the rollback was waiting for"
    assert not destination.push("b").in_service, "which lifts nothing"
    assert destination.serving()["ranking"] == [3, 1]
    assert destination.rollback() == publish.Turn(3, 1), "what was withdrawn is passed over"

    destination.promote(2)
    assert destination.push("b") == publish.Published(2, f"{destination.path}/bundles/2", new=False)
    assert not destination.push("c").in_service, "an operator chose an older version than this"


def test_a_version_whose_publisher_died_before_the_pointer_is_no_operator_s_decision(
    tmp_path: pathlib.Path,
) -> None:
    destination = Destination(tmp_path, "ab")
    (destination.path / "current").unlink()
    (destination.path / "current").symlink_to("bundles/1")
    assert destination.push("b") == publish.Published(2, f"{destination.path}/bundles/2", new=False)
    assert assert_whole(destination.path) == 2


def test_a_turn_that_died_after_its_decision_is_not_undone_by_a_push(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "ab")
    destination.rollback()
    decided = (destination.path / "withdrawn.json").read_text()
    assert list(json.loads(decided)) == ["2"]
    destination.promote(2)
    (destination.path / "withdrawn.json").write_text(decided)
    assert destination.push("b").in_service and assert_whole(destination.path) == 2, "still in service"
    assert destination.rollback() == publish.Turn(2, 1)


def test_what_is_damaged_is_not_turned_to(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "ab")
    (destination.path / "bundles" / "1" / "tflite" / "r.tflite").write_text("damaged")
    for turn in (destination.rollback, lambda: destination.promote(1)):
        with pytest.raises(ValueError, match=r"tflite/r\.tflite is changed\. .* `promote` another version"):
            turn()
        assert assert_whole_current(destination) == 2
    with pytest.raises(ValueError, match=r"must hold version 7; it holds 1, 2\. Choose one of these\."):
        destination.promote(7)
    with pytest.raises(ValueError, match="must hold a published version; it holds none"):
        publish.rollback(str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def assert_whole_current(destination: Destination) -> int:
    content = manifest.verify(str(destination.path / "current"))
    assert content["sources"] == {"model": "b"}
    return store.open_store(str(destination.path)).current()


def test_retention_spares_what_serves_and_what_a_rollback_needs(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "abcdefg")
    destination.promote(3)
    destination.push("h", keep=2)
    assert versions_in(destination.path) == [3, 7, 8], "4 to 7 are withdrawn: a rollback turns to 3"
    assert destination.serving()["ranking"] == [8, 3]
    assert destination.rollback() == publish.Turn(8, 3)
    assert destination.push("g").in_service is False
    destination.push("i", keep=2)
    assert versions_in(destination.path) == [3, 8, 9]


def test_what_needs_scann_is_told_only_to_a_server_that_has_it(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "a")
    bundle = pathlib.Path(make_bundle(tmp_path / "b", "b"))
    (bundle / "recommend" / "saved_model.pb").write_bytes(b"\x12\x1aScann>ScannSearchBatched")
    manifest.write(str(bundle), {"model": "b"}, {})
    publish.publish(str(bundle), str(destination.path))
    assert destination.serving() == {"ranking": [2, 1]}
    assert destination.serving("models-scann.config") == {"ranking": [2, 1], "recommend": [2, 1]}
    destination.rollback()
    assert destination.serving() == {"ranking": [1], "recommend": [1]}


def test_a_path_that_needs_quoting_reaches_tf_serving(tmp_path: pathlib.Path) -> None:
    root = tmp_path / 'a "büro" \\ folder'
    root.mkdir()
    assert Destination(root, "a").serving() == {"ranking": [1], "recommend": [1]}


def test_no_label_and_no_version_above_the_one_in_service_is_told(tmp_path: pathlib.Path) -> None:
    """TF Serving refuses a file that moves a label to a version it has not loaded, at every poll anew."""
    destination = Destination(tmp_path, "abcd")
    destination.promote(2)
    text = (destination.path / "serving" / "models.config").read_text()
    assert "version_labels" not in text
    assert set(re.findall(r"versions: (\d+)", text)) == {"2", "1"}
