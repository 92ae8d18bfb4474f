"""Open what is in service, as whoever loads it should: follow the pointer once, and verify before loading."""

from __future__ import annotations

import dataclasses
from typing import Any

from serving.stores import store


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
      version: its version.
      path: its own folder or URI, which stays this version's whatever is published meanwhile.
      manifest: what its manifest says.
    """

    version: int
    path: str
    manifest: dict[str, Any]


def open_current(destination: str) -> Bundle:
    """Open the version in service.

    Where that is replaced while its files are read, the one that replaced it is opened. What was returned may
    be removed later, once as many versions as are kept came after it: load at once, and call again where a
    file is gone.

    Raises:
      ValueError: nothing is in service, or what is in service is damaged.
    """
    bundles = store.open_store(destination)
    return _open(bundles, bundles.current())


def _open(bundles: store.Store, version: int) -> Bundle:
    if not version:
        raise ValueError(f"{bundles.location} must have a version in service; it has none. Push to it first.")
    try:
        return Bundle(version, store.bundle_path(bundles, version), store.verify(bundles, version))
    except (OSError, ValueError):
        newer = bundles.current()
        if newer == version:
            raise
    return _open(bundles, newer)
