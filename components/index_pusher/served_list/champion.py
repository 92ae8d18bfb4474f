"""The list that is served now: the composite of the version in service, asked about the same ratings."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from common.errors import first_line
from components.index_pusher.bundle import RECOMMEND_EXACT
from components.index_pusher.description.model_card import Data
from components.index_pusher.served_list.asking import Composite
from serving import publish, reader
from serving.stores.store import open_store


@contextlib.contextmanager
def served_now(destination: str, data: Data) -> Iterator[tuple[Composite | None, str]]:
    """Load the served version's composite on brute force, which every TensorFlow loads.

    Args:
      destination: where bundles are published.
      data: release and split of the ratings.
    Yields:
      The composite, and which version it is; or None, and why there is none to compare with.
    """
    try:
        version = open_store(destination).current()
        bundle = reader.open_current(destination) if version else None
    except (OSError, ValueError) as error:
        yield None, f"the served version cannot be read: {error}"
        return
    if bundle is None:
        yield None, "no version is served yet"
    elif _trained_on(bundle.manifest) != _compared(data):
        yield (
            None,
            f"version {bundle.version} is of another release or split, whose train may hold these ratings",
        )
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = bundle.path
            if "://" in path:
                path = os.path.join(folder, "bundle")
                publish.fetch(destination, bundle.version, path)
            champion, which = None, f"version {bundle.version}"
            try:
                champion = Composite(os.path.join(path, RECOMMEND_EXACT), needs_scann=False)
            except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
                # An earlier release of this project may have published it.
                which = f"{which} cannot be asked: {first_line(error)}"
            yield champion, which


def _compared(data: Data) -> dict[str, Any] | None:
    """Say what champions share, as pipeline.config.Config.pipeline_name does."""
    if data.config is None:
        return None
    return _release_and_split(data.config.model_dump(mode="json"))


def _trained_on(manifest: dict[str, Any]) -> dict[str, Any] | None:
    config = manifest.get("data", {}).get("config")
    return config and _release_and_split(config)


def _release_and_split(config: dict[str, Any]) -> dict[str, Any]:
    return {"release": config.get("release"), "split": config.get("split")}
