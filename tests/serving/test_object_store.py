"""Destinations in an object store: the whole of publishing through tf.io.gfile, with neither rename nor link.

The store is a Bucket, see conftest.py.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import time
import types
from collections.abc import Iterator

import pytest
import tensorflow as tf

from serving import manifest, publish, reader
from serving.stores import lease, object_store, store
from serving.stores.lease import Lease, LeaseLost
from tests.helpers.planted_bundles import FILES, make_bundle
from tests.serving.conftest import SETTLE, Bucket


def test_a_bundle_is_published_found_rolled_back_and_retired(bucket: Bucket, tmp_path: pathlib.Path) -> None:
    for version, content in enumerate("abc", 1):
        assert bucket.push(content) == publish.Published(version, f"{bucket.uri}/bundles/{version}", new=True)
    opened = reader.open_current(bucket.uri)
    assert (opened.version, opened.path) == (3, f"{bucket.uri}/bundles/3")
    assert opened.manifest["sources"] == {"model": "c"}
    assert bucket.serving() == {
        f"{bucket.uri}/serving/ranking": [3, 2],
        f"{bucket.uri}/serving/recommend": [3, 2],
    }

    assert publish.rollback(bucket.uri) == publish.ServedChange(3, 2)
    assert reader.open_current(bucket.uri).manifest["sources"] == {"model": "b"}
    assert set(map(tuple, bucket.serving().values())) == {(2, 1)}
    assert not bucket.push("c").served
    assert bucket.push("d", keep=2) == publish.Published(4, f"{bucket.uri}/bundles/4", new=True)
    assert store.open_store(bucket.uri).versions() == [2, 3, 4]
    assert not (bucket.folder / "bundles" / "1").exists()
    assert not (bucket.folder / "serving" / "ranking" / "1").exists()
    assert not (bucket.folder / ".lease").exists(), "given back"

    identity = manifest.read(str(tmp_path / "d"))["identity"]
    found = publish.find(bucket.uri, identity)
    assert found == publish.Published(4, f"{bucket.uri}/bundles/4", new=False)
    publish.fetch(bucket.uri, 4, str(tmp_path / "fetched"))
    assert manifest.verify(str(tmp_path / "fetched"))["identity"] == identity


class Died(Exception):
    """In place of a kill, in a test that cannot afford a process that imports TensorFlow."""


def writes(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, nth: int | None = None) -> list[str]:
    """Names of the objects written from now on, in order; the publisher dies before the `nth`."""
    written: list[str] = []
    original = object_store.ObjectStore._write

    def write(self: object_store.ObjectStore, name: str, chunks) -> None:
        if len(written) == nth:
            raise Died
        written.append(name)
        original(self, name, chunks)

    monkeypatch.setattr(object_store.ObjectStore, "_write", write)
    return written


def test_the_manifest_is_last_then_the_pointer(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    written = writes(bucket, monkeypatch)
    bucket.push("a")
    names = [name for name in written if name != ".lease"]
    files = {f"bundles/1/{name}" for name in FILES}
    copies = {
        f"serving/{model}/1/{rest}"
        for model, _, rest in (name.partition("/") for name in FILES)
        if model != "tflite"
    }
    assert names[0] == ".last"
    assert set(names[1 : 1 + len(files | copies)]) == files | copies
    assert names[1 + len(files | copies) :] == [
        "bundles/1/manifest.json", "current", "serving/models.config", "serving/models-scann.config",
    ]  # fmt: skip


@pytest.mark.parametrize("nth", range(13))
def test_a_publisher_that_dies_at_any_write_leaves_a_whole_version_served(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    bucket.push("a")
    with monkeypatch.context() as patched:
        written = writes(bucket, patched, nth)
        with pytest.raises(Died):
            bucket.push("b")
        assert len(written) == nth
    opened = reader.open_current(bucket.uri)
    pointed = "current" in written
    assert opened.version == (2 if pointed else 1)
    whole = "bundles/2/manifest.json" in written
    assert store.open_store(bucket.uri).versions() == ([1, 2] if whole else [1])

    again = bucket.push("b")
    begun = ".last" in written
    assert again.version == (2 if whole or not begun else 3), "no number is begun twice"
    assert reader.open_current(bucket.uri).version == again.version
    assert set(map(tuple, bucket.serving().values())) == {(again.version, 1)}
    assert [path.name for path in (bucket.folder / "bundles").iterdir() if path.name != "1"] == [
        str(again.version)
    ], "what was begun and not finished is removed"


def test_two_publishers_at_once_both_end_well(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, each with a store of its own: the lease knows no processes."""
    # What a thread of a busy machine does not stand still for: no more is promised.
    monkeypatch.setattr(object_store, "Lease", functools.partial(Lease, seconds=60, settle=0.5))
    bucket.publish_from_two_threads(600)


def test_a_dead_publisher_s_lease_is_waited_for_until_it_expires(bucket: Bucket) -> None:
    bucket.folder.mkdir()
    expires = time.time() + 0.5
    (bucket.folder / ".lease").write_text(json.dumps({"holder": "elsewhere:1:0", "expires": expires}))
    bucket.push("a")
    assert time.time() >= expires


@pytest.mark.parametrize(
    "damaged", ['{"holder": "a:1:0", "expires": 9e9}7}', "[]", "{}", '{"expires": "never", "holder": ""}']
)
def test_a_lease_that_cannot_be_read_is_nobody_s(bucket: Bucket, damaged: str) -> None:
    bucket.folder.mkdir()
    (bucket.folder / ".lease").write_text(damaged)
    assert bucket.push("a").version == 1
    assert not (bucket.folder / ".lease").exists()


