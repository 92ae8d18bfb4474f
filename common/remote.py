"""Artifacts in a bucket as folders of this machine, for executors whose libraries know files alone.

On Vertex AI and Kubeflow an artifact's URI is gs://... Beam, TensorFlow and TFX read and write such URIs
themselves.
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
    """Return whether a URI is not of this machine's file system.

    >>> is_remote("gs://bucket/model"), is_remote("/srv/model")
    (True, False)
    """
    return "://" in uri


@contextlib.contextmanager
def as_local_folders(
    inputs: Mapping[str, Sequence[Any]], outputs: Mapping[str, Sequence[Any]]
) -> Iterator[dict[str, str]]:
    """Let artifacts point to folders of this machine: copies of inputs; outputs are copied afterwards.

    Artifacts on this machine are not copied, nor are outputs after an error.

    Args:
      inputs: artifacts with a `uri`, by key; their URIs are restored at the end.
      outputs: the same.
    Yields:
      Local folders of the remote artifacts, by URI.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folders: dict[str, str] = {}
        remote = [
            (artifact, artifact.uri, is_input)
            for artifacts, is_input in ((inputs, True), (outputs, False))
            for listed in artifacts.values()
            for artifact in listed
            if is_remote(artifact.uri)
        ]
        for artifact, uri, is_input in remote:
            if uri not in folders:
                folders[uri] = os.path.join(scratch, str(len(folders)))
                os.mkdir(folders[uri])
                if is_input:
                    copy_folder(uri, folders[uri])
            artifact.uri = folders[uri]
        try:
            yield folders
            for _, uri, is_input in remote:
                if not is_input:
                    copy_folder(folders[uri], uri)
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
