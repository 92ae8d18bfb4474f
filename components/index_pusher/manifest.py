"""The bundle's manifest: what it holds, digest by digest, and what it was made of.

Standard library only. Written in the executor's process; read by whoever loads or verifies a bundle.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from typing import Any

MANIFEST = "manifest.json"
FORMAT = 1
_LIBRARIES = ("tensorflow", "scann", "tensorflow-recommenders", "ai-edge-litert", "numpy")
_CHUNK = 1 << 20


def describe_files(folder: str) -> dict[str, dict[str, int | str]]:
    """Size in bytes and SHA-256 of every file under a folder but the manifest, by relative path."""
    described: dict[str, dict[str, int | str]] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            if relative != MANIFEST:
                described[relative] = {"bytes": os.path.getsize(path), "sha256": _sha256(path)}
    return dict(sorted(described.items()))


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def content_digest(folder: str) -> str:
    """SHA-256 over the names and contents of a folder's files: the same whenever and wherever it is read."""
    return digest_of(describe_files(folder))


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write(folder: str, sources: Mapping[str, str], metrics: Mapping[str, Any]) -> None:
    """Write `manifest.json` into a complete bundle.

    Args:
      folder: the bundle.
      sources: what it was made of, a digest each; their digest is the bundle's identity.
      metrics: what was measured.
    """
    content = {
        "format": FORMAT,
        "identity": digest_of(dict(sources)),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "sources": dict(sources),
        "metrics": dict(metrics),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "files": describe_files(folder),
    }
    with open(os.path.join(folder, MANIFEST), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")


def read(folder: str) -> dict[str, Any]:
    """Read a bundle's manifest.

    Raises:
      ValueError: it is absent or unreadable.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"A bundle must hold a readable {MANIFEST}; {path}: {error}. Push again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} must have format {FORMAT}; it was written by another release. Push again.")
    return content


def verify(folder: str) -> dict[str, Any]:
    """Hold every file against the manifest.

    Returns:
      The manifest.
    Raises:
      ValueError: a file is missing, added or changed; the first is named.
    """
    content = read(folder)
    found = describe_files(folder)
    for path in sorted(set(found) | set(content["files"])):
        if found.get(path) != content["files"].get(path):
            state = (
                "missing" if path not in found else "changed" if path in content["files"] else "not listed"
            )
            raise ValueError(
                f"The bundle {folder} must be as its manifest lists it; {path} is {state}. Push again."
            )
    return content
