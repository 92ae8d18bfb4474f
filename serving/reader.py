"""Open the served version as a loader should: follow the pointer once, and verify before loading."""

from __future__ import annotations

import dataclasses
from typing import Any

from serving.stores import store


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
      version: its version.
      path: its own folder or URI, which holds this version also after others are published.
      manifest: the content of its manifest.
    """

    version: int
    path: str
    manifest: dict[str, Any]


def open_current(destination: str) -> Bundle:
    """Open the served version.

    If another version is served before all files are verified, that version is opened. Retention may remove
    the returned version after later pushes: load it at once, and call again if a file is missing.

    Raises:
      ValueError: no version is served, or the served version is damaged.
    """
    bundles = store.open_store(destination)
    return _open(bundles, bundles.current())


def _open(bundles: store.Store, version: int) -> Bundle:
    if not version:
        raise ValueError(f"{bundles.location} must have a served version; it has none. Push to it first.")
    try:
        return Bundle(version, store.bundle_path(bundles, version), store.verify(bundles, version))
    except (OSError, ValueError):
        newer = bundles.current()
        if newer == version:
            raise
    return _open(bundles, newer)
