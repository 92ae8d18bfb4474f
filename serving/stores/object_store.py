"""A destination in an object store (gs://): files first, the manifest last, without which it is no version.

There is no rename, no link and no lock. So beside what layout.py names there are:

    .lease       the publisher that changes the destination (see lease.py for the guarantees)
    .last        the highest version ever begun: who holds the lease begins none twice, so what a publisher
                 that died left is never continued by another

Each single write is atomic, as object stores promise. The SavedModels lie there twice, in the bundle and
below `serving/`, in place of links. TF Serving must be given a configuration there: under its default policy
it would load a version while it is being copied.

Through tf.io.gfile, whatever TensorFlow knows by a scheme; it is imported when a destination is opened. In
Google Cloud Storage, what several publishers write (SHARED) goes by its own client, which replaces an object
only as the holder of the lease last saw it. So who has lost the lease moves no pointer, and takes no number.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterator

from common import listing
from serving import manifest
from serving.layout import BUNDLES, CONFIG, CURRENT, LAST, SCANN_CONFIG, SERVING, WITHDRAWN, number, numbers
from serving.stores.generations import Objects
from serving.stores.lease import GenerationLease, Lease

LEASE = ".lease"
# Objects that several publishers write; every other name belongs to one publisher alone.
SHARED = (LEASE, LAST, CURRENT, WITHDRAWN, f"{SERVING}/{CONFIG}", f"{SERVING}/{SCANN_CONFIG}")


class ObjectStore:
    """See store.Store."""

    def __init__(self, destination: str) -> None:
        """Open.

        Raises:
          ValueError: TensorFlow, or Google's client, is not installed, or TensorFlow knows no such scheme.
          OSError: there are no credentials.
        """
        try:
            import tensorflow as tf
        except ModuleNotFoundError as error:
            raise ValueError(
                f"A destination with a scheme needs TensorFlow; received {destination}, and {error}. Run "
                "this in the environment of the pipeline."
            ) from error

        self._gfile, self._errors = tf.io.gfile, tf.errors
        self.location = destination.rstrip("/")
        scheme = destination.partition("://")[0]
        known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
        if scheme not in known:
            raise ValueError(
                f"A destination's scheme must be one that TensorFlow knows, {', '.join(known)}; received "
                f"{destination}. Mount it and give the path, or install what registers {scheme}://."
            )
        self._shared = _open_shared(self.location)
        lease = GenerationLease if self._shared else Lease
        self._lease = lease(_Text(self, LEASE))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lease; remove what was begun by who held it before, and not finished."""
        if self._shared:
            self._shared.forget()
        with self._lease.held():
            self._sweep()
            yield

    @contextlib.contextmanager
    def staged(self, bundle: str) -> Iterator[Callable[[int], None]]:
        """Nothing to prepare: to commit is to upload, read back, and write the manifest."""

        def commit(version: int) -> None:
            self.write(LAST, f"{version}\n")
            content = manifest.read(bundle)
            for name in content["files"]:
                self._upload(os.path.join(bundle, name), f"{BUNDLES}/{version}/{name}")
                model, _, rest = name.partition("/")
                if model in content["models"]:
                    self._upload(os.path.join(bundle, name), f"{SERVING}/{model}/{version}/{rest}")
            manifest.check(self.describe(version), content, f"{self.location}/{BUNDLES}/{version}")
            self._lease.renew()
            self._upload(os.path.join(bundle, manifest.MANIFEST), f"{BUNDLES}/{version}/{manifest.MANIFEST}")

        yield commit

    def remove(self, version: int) -> None:
        """Delete the manifest, which makes the version vanish, then the files."""
        self._lease.renew()
        self.remove_file(f"{BUNDLES}/{version}/{manifest.MANIFEST}")
        self._remove_tree(f"{BUNDLES}/{version}")
        for model in self._names(SERVING):
            self._remove_tree(f"{SERVING}/{model}/{version}")

    def versions(self) -> list[int]:
        begun = numbers(self._names(BUNDLES))
        with self._in_words():
            return [
                version
                for version in begun
                if self._gfile.exists(self._path(f"{BUNDLES}/{version}/{manifest.MANIFEST}"))
            ]

    def next_version(self) -> int:
        last = number(self.read(LAST), self._path(LAST), "highest version ever begun")
        return max([last, *numbers(self._names(BUNDLES))]) + 1

    def link(self, version: int, models: Collection[str]) -> None:
        """Nothing: the copies were made before the manifest."""

    def unlink(self, version: int) -> None:
        """Nothing: the configuration says what is loaded."""

    def current(self) -> int:
        return number(self.read(CURRENT), self._path(CURRENT), "version to serve")

    def point(self, version: int) -> None:
        self._lease.renew()
        self.write(CURRENT, f"{version}\n")

    def read(self, name: str) -> str | None:
        if self._shared and name in SHARED:
            return self._shared.read(name)
        # In chunks, for a read to the end asks for the size first, and may be cut by who replaces the object.
        try:
            return b"".join(self._chunks(name)).decode(errors="replace")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        if not self._shared:
            self._write(name, iter([text.encode()]))
            return
        self._shared.look(name)
        if name != LEASE:
            self._lease.renew()  # So what was seen is what the holder of the lease, this one, found.
        self._shared.write(name, text)

    def remove_file(self, name: str) -> None:
        """Delete one object."""
        if self._shared and name in SHARED:
            self._shared.remove(name)
            return
        with contextlib.suppress(FileNotFoundError), self._in_words():
            self._gfile.remove(self._path(name))

    def describe(self, version: int, digests: bool = True) -> manifest.Files:
        folder = f"{BUNDLES}/{version}"
        files: manifest.Files = {}
        for name in sorted(set(self._walk(folder)) - {manifest.MANIFEST}):
            path = f"{folder}/{name}"
            if not manifest.is_content(self._path(path)):
                continue
            self._lease.renew_if_held()  # To read a bundle may take longer than a lease is granted for.
            with self._in_words():
                files[name] = {"bytes": self._gfile.stat(self._path(path)).length}
            if digests:
                digest = hashlib.sha256()
                for chunk in self._chunks(path):
                    digest.update(chunk)
                files[name]["sha256"] = digest.hexdigest()
        return files

    def fetch(self, version: int, folder: str) -> None:
        for name in self._walk(f"{BUNDLES}/{version}"):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                for chunk in self._chunks(f"{BUNDLES}/{version}/{name}"):
                    file.write(chunk)

    def _path(self, name: str) -> str:
        return f"{self.location}/{name}"

    def _upload(self, source: str, name: str) -> None:
        self._lease.renew()
        with open(source, "rb") as file:
            self._write(name, iter(lambda: file.read(manifest.CHUNK), b""))

    def _write(self, name: str, chunks: Iterator[bytes]) -> None:
        path = self._path(name)
        with self._in_words():
            self._gfile.makedirs(os.path.dirname(path))
            with self._gfile.GFile(path, "wb") as file:
                file.write(b"")  # The object comes with the first write, and an empty file has no chunk.
                for chunk in chunks:
                    file.write(chunk)

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self._in_words(), self._gfile.GFile(self._path(name), "rb") as file:
            while chunk := file.read(manifest.CHUNK):
                yield chunk

    def _names(self, folder: str) -> list[str]:
        """Names directly below; folders' end in a slash in some stores.

        Raises:
          ValueError: a name would lead out of the folder.
        """
        try:
            with self._in_words():
                listed = self._gfile.listdir(self._path(folder))
        except FileNotFoundError:
            return []
        names = [name.removesuffix("/") for name in listed if name]  # Empty: a folder that a console made.
        for name in names:
            listing.require_below(self._path(folder), name)
        return names

    def _walk(self, folder: str) -> Iterator[str]:
        """Every file below a folder, relative to it."""
        for name in self._names(folder):
            path = f"{folder}/{name}"
            with self._in_words():
                is_folder = self._gfile.isdir(self._path(path))
            if is_folder:
                yield from (f"{name}/{below}" for below in self._walk(path))
            else:
                yield name

    def _remove_tree(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._in_words():
            self._gfile.rmtree(self._path(folder))

    def _sweep(self) -> None:
        whole = self.versions()
        for version in set(numbers(self._names(BUNDLES))) - set(whole):
            self._remove_tree(f"{BUNDLES}/{version}")
        for model in self._names(SERVING):
            for version in set(numbers(self._names(f"{SERVING}/{model}"))) - set(whole):
                self._remove_tree(f"{SERVING}/{model}/{version}")

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Raise what a caller that knows nothing of TensorFlow can handle."""
        try:
            yield
        except self._errors.NotFoundError as error:
            raise FileNotFoundError(error.message) from error
        except self._errors.OpError as error:
            raise OSError(f"{self.location}: {error.message}") from error


def _open_shared(destination: str) -> Objects | None:
    """Open what several publishers write, where the store can reject a write; None elsewhere."""
    return Objects(destination) if destination.startswith("gs://") else None


class _Text:
    """One small object, as the lease sees it."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store, self._name = store, name

    def read(self) -> str | None:
        return self._store.read(self._name)

    def write(self, text: str) -> None:
        self._store.write(self._name, text)

    def remove(self) -> None:
        self._store.remove_file(self._name)
