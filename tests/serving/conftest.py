"""A folder that stands for an object store: `file://`, with gfile's rename and copy taken away."""

from __future__ import annotations

import functools
import os
import pathlib
import secrets
import threading

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving import publish
from serving.stores import object_store, store
from serving.stores.lease import Lease
from tests.helpers.planted_bundles import make_bundle

SETTLE = 0.01


class Bucket:
    """A folder that is written to as an object store is."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.folder = root / "bucket"
        self.uri = f"file://{self.folder}"

    def push(self, content: str, keep: int = 5) -> publish.Published:
        return publish.publish(make_bundle(self.root / content, content), self.uri, keep)

    def publish_from_two_threads(self, seconds: float) -> None:
        """Publish three bundles from each of two threads; every bundle must get a version of its own."""
        bundles = {who: [make_bundle(self.root / f"{who}{n}", f"{who}{n}") for n in range(3)] for who in "xy"}
        published: list[int] = []

        def run(who: str) -> None:
            published.extend(publish.publish(bundle, self.uri, 9).version for bundle in bundles[who])

        threads = [threading.Thread(target=run, args=(who,)) for who in "xy"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds)
        assert sorted(published) == [1, 2, 3, 4, 5, 6]
        opened = store.open_store(self.uri)
        assert len({store.verify(opened, version)["identity"] for version in opened.versions()}) == 6
        assert opened.current() == 6

    def serving(self) -> dict[str, list[int]]:
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse((self.folder / "serving" / "models.config").read_text(), config)
        versions_by_path = {
            model.base_path: list(model.model_version_policy.specific.versions)
            for model in config.model_config_list.config
        }
        for path, versions in versions_by_path.items():
            for version in versions:
                assert tf.io.gfile.exists(f"{path}/{version}/saved_model.pb")
        return versions_by_path


@pytest.fixture
def bucket(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    def deny(*_: object, **__: object) -> None:
        raise AssertionError("an object store has no such operation")

    parts = tmp_path / "parts"
    parts.mkdir()

    class File(tf.io.gfile.GFile):
        """Written in place, two claims at once would be one claim with the end of the other."""

        def __init__(self, name: str, mode: str) -> None:
            self._whole, self._part = (name.removeprefix("file://"), parts / secrets.token_hex(8))
            self._writes = mode == "wb"
            super().__init__(str(self._part) if self._writes else name, mode)

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
            self.close()
            if self._writes and kind is None:
                os.replace(self._part, self._whole)

    for name in ("rename", "copy"):
        monkeypatch.setattr(tf.io.gfile, name, deny)
    monkeypatch.setattr(tf.io.gfile, "GFile", File)
    monkeypatch.setattr(object_store, "Lease", functools.partial(Lease, seconds=600, settle=SETTLE))
    return Bucket(tmp_path)
