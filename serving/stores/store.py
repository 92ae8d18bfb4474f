"""The interface of a destination for publishing, on every kind of storage.

Standard library only, until a destination with a scheme is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any, Protocol

from serving import layout, manifest
from serving.stores.object_store import ObjectStore
from serving.stores.posix_store import PosixStore


class Store(Protocol):
    """A destination: versions that appear and vanish whole, and small files replaced in one step.

    Attributes:
      location: the destination as its readers name it: an absolute path, or a URI.
    """

    location: str

    def locked(self) -> AbstractContextManager[None]:
        """Hold the destination for one that changes it; clears what a dead one left."""

    def staged(self, bundle: str) -> AbstractContextManager[Callable[[int], None]]:
        """Prepare a copy of a bundle; yield the call that makes it a version, for a holder of the lock."""

    def remove(self, version: int) -> None:
        """Make a version vanish, then delete it."""

    def versions(self) -> list[int]:
        """Versions that are whole, ascending."""

    def next_version(self) -> int:
        """One more than any version ever seen here."""

    def link(self, version: int, models: Collection[str]) -> None:
        """Show a version's models to a TF Serving that looks into `serving/`."""

    def unlink(self, version: int) -> None:
        """Hide them from it."""

    def current(self) -> int:
        """Served version; 0 if there is none."""

    def point(self, version: int) -> None:
        """Make a version the served one."""

    def read(self, name: str) -> str | None:
        """Text of a small file; None where it is absent."""

    def write(self, name: str, text: str) -> None:
        """Replace a small file: its readers find the old text or the new."""

    def describe(self, version: int, digests: bool = True) -> manifest.Files:
        """A version's files as they are, as manifest.describe_files does."""

    def fetch(self, version: int, folder: str) -> None:
        """Copy a version to a local folder."""


def open_store(destination: str) -> Store:
    """Open a destination: a folder, or what TensorFlow knows by a scheme, such as gs://bucket/folder."""
    return ObjectStore(destination) if "://" in destination else PosixStore(destination)


def bundle_path(store: Store, version: int) -> str:
    """Path or URI of a version's bundle."""
    return f"{store.location}/{layout.BUNDLES}/{version}"


def read_manifest(store: Store, version: int) -> dict[str, Any]:
    """A version's manifest.

    Raises:
      ValueError: it is absent or unreadable.
    """
    text = store.read(f"{layout.BUNDLES}/{version}/{manifest.MANIFEST}")
    return manifest.parse(text, bundle_path(store, version))


def verify(store: Store, version: int) -> dict[str, Any]:
    """Compare every file of a version with its manifest, and return that.

    Raises:
      ValueError: a file is missing, added or changed; the first is named.
    """
    content = read_manifest(store, version)
    return manifest.check(store.describe(version), content, bundle_path(store, version))


def read_withdrawn(store: Store) -> dict[int, str]:
    """Versions that an operator withdrew, and when.

    Raises:
      ValueError: the record is damaged. Without the record, withdrawn versions would be served again.
    """
    try:
        content = json.loads(store.read(layout.WITHDRAWN) or "{}")
        return {int(version): when for version, when in content.items()}
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{store.location}/{layout.WITHDRAWN} must hold the versions that were withdrawn; it cannot be "
            f"read: {error}. Restore it; or write {{}} into it, so that none is withdrawn, and promote one."
        ) from error


def newest(store: Store) -> int:
    """Highest whole version; 0 where there is none."""
    return max(store.versions(), default=0)
