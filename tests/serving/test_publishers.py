"""Whole or not at all: publishers killed at every step, two at once, and a reader that polls all the time."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from common import locks
from serving import manifest, publish
from tests.helpers.planted_bundles import assert_whole, linked, make_bundle, versions_in

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
