"""The list that is served now: the composite of the version in service, asked about the same ratings."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from common.errors import first_line
from components.index_pusher.bundle import RECOMMEND_EXACT
from components.index_pusher.served_list.asking import Composite
from serving import publish, reader
from serving.stores.store import open_store


@contextlib.contextmanager
def served_now(destination: str, pipeline: str) -> Iterator[tuple[Composite | None, str]]:
    """Load the served version's composite on brute force, which every TensorFlow loads.

    Args:
      destination: where bundles are published.
      pipeline: name of this run's pipeline, which tells release, split and folder of the ratings, see
        pipeline.config. Another pipeline's models may have been trained on the ratings that are held out.
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
    elif not (made_by := bundle.manifest.get("pipeline")):
        yield None, f"version {bundle.version} does not say which pipeline made it"
    elif made_by != pipeline:
        yield (
            None,
            f"version {bundle.version} is of the pipeline {made_by}, whose train may hold these ratings",
        )
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "bundle")
            if "://" in bundle.path:
                publish.fetch(destination, bundle.version, path)
            else:  # TensorFlow takes * ? [ and a backslash in a path for a pattern.
                os.symlink(bundle.path, path)
            champion, which = None, f"version {bundle.version}"
            try:
                champion = Composite(os.path.join(path, RECOMMEND_EXACT), needs_scann=False)
            except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
                # An earlier release of this project may have published it.
                which = f"{which} cannot be asked: {first_line(error)}"
            yield champion, which
