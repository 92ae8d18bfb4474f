"""Whole or not at all: publishers killed at every step, two at once, and a reader that polls all the time."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from common import locks
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


ROOT = pathlib.Path(__file__).parents[2]
KILLED = """
import os, shutil, signal, sys
from serving import publish

bundle, destination, module, name, when, nth = sys.argv[1:]
owner = {"os": os, "shutil": shutil}[module]
original, calls = getattr(owner, name), [0]

def deadly(*args, **kwargs):
    calls[0] += 1
    due = calls[0] == int(nth)
    if due and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*args, **kwargs)
    if due:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, deadly)
publish.publish(bundle, destination, keep=2)
"""
STEPS = [
    ("shutil", "copytree", "before", 1),
    ("shutil", "copystat", "before", 1),
    ("shutil", "copytree", "after", 1),
    ("os", "fsync", "after", 2),
    ("os", "rename", "before", 1),
    ("os", "rename", "after", 1),
    ("os", "symlink", "before", 1),
    ("os", "symlink", "after", 1),
    ("os", "replace", "before", 1),
    ("os", "replace", "after", 2),
    ("os", "symlink", "after", 3),
    ("os", "replace", "before", 4),
    ("os", "replace", "after", 4),
    ("os", "replace", "before", 5),
    ("os", "replace", "after", 6),
]


def test_all_of_a_version_is_on_the_disk_before_it_has_its_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[str] = set()
    left: list[set[str]] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        flushed.add(os.readlink(f"/proc/self/fd/{descriptor}"))

    def noted_rename(source: str, target: str) -> None:
        if pathlib.Path(target).name.isdecimal():
            left.append({source, *map(str, pathlib.Path(source).rglob("*"))} - flushed)
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    publish.publish(make_bundle(tmp_path / "bundle", "a"), str(tmp_path / "destination"))
    assert left == [set()]


def run(code: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT)


@pytest.mark.parametrize("module, name, when, nth", STEPS, ids=lambda value: str(value))
def test_a_publisher_killed_at_any_step_leaves_a_whole_version_and_the_next_completes(
    tmp_path: pathlib.Path, module: str, name: str, when: str, nth: int
) -> None:
    destination = tmp_path / "destination"
    publish.publish(make_bundle(tmp_path / "a", "a"), str(destination))
    second = make_bundle(tmp_path / "b", "b")
    process = run(KILLED, second, str(destination), module, name, when, str(nth))
    assert process.wait(60) == -signal.SIGKILL, "the step must be one that happens"
    # The first puts down the number; the next two are of links.
    pointer_moved = name == "replace" and (nth > 4 or (nth, when) == (4, "after"))
    assert assert_whole(destination) == (2 if pointer_moved else 1)

    # Whoever publishes next, the same models or others, clears up and ends with everything linked.
    third = publish.publish(make_bundle(tmp_path / "c", "c"), str(destination))
    assert assert_whole(destination) == third.version
    versions = versions_in(destination)
    assert versions == list(range(1, third.version + 1)), "no staging folder is left"
    assert linked(destination, "ranking") == linked(destination, "recommend") == versions
    assert not list((destination / "serving").glob(".*")), "nor a half-written configuration"


@pytest.mark.parametrize(
    "module, name, when, nth",
    [("os", "rename", "before", 2), ("os", "rename", "after", 2), ("os", "rmdir", "before", 1)],
)
def test_a_publisher_killed_while_it_removes_a_version_leaves_whole_versions(
    tmp_path: pathlib.Path, module: str, name: str, when: str, nth: int
) -> None:
    destination = tmp_path / "destination"
    for content in "ab":
        publish.publish(make_bundle(tmp_path / content, content), str(destination))
    process = run(KILLED, make_bundle(tmp_path / "c", "c"), str(destination), module, name, when, str(nth))
    assert process.wait(60) == -signal.SIGKILL
    assert assert_whole(destination) == 3
    assert not (destination / "serving" / "ranking" / "1").exists(), "no server may load it any more"
    publish.publish(make_bundle(tmp_path / "d", "d"), str(destination), keep=2)
    assert versions_in(destination) == [3, 4]


def test_the_same_models_published_after_a_kill_are_repaired_not_repeated(tmp_path: pathlib.Path) -> None:
    destination = tmp_path / "destination"
    bundle = make_bundle(tmp_path / "a", "a")
    assert run(KILLED, bundle, str(destination), "os", "rename", "after", "1").wait(60) == -signal.SIGKILL
    assert not (destination / "current").exists()
    identity = manifest.read(bundle)["identity"]
    assert publish.find(str(destination), identity) == publish.Published(
        1, f"{destination}/bundles/1", new=False
    )
    assert assert_whole(destination) == 1


PUBLISHER = """
import sys
from serving import publish
for bundle in sys.argv[2:]:
    publish.publish(bundle, sys.argv[1], keep=30)
"""


def test_two_publishers_at_once_and_a_reader_that_polls(tmp_path: pathlib.Path) -> None:
    destination = tmp_path / "destination"
    publish.publish(make_bundle(tmp_path / "first", "first"), str(destination))
    seen, failures, done = [], [], threading.Event()

    def poll() -> None:
        try:
            while not done.is_set():
                seen.append(assert_whole(destination))
        except (OSError, ValueError, AssertionError) as error:
            failures.append(error)
            done.set()

    def wait_until_seen(version: int) -> None:
        while version not in seen and not done.wait(0.01):
            pass

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        wait_until_seen(1)
        for first, newest in ((0, 11), (5, 21)):
            bundles = [
                [make_bundle(tmp_path / f"{name}{n}", f"{name}{n}") for n in range(first, first + 5)]
                for name in "xy"
            ]
            publishers = [run(PUBLISHER, str(destination), *each) for each in bundles]
            assert [publisher.wait(120) for publisher in publishers] == [0, 0]
            wait_until_seen(newest)
    finally:
        done.set()
        reader.join()
    assert not failures
    assert seen == sorted(seen) and len(set(seen)) > 2, "the reader saw versions come, and none go back"
    published = [manifest.read(str(destination / "bundles" / str(version))) for version in range(1, 22)]
    assert len({content["identity"] for content in published}) == 21
    assert assert_whole(destination) == 21


def test_two_publishers_of_the_same_models_make_one_version(tmp_path: pathlib.Path) -> None:
    bundle, destination = make_bundle(tmp_path / "a", "a"), tmp_path / "destination"
    publishers = [run(PUBLISHER, str(destination), bundle) for _ in range(2)]
    assert [publisher.wait(60) for publisher in publishers] == [0, 0]
    assert os.listdir(destination / "bundles") == ["1"]


def test_a_copy_of_another_user_who_shares_no_lock_is_left(tmp_path: pathlib.Path, monkeypatch) -> None:
    """The superuser, who may open every lock, may run this test."""
    held, staging = locks.held, tmp_path / "destination" / "bundles" / ".staging-theirs"

    def deny(path: str, wait: bool = True):
        if path.startswith(str(staging)):
            raise PermissionError(13, "Permission denied", path)
        return held(path, wait)

    staging.mkdir(parents=True)
    monkeypatch.setattr(locks, "held", deny)
    assert publish.publish(make_bundle(tmp_path / "a", "a"), str(tmp_path / "destination")).version == 1
    assert staging.exists()


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
