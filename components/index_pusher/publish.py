"""Publish a bundle: whole or not at all, under the next version, once per identity.

Layout of a destination (links are relative, so it can be moved or mounted as a whole):

    bundles/<version>/...                what one push published: recommend/, ranking/, manifest.json, ...
    bundles/.staging-*/                  a copy in progress; never read
    serving/<model>/<version>            -> ../../bundles/<version>/<model>: a base path for TF Serving
    current                              -> bundles/<version>: what recommend.py loads
    .lock                                held while publishing; freed by the system when its holder dies

Standard library only; POSIX file systems (object stores have no rename). Runs in the executor's process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
from collections.abc import Iterator

from components.index_pusher import manifest

BUNDLES = "bundles"
SERVING = "serving"
CURRENT = "current"
LOCK = ".lock"
STAGING_PREFIX = ".staging-"
_SAVED_MODEL = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class Published:
    """Where a bundle stands.

    Attributes:
      version: its version, an integer from 1.
      path: its folder.
      new: False where the newest version already held the same identity.
    """

    version: int
    path: str
    new: bool


def publish(bundle: str, destination: str) -> Published:
    """Publish a bundle, or find it published; either way leave links and pointer whole.

    The newest version alone is compared: models pushed again after others is a new decision, and TF Serving
    serves the highest version.

    Args:
      bundle: a complete bundle with its manifest; left as it is.
      destination: the folder to publish to; made where absent.
    Raises:
      ValueError: the bundle is not as its manifest lists it.
    """
    identity = manifest.verify(bundle)["identity"]
    with locked(destination):
        _remove_stale(destination)
        version = newest_version(destination)
        new = not _holds(destination, version, identity)
        if new:
            version = _next_version(destination)
            _place(bundle, destination, version)
        _link(destination, version)
    return Published(version, _bundle_path(destination, version), new)


def find(destination: str, identity: str) -> Published | None:
    """Repair and return the newest version where it holds this identity, undamaged; else None."""
    if not newest_version(destination):
        return None
    with locked(destination):
        version = newest_version(destination)
        if not _holds(destination, version, identity):
            return None
        _link(destination, version)
    return Published(version, _bundle_path(destination, version), new=False)


def newest_version(destination: str) -> int:
    """Highest published version; 0 where there is none."""
    return max(_integers(os.path.join(destination, BUNDLES)), default=0)


@contextlib.contextmanager
def locked(destination: str) -> Iterator[None]:
    """Hold the destination for one publisher; others wait."""
    os.makedirs(os.path.join(destination, BUNDLES), exist_ok=True)
    with open(os.path.join(destination, LOCK), "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _holds(destination: str, version: int, identity: str) -> bool:
    """Whether a version is of this identity and undamaged; a damaged one is published anew."""
    if not version:
        return False
    path = _bundle_path(destination, version)
    try:
        return manifest.read(path)["identity"] == identity and bool(manifest.verify(path))
    except ValueError:
        return False


def _next_version(destination: str) -> int:
    """One more than any version ever seen here, also where the bundle itself was deleted."""
    serving = os.path.join(destination, SERVING)
    models = os.listdir(serving) if os.path.isdir(serving) else []
    linked = [version for model in models for version in _integers(os.path.join(serving, model))]
    return max([newest_version(destination), *linked]) + 1


def _place(bundle: str, destination: str, version: int) -> None:
    """Copy beside the versions, sync, verify, and rename: the one step that makes it a version."""
    parent = os.path.join(destination, BUNDLES)
    # Not mkdtemp, whose folders shut out a server that runs as another user; the lock makes the name unique.
    staging = os.path.join(parent, f"{STAGING_PREFIX}{version}")
    try:
        shutil.copytree(bundle, staging)
        _sync_tree(staging)
        manifest.verify(staging)
        os.rename(staging, _bundle_path(destination, version))
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # renamed away where all went well
    _sync(parent)


def _link(destination: str, newest: int) -> None:
    """Make every version's serving links, then point `current` at the newest.

    All of them, not the newest's alone: a publisher that died after its rename left none.
    """
    for version in sorted(_integers(os.path.join(destination, BUNDLES))):
        for model in sorted(os.listdir(_bundle_path(destination, version))):
            if os.path.isfile(os.path.join(_bundle_path(destination, version), model, _SAVED_MODEL)):
                folder = os.path.join(destination, SERVING, model)
                os.makedirs(folder, exist_ok=True)
                target = os.path.join("..", "..", BUNDLES, str(version), model)
                _point(os.path.join(folder, str(version)), target)
    _point(os.path.join(destination, CURRENT), os.path.join(BUNDLES, str(newest)))


def _point(link: str, target: str) -> None:
    """Make or replace a symbolic link in one step, so that a reader finds the old one or the new one."""
    if os.path.islink(link) and os.readlink(link) == target:
        return
    folder, name = os.path.split(link)
    temporary = os.path.join(folder, f".{name}.next")
    # Under the lock, so one that is there was left by a publisher that died.
    with contextlib.suppress(FileNotFoundError):
        os.remove(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)
    _sync(folder)


def _remove_stale(destination: str) -> None:
    """Remove unfinished copies: whoever made them held the lock, so now they are dead."""
    parent = os.path.join(destination, BUNDLES)
    for name in os.listdir(parent):
        if name.startswith(STAGING_PREFIX):
            shutil.rmtree(os.path.join(parent, name))


def _bundle_path(destination: str, version: int) -> str:
    return os.path.join(destination, BUNDLES, str(version))


def _integers(folder: str) -> list[int]:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [int(name) for name in names if name.isascii() and name.isdecimal()]


def _sync_tree(folder: str) -> None:
    """Flush every file and folder to disk, or a power cut after the rename could leave empty files."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(parent, name))
        _sync(parent)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
