"""The bundle's manifest: digests of the bundle's files, and of the artifacts that the bundle was made of.

Standard library only. The executor writes the manifest; programs that load or verify a bundle read it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from typing import Any

from common.progress import progress
from serving.layout import SAVED_MODEL

MANIFEST = "manifest.json"
FORMAT = 2
LIBRARIES = ("tensorflow", "scann", "tensorflow-recommenders", "ai-edge-litert", "numpy")
# The names of ScaNN's operations, which stock TF Serving does not know, begin with this.
_SCANN_OPERATION = b"Scann>"
CHUNK = 1 << 20
# Desktops write these files into folders that they show.
LEFT_BY_DESKTOPS = (".DS_Store", "Thumbs.db", "desktop.ini")
# Keys of every manifest of this format; provenance.py adds more.
_KEYS = {"identity", "created", "sources", "metrics", "libraries", "models", "files"}


def libraries() -> dict[str, str]:
    """Versions of LIBRARIES, of those that are installed."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


# Size in bytes, and SHA-256 where it was taken, of files by relative path.
Files = dict[str, dict[str, "int | str"]]


def describe_files(folder: str, digests: bool = True) -> Files:
    """Size in bytes and SHA-256 of every file under a folder but the manifest, by relative path.

    Args:
      folder: a path; a folder that does not exist has no files.
      digests: False leaves the SHA-256 out, which is faster.
    """
    files: Files = {}
    for parent, folders, names in os.walk(folder):
        # A program that loads a bundle would follow a link to a folder, so a link counts as a file here.
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in (*names, *links):
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            if relative != MANIFEST and is_content(path):
                files[relative] = {"bytes": os.path.getsize(path)}
                if digests and os.path.isfile(path):
                    files[relative]["sha256"] = _sha256(path)
    return dict(sorted(files.items()))


def is_content(path: str) -> bool:
    """Return whether a file belongs to a bundle; warn of a file that a desktop left."""
    if os.path.basename(path) not in LEFT_BY_DESKTOPS:
        return True
    progress.warning("%s is passed over: desktops leave such files", path)
    return False


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def describe_models(folder: str) -> dict[str, dict[str, bool]]:
    """Return for every SavedModel at the top of a bundle whether it needs ScaNN's operations to load."""
    models = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, SAVED_MODEL)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                models[name] = {"scann": _SCANN_OPERATION in file.read()}
    return models


def content_digest(folder: str) -> str:
    """SHA-256 over the names and contents of a folder's files; it does not depend on times or on the path."""
    return digest_of(describe_files(folder))


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write(
    folder: str,
    sources: Mapping[str, str],
    metrics: Mapping[str, Any],
    statements: Mapping[str, Any] | None = None,
) -> None:
    """Write `manifest.json` into a complete bundle.

    Args:
      folder: the bundle.
      sources: digests of the artifacts that the bundle was made of; their digest is the bundle's identity.
      metrics: measured values by name.
      statements: further keys, see provenance.py.
    """
    content = {
        **(statements or {}),
        "format": FORMAT,
        "identity": digest_of(dict(sources)),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "sources": dict(sources),
        "metrics": dict(metrics),
        "libraries": libraries(),
        "models": describe_models(folder),
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
    try:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8", errors="replace") as file:
            return parse(file.read(), folder)
    except FileNotFoundError:
        return parse(None, folder)


def parse(text: str | None, bundle: str) -> dict[str, Any]:
    """Parse a manifest.

    Args:
      text: its JSON; None if there is no manifest.
      bundle: the bundle's path, for the error.
    Raises:
      ValueError: it is absent or unreadable.
    """
    try:
        content = json.loads(text) if text is not None else None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{bundle} must hold a readable {MANIFEST}; it holds {error}. Push again."
        ) from error
    if content is None:
        raise ValueError(f"{bundle} must hold a readable {MANIFEST}; there is none. Push again.")
    if not _is_whole(content):
        raise ValueError(
            f"{bundle}/{MANIFEST} must be whole, and of format {FORMAT}; it was changed, or written by "
            "another release. Push again."
        )
    return content


def _is_whole(content: Any) -> bool:
    """Return whether a manifest has all keys, and lists the file of every model that it names."""
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.keys() >= _KEYS:
        return False
    files, models = content["files"], content["models"]
    return (
        isinstance(files, dict)
        and all(isinstance(file, dict) and file.keys() >= {"bytes", "sha256"} for file in files.values())
        and isinstance(models, dict)
        and bool(models)
        and all(isinstance(model, dict) and "scann" in model for model in models.values())
        and {f"{model}/{SAVED_MODEL}" for model in models} <= files.keys()
    )


def differences(found: Files, content: Mapping[str, Any]) -> list[str]:
    """Name the files that are not as the manifest lists them, and how each differs.

    >>> listed = {"files": {"a": {"bytes": 1, "sha256": "x"}, "b": {"bytes": 2, "sha256": "y"}}}
    >>> differences({"a": {"bytes": 1}, "c": {"bytes": 2}}, listed)
    ['b is missing', 'c is not listed']
    """
    found_differences = []
    for path in sorted(set(found) | set(content["files"])):
        if path not in found:
            found_differences.append(f"{path} is missing")
        elif path not in content["files"]:
            found_differences.append(f"{path} is not listed")
        elif not found[path].items() <= content["files"][path].items():
            found_differences.append(f"{path} is changed")
    return found_differences


def check(found: Files, content: dict[str, Any], bundle: str) -> dict[str, Any]:
    """Compare the files that were found with the manifest, and return the manifest.

    Raises:
      ValueError: a file is missing, added or changed; the first is named.
    """
    if wrong := differences(found, content):
        raise ValueError(f"The bundle {bundle} must be as its manifest lists it; {wrong[0]}. Push again.")
    return content


def verify(folder: str) -> dict[str, Any]:
    """Compare every file of a folder with its manifest, and return the manifest.

    Raises:
      ValueError: the manifest is unreadable, or a file is missing, added or changed; the first is named.
    """
    content = read(folder)
    return check(describe_files(folder), content, folder)