def test_a_publisher_whose_lease_was_taken_gives_up_before_it_is_visible(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.push("a")
    original = object_store.ObjectStore.describe

    def stand_still(self: object_store.ObjectStore, *args) -> manifest.Files:
        (bucket.folder / ".lease").write_text(
            json.dumps({"holder": "other:1:0", "expires": time.time() + 900})
        )
        return original(self, *args)

    monkeypatch.setattr(object_store.ObjectStore, "describe", stand_still)
    with pytest.raises(LeaseLost, match=r"other:1:0 holds it now.* Publish again\."):
        bucket.push("b")
    assert "other" in (bucket.folder / ".lease").read_text(), "and leaves the other's lease alone"
    assert store.open_store(bucket.uri).versions() == [1]


def test_a_bundle_that_takes_longer_to_read_than_a_lease_lasts_is_published(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file of it takes 2 s to read back, and the lease lasts 5; on a planted clock."""
    clock = types.SimpleNamespace(now=0.0)
    clock.time = clock.monotonic = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(lease, "time", clock)
    original = object_store.ObjectStore._chunks

    def slowly(self: object_store.ObjectStore, name: str) -> Iterator[bytes]:
        if name.startswith("bundles/") and not name.endswith("manifest.json"):
            clock.sleep(2.0)
        yield from original(self, name)

    monkeypatch.setattr(object_store.ObjectStore, "_chunks", slowly)
    monkeypatch.setattr(object_store, "Lease", functools.partial(Lease, seconds=5, settle=SETTLE))
    assert bucket.push("a").new
    assert not bucket.push("a").new
    assert clock.now > 2 * 2.0 * len(FILES)


def test_a_damaged_upload_is_no_version(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    original = object_store.ObjectStore._upload

    def damage(self: object_store.ObjectStore, source: str, name: str) -> None:
        original(self, source, name)
        if name == "bundles/1/tflite/r.tflite":
            (bucket.folder / name).write_text("")

    monkeypatch.setattr(object_store.ObjectStore, "_upload", damage)
    with pytest.raises(ValueError, match=r"tflite/r\.tflite is changed"):
        bucket.push("a")
    with pytest.raises(ValueError, match="must have a served version; it has none"):
        reader.open_current(bucket.uri)


@pytest.mark.parametrize("damaged", ["", "three\n", "-1", "3 4"])
def test_a_damaged_number_is_rejected_with_the_remedy(bucket: Bucket, damaged: str) -> None:
    bucket.push("a")
    for name, meaning in (("current", "version to serve"), (".last", "highest version ever begun")):
        text = (bucket.folder / name).read_text()
        (bucket.folder / name).write_text(damaged)
        words = f"bucket/{name} must hold the number of the {meaning}; it holds {damaged!r}. Write"
        with pytest.raises(ValueError, match=re.escape(words)):
            bucket.push("b")
        (bucket.folder / name).write_text(text)
    assert bucket.push("b").served


def test_an_empty_file_of_a_bundle_arrives(bucket: Bucket) -> None:
    bundle = pathlib.Path(make_bundle(bucket.root / "a", "a"))
    (bundle / "ranking" / "terms").touch()
    manifest.write(str(bundle), {"model": "a"}, {"index_recall": 1.0})
    publish.publish(str(bundle), bucket.uri)
    for copy in ("bundles/1/ranking/terms", "serving/ranking/1/terms"):
        assert (bucket.folder / copy).read_bytes() == b""


def test_a_file_that_a_desktop_left_is_not_uploaded_and_not_rejected(bucket: Bucket) -> None:
    bundle = pathlib.Path(make_bundle(bucket.root / "a", "a"))
    (bundle / "ranking" / ".DS_Store").touch()
    publish.publish(str(bundle), bucket.uri)
    assert list(bucket.folder.rglob(".DS_Store")) == []
    (bucket.folder / "bundles" / "1" / ".DS_Store").touch()
    assert not publish.publish(str(bundle), bucket.uri).new, "undamaged"
    (bucket.folder / "bundles" / "1" / "more.pb").touch()
    with pytest.raises(ValueError, match=r"more\.pb is not listed"):
        reader.open_current(bucket.uri)


@pytest.mark.parametrize("folder", ["bundles/1", "bundles/1/ranking"])
def test_an_object_that_would_lead_out_of_its_folder_is_rejected(
    bucket: Bucket, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    bucket.push("a")
    listdir = tf.io.gfile.listdir
    for name in ("..", "../", "/etc", "a/b", "."):
        listed = lambda path, name=name: [*listdir(path), *([name] if path.endswith(folder) else [])]  # noqa: E731
        monkeypatch.setattr(tf.io.gfile, "listdir", listed)
        with pytest.raises(ValueError, match=f"{folder} holds an object whose name would lead out of it"):
            publish.fetch(bucket.uri, 1, str(tmp_path / "fetched"))
        with pytest.raises(ValueError, match="would lead out of it"):
            publish.promote(bucket.uri, 1)


def test_a_folder_that_a_console_made_is_no_file(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an empty object whose name ends in a slash, and some listings name it by nothing."""
    bucket.push("a")
    listdir = tf.io.gfile.listdir
    monkeypatch.setattr(tf.io.gfile, "listdir", lambda path: [*listdir(path), ""])
    assert reader.open_current(bucket.uri).version == 1


def test_a_scheme_that_tensorflow_does_not_know_is_rejected(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"must be one that TensorFlow knows, .*gs.*; received s4://bucket"):
        publish.publish(make_bundle(tmp_path, "a"), "s4://bucket/pushed")
