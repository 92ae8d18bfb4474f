"""Artifacts in a bucket as folders of this machine, for executors whose libraries know files alone.

On Vertex AI and Kubeflow an artifact's URI is gs://... What Beam, TensorFlow and TFX read and write
themselves needs none of this.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from common import listing


def is_remote(uri: str) -> bool:
    """Tell whether a URI is not of this machine's file system.

    >>> is_remote("gs://bucket/model"), is_remote("/srv/model")
    (True, False)
    """
    return "://" in uri


@contextlib.contextmanager
def as_local_folders(
    inputs: Mapping[str, Sequence[Any]], outputs: Mapping[str, Sequence[Any]]
) -> Iterator[dict[str, str]]:
    """Let artifacts point to folders of this machine: copies of inputs; outputs are copied afterwards.

    Nothing is copied of artifacts that are here already, nor of outputs where an error was raised.

    Args:
      inputs: artifacts with a `uri`, by key; their URIs are put back at the end.
      outputs: the same.
    Yields:
      Local folders by URI, of what is remote.
    """
    with tempfile.TemporaryDirectory() as scratch:
        places: dict[str, str] = {}
        remote = [
            (artifact, artifact.uri, is_input)
            for artifacts, is_input in ((inputs, True), (outputs, False))
            for listed in artifacts.values()
            for artifact in listed
            if is_remote(artifact.uri)
        ]
        for artifact, uri, is_input in remote:
            if uri not in places:
                places[uri] = os.path.join(scratch, str(len(places)))
                os.mkdir(places[uri])
                if is_input:
                    copy_folder(uri, places[uri])
            artifact.uri = places[uri]
        try:
            yield places
            for _, uri, is_input in remote:
                if not is_input:
                    copy_folder(places[uri], uri)
        finally:
            for artifact, uri, _ in remote:
                artifact.uri = uri


def copy_folder(source: str, target: str) -> None:
    """Copy the files below a folder, to or from any file system that TensorFlow knows.

    Raises:
      ValueError: an object's name would lead out of the folder.
    """
    for parent, _, names in tf.io.gfile.walk(source):
        below = parent[len(source) :].strip("/")
        for name in (*filter(None, below.split("/")), *names):
            listing.require_below(source, name)
        folder = os.path.join(target, below) if below else target
        tf.io.gfile.makedirs(folder)
        for name in names:
            tf.io.gfile.copy(os.path.join(parent, name), os.path.join(folder, name), overwrite=True)
