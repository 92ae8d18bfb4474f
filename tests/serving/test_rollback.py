"""Rollback and promote: which version they serve, what they reject, and what the next push may change."""

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

    def rollback(self) -> publish.ServedChange:
        return publish.rollback(str(self.path))

    def promote(self, version: int) -> publish.ServedChange:
        return publish.promote(str(self.path), version)

    def serving(self, name: str = "models.config") -> dict[str, list[int]]:
        """Versions of each model that TF Serving loads, parsed as TF Serving parses its configuration."""
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse((self.path / "serving" / name).read_text(), config)
        versions_by_model = {}
        for model in config.model_config_list.config:
            assert model.base_path == str(self.path / "serving" / model.name)
            assert model.model_platform == "tensorflow"
            versions_by_model[model.name] = list(model.model_version_policy.specific.versions)
            for version in versions_by_model[model.name]:
                assert pathlib.Path(model.base_path, str(version), "saved_model.pb").is_file()
        return versions_by_model


def test_a_rollback_serves_the_version_before_to_every_reader(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "abc")
    assert destination.serving() == {"ranking": [3, 2], "recommend": [3, 2]}
    assert destination.rollback() == publish.ServedChange(3, 2)
    assert assert_whole(destination.path) == 2
    assert destination.serving() == {"ranking": [2, 1], "recommend": [2, 1]}
    assert linked(destination.path) == [1, 2], (
        "a TF Serving that serves the highest version serves it as well"
    )
    assert versions_in(destination.path) == [1, 2, 3]
    assert destination.rollback() == publish.ServedChange(2, 1)
    assert destination.serving() == {"ranking": [1], "recommend": [1]}
    with pytest.raises(ValueError, match=r"needs a version before the served one, 1; .* by `promote`"):
        destination.rollback()
    assert destination.promote(3) == publish.ServedChange(1, 3)
    assert assert_whole(destination.path) == 3
    assert destination.serving()["ranking"] == [3, 1]
    assert linked(destination.path) == [1, 3], "version 2 was withdrawn, and nobody promoted it"


def test_a_push_of_the_models_rolled_back_does_not_serve_them(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "ab")
    destination.rollback()
    again = destination.push("b")
    assert again == publish.Published(2, f"{destination.path}/bundles/2", new=False, served=False)
    identity = manifest.read(str(tmp_path / "b"))["identity"]
    assert publish.find(str(destination.path), identity) == again
    assert assert_whole(destination.path) == 1
    assert destination.push("a") == publish.Published(1, f"{destination.path}/bundles/1", new=False)
    assert versions_in(destination.path) == [1, 2], "models that are served already are not published again"

    assert destination.push("c") == publish.Published(3, f"{destination.path}/bundles/3", new=True)
    assert assert_whole(destination.path) == 3, "other models are served"
    assert not destination.push("b").served, "a push does not undo the rollback"
    assert destination.serving()["ranking"] == [3, 1]
    assert destination.rollback() == publish.ServedChange(3, 1), "a withdrawn version is passed over"

    destination.promote(2)
    assert destination.push("b") == publish.Published(2, f"{destination.path}/bundles/2", new=False)
    assert not destination.push("c").served, "an operator chose an older version than this"


def test_a_version_whose_publisher_died_before_the_pointer_is_no_operator_s_decision(
    tmp_path: pathlib.Path,
) -> None:
    destination = Destination(tmp_path, "ab")
    (destination.path / "current").unlink()
    (destination.path / "current").symlink_to("bundles/1")
    assert destination.push("b") == publish.Published(2, f"{destination.path}/bundles/2", new=False)
    assert assert_whole(destination.path) == 2


def test_a_push_does_not_undo_a_rollback_that_died_after_its_record(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "ab")
    destination.rollback()
    decided = (destination.path / "withdrawn.json").read_text()
    assert list(json.loads(decided)) == ["2"]
    destination.promote(2)
    (destination.path / "withdrawn.json").write_text(decided)
    assert destination.push("b").served and assert_whole(destination.path) == 2, "still served"
    assert destination.rollback() == publish.ServedChange(2, 1)


def test_a_damaged_version_is_not_served(tmp_path: pathlib.Path) -> None:
    destination = Destination(tmp_path, "ab")
    (destination.path / "bundles" / "1" / "tflite" / "r.tflite").write_text("damaged")
    for change in (destination.rollback, lambda: destination.promote(1)):
        with pytest.raises(ValueError, match=r"tflite/r\.tflite is changed\. .* `promote` another version"):
            change()
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


def test_retention_spares_the_served_version_and_the_one_that_a_rollback_needs(
    tmp_path: pathlib.Path,
) -> None:
    destination = Destination(tmp_path, "abcdefg")
    destination.promote(3)
    destination.push("h", keep=2)
    assert versions_in(destination.path) == [3, 7, 8], "4 to 7 are withdrawn: a rollback serves 3"
    assert destination.serving()["ranking"] == [8, 3]
    assert destination.rollback() == publish.ServedChange(8, 3)
    assert destination.push("g").served is False
    destination.push("i", keep=2)
    assert versions_in(destination.path) == [3, 8, 9]


def test_a_model_that_needs_scann_is_configured_only_for_a_server_that_has_scann(
    tmp_path: pathlib.Path,
) -> None:
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


def test_the_configuration_has_no_label_and_no_version_above_the_served_one(tmp_path: pathlib.Path) -> None:
    """TF Serving rejects a file that moves a label to a version it has not loaded, at every poll anew."""
    destination = Destination(tmp_path, "abcd")
    destination.promote(2)
    text = (destination.path / "serving" / "models.config").read_text()
    assert "version_labels" not in text
    assert set(re.findall(r"versions: (\d+)", text)) == {"2", "1"}
