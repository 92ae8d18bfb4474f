"""What a push leaves behind: the layout, the manifest, the numbers of versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import shutil

import pytest

from serving import manifest, publish
from tests.helpers.planted_bundles import assert_whole, linked, make_bundle, versions_in


def test_the_layout_is_tf_serving_s_with_a_pointer(tmp_path: pathlib.Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", "a")
    destination = tmp_path / "destination"
    published = publish.publish(bundle, str(destination))
    assert published == publish.Published(1, str(destination / "bundles" / "1"), new=True)
    assert os.readlink(destination / "current") == "bundles/1"
    assert os.readlink(destination / "serving" / "ranking" / "1") == "../../bundles/1/ranking"
    assert sorted(path.name for path in (destination / "serving").iterdir()) == [
        "models-scann.config", "models.config", "ranking", "recommend",
    ]  # fmt: skip
    assert (destination / "current" / "tflite" / "r.tflite").read_text().startswith("tflite/r.tflite a")
    moved = destination.rename(tmp_path / "moved")
    assert assert_whole(moved) == 1, "links are relative, so a destination can be moved or mounted"


def test_the_manifest_lists_every_file_with_size_and_digest(tmp_path: pathlib.Path) -> None:
    content = manifest.verify(make_bundle(tmp_path, "a"))
    assert sorted(content["files"]) == [
        "ranking/saved_model.pb", "recommend/saved_model.pb", "recommend/variables/data", "tflite/r.tflite",
    ]  # fmt: skip
    assert content["files"]["tflite/r.tflite"]["bytes"] == 16_000 + 1_000
    assert content["libraries"]["tensorflow"] == importlib.metadata.version("tensorflow")
    assert content["metrics"] == {"index_recall": 1.0}
    assert content["models"] == {"ranking": {"scann": False}, "recommend": {"scann": False}}


def test_the_same_identity_is_published_once(tmp_path: pathlib.Path) -> None:
    destination = str(tmp_path / "destination")
    for content, version, new in (
        ("a", 1, True),
        ("a", 1, False),
        ("b", 2, True),
        ("b", 2, False),
        ("a", 3, True),
    ):
        published = publish.publish(make_bundle(tmp_path / content, content), destination)
        assert (published.version, published.new) == (version, new)
    assert assert_whole(tmp_path / "destination") == 3
    identity = manifest.read(str(tmp_path / "a"))["identity"]
    assert publish.find(destination, identity) == publish.Published(3, f"{destination}/bundles/3", new=False)
    assert publish.find(destination, "another") is None


def test_a_file_that_a_desktop_left_is_no_part_of_a_bundle(tmp_path: pathlib.Path) -> None:
    bundle = pathlib.Path(make_bundle(tmp_path / "a", "a"))
    before = manifest.content_digest(str(bundle))
    for folder in (bundle, bundle / "ranking"):
        (folder / ".DS_Store").touch()
    assert manifest.content_digest(str(bundle)) == before
    manifest.write(str(bundle), {"model": "a"}, {})
    (bundle / ".DS_Store").write_text("changed since")
    published = pathlib.Path(publish.publish(str(bundle), str(tmp_path / "destination")).path)
    manifest.verify(str(published))
    assert list(published.rglob(".DS_Store")) == []
    (bundle / "ranking" / "._x").touch()
    with pytest.raises(ValueError, match="._x is not listed"):
        manifest.verify(str(bundle))


def test_a_digest_depends_on_content_and_names_alone(tmp_path: pathlib.Path) -> None:
    first, second, third = (
        make_bundle(tmp_path / name, text) for name, text in (("x", "a"), ("y", "a"), ("z", "b"))
    )
    os.utime(tmp_path / "y" / "recommend" / "saved_model.pb", (5, 5))
    assert manifest.content_digest(first) == manifest.content_digest(second) != manifest.content_digest(third)
    (tmp_path / "y" / "tflite" / "r.tflite").rename(tmp_path / "y" / "tflite" / "s.tflite")
    assert manifest.content_digest(first) != manifest.content_digest(second)


def test_a_damaged_number_of_the_highest_version_is_rejected_with_the_remedy(tmp_path: pathlib.Path) -> None:
    destination = tmp_path / "pushed"
    publish.publish(make_bundle(tmp_path / "a", "a"), str(destination))
    (destination / ".last").write_text("one")
    words = r"\.last must hold the number of the highest version ever published; it holds 'one'"
    with pytest.raises(ValueError, match=words):
        publish.publish(make_bundle(tmp_path / "b", "b"), str(destination))
    assert [path.name for path in (destination / "bundles").iterdir()] == ["1"]


def test_a_damaged_bundle_is_not_published_and_a_damaged_version_is_replaced(tmp_path: pathlib.Path) -> None:
    bundle, destination = make_bundle(tmp_path / "bundle", "a"), tmp_path / "destination"
    publish.publish(bundle, str(destination))
    (destination / "bundles" / "1" / "recommend" / "saved_model.pb").write_text("damaged")
    assert publish.publish(bundle, str(destination)).version == 2
    (tmp_path / "bundle" / "tflite" / "r.tflite").unlink()
    with pytest.raises(ValueError, match=r"tflite/r\.tflite is missing"):
        publish.publish(bundle, str(destination))
    (tmp_path / "bundle" / "tflite" / "r.tflite").write_text("changed")
    with pytest.raises(ValueError, match=r"tflite/r\.tflite is changed"):
        publish.publish(bundle, str(destination))
    assert versions_in(destination) == [1, 2]


def test_a_version_is_never_given_twice(tmp_path: pathlib.Path) -> None:
    destination = tmp_path / "destination"
    publish.publish(make_bundle(tmp_path / "a", "a"), str(destination))
    publish.publish(make_bundle(tmp_path / "b", "b"), str(destination))
    # An operator moves it away, although servers may have loaded it.
    (destination / "bundles" / "2").rename(tmp_path / "moved")
    assert publish.publish(make_bundle(tmp_path / "c", "c"), str(destination)).version == 3
    # The same after a rollback, which takes away the links too.
    publish.rollback(str(destination))
    shutil.rmtree(destination / "bundles" / "3")
    assert publish.publish(make_bundle(tmp_path / "d", "d"), str(destination)).version == 4


def test_the_last_versions_stay(tmp_path: pathlib.Path) -> None:
    destination = tmp_path / "destination"
    for content in "1234":
        publish.publish(make_bundle(tmp_path / content, content), str(destination), keep=3)
    assert versions_in(destination) == [2, 3, 4]
    assert linked(destination) == [2, 3, 4]
    assert assert_whole(destination) == 4
    assert publish.publish(make_bundle(tmp_path / "5", "5"), str(destination)).version == 5
    assert versions_in(destination) == [2, 3, 4, 5], "by default the last five"


def test_a_manifest_that_cannot_be_read_says_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"must hold a readable manifest\.json"):
        manifest.read(str(tmp_path))
    (tmp_path / "manifest.json").write_text('{"format": 2')
    with pytest.raises(ValueError, match=r"must hold a readable manifest\.json"):
        manifest.read(str(tmp_path))
    whole = json.loads(pathlib.Path(make_bundle(tmp_path / "a", "a"), "manifest.json").read_text())
    a_file = {"bytes": 1, "sha256": "0"}
    for other in (
        {"format": 99},
        {"format": 2, "files": {}},
        whole | {"files": {}},  # Of no model, so whatever lies in the folder would be taken for one.
        whole | {"files": {"tflite/r.tflite": a_file}, "models": {}},
        whole | {"models": whole["models"] | {"multitask": {"scann": False}}},
        whole | {"files": ["recommend/saved_model.pb"]},
        whole | {"files": whole["files"] | {"tflite/r.tflite": 17_000}},
        whole | {"models": ["recommend"]},
    ):
        (tmp_path / "manifest.json").write_text(json.dumps(other))
        with pytest.raises(ValueError, match="must be whole, and of format 2"):
            manifest.read(str(tmp_path))
