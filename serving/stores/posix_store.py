"""A destination on a POSIX file system: a version is a rename, the pointer a link, the lock the system's.

Beside what layout.py names there are:

    bundles/.staging-*/          a copy in progress; its maker holds the lock in it
    bundles/.removed-*/          a version on its way out
    .lock                        held while the destination changes; freed by the system when its holder dies
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shlex
import shutil
from collections.abc import Callable, Collection, Iterator

from common import durable, locks
from serving import manifest
from serving.layout import BUNDLES, CURRENT, LAST, SERVING, number, numbers

LOCK = ".lock"
STAGING_PREFIX = ".staging-"
REMOVED_PREFIX = ".removed-"


class PosixStore:
    """See store.Store."""

    def __init__(self, destination: str) -> None:
        self.location = os.path.abspath(destination)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait for whoever changes the destination, and keep others waiting."""
        os.makedirs(self._path(BUNDLES), exist_ok=True)
        with locks.held(self._path(LOCK)):
            self._sweep()
            yield

    @contextlib.contextmanager
    def staged(self, bundle: str) -> Iterator[Callable[[int], None]]:
        """Copy beside the versions, sync and verify; to commit is to rename, which makes a version.

        The destination is not locked meanwhile: a rollback need not wait for gigabytes to be copied.
        """
        with contextlib.ExitStack() as stack:
            # Not mkdtemp, whose folders shut out a server that runs as another user.
            staging = self._path(BUNDLES, f"{STAGING_PREFIX}{secrets.token_hex(8)}")
            with self.locked():  # so that nobody sweeps between the next steps
                os.mkdir(staging)
                stack.callback(shutil.rmtree, staging, ignore_errors=True)
                stack.enter_context(locks.held(os.path.join(staging, LOCK)))
            copy = os.path.join(staging, "bundle")
            shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns(*manifest.LEFT_BY_DESKTOPS))
            _sync_tree(copy)
            manifest.verify(copy)

            def commit(version: int) -> None:
                os.rename(copy, self._path(BUNDLES, str(version)))
                durable.sync(self._path(BUNDLES))
                # The number stays taken where the bundle, and what links to it, goes again.
                self.write(LAST, f"{version}\n")

            yield commit

    def remove(self, version: int) -> None:
        """Rename away in one step, then delete."""
        removed = self._path(BUNDLES, f"{REMOVED_PREFIX}{version}")
        os.rename(self._path(BUNDLES, str(version)), removed)
        durable.sync(self._path(BUNDLES))
        shutil.rmtree(removed)

    def versions(self) -> list[int]:
        return numbers(_names(self._path(BUNDLES)))

    def next_version(self) -> int:
        """One more than any version ever seen here, also where somebody deleted the bundle itself."""
        linked = [
            version
            for model in _names(self._path(SERVING))
            for version in numbers(_names(self._path(SERVING, model)))
        ]
        last = number(self.read(LAST), self._path(LAST), "highest version ever published")
        return max([last, *self.versions(), *linked]) + 1

    def link(self, version: int, models: Collection[str]) -> None:
        for model in models:
            os.makedirs(self._path(SERVING, model), exist_ok=True)
            self._point(os.path.join("..", "..", BUNDLES, str(version), model), SERVING, model, str(version))

    def unlink(self, version: int) -> None:
        for model in _names(self._path(SERVING)):
            link = self._path(SERVING, model, str(version))
            if os.path.islink(link):
                os.remove(link)
                durable.sync(self._path(SERVING, model))

    def current(self) -> int:
        try:
            target = os.readlink(self._path(CURRENT))
        except FileNotFoundError:
            return 0
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ValueError(self._no_link()) from error
        return max(numbers([os.path.basename(target)]), default=0)

    def point(self, version: int) -> None:
        self._point(os.path.join(BUNDLES, str(version)), CURRENT)

    def read(self, name: str) -> str | None:
        try:
            with open(self._path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        durable.replace(path, text.encode("utf-8"), _beside(path))

    def describe(self, version: int, digests: bool = True) -> manifest.Files:
        return manifest.describe_files(self._path(BUNDLES, str(version)), digests)

    def fetch(self, version: int, folder: str) -> None:
        shutil.copytree(self._path(BUNDLES, str(version)), folder, dirs_exist_ok=True)

    def _path(self, *names: str) -> str:
        return os.path.join(self.location, *names)

    def _point(self, target: str, *names: str) -> None:
        """Make or replace a symbolic link in one step, so that a reader finds the old one or the new one."""
        link = self._path(*names)
        if os.path.islink(link) and os.readlink(link) == target:
            return
        temporary = _beside(link)
        # Under the lock, so one that is there was left by a publisher that died.
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        os.symlink(target, temporary)
        os.replace(temporary, link)
        durable.sync(os.path.dirname(link))

    def _no_link(self) -> str:
        """Say what is there in place of the pointer, and how to restore the pointer."""
        current = self._path(CURRENT)
        if not os.path.isdir(current):
            return (
                f"{current} must be a link, and is none. If this is an object store that was pushed to by "
                "its URI, name it by its URI."
            )
        problem = f"{current} must be a link, and is a folder: a copy followed links, as `cp -L` does"
        pointed = self.read(f"{CURRENT}/{manifest.MANIFEST}")
        for version in self.versions():
            if pointed and self.read(f"{BUNDLES}/{version}/{manifest.MANIFEST}") == pointed:
                copies, location = shlex.join([current, self._path(SERVING)]), shlex.quote(self.location)
                return f"{problem}. Run: rm -r {copies} && python -m serving promote {location} {version}"
        return f"{problem}. Copy it anew by a command that copies links as links, such as `cp -a`."

    def _sweep(self) -> None:
        """Delete copies whose makers died, and what was being removed."""
        for name in _names(self._path(BUNDLES)):
            path = self._path(BUNDLES, name)
            if name.startswith(REMOVED_PREFIX) or (name.startswith(STAGING_PREFIX) and _abandoned(path)):
                # Its maker may be removing it at the same time.
                shutil.rmtree(path, ignore_errors=True)


def _abandoned(staging: str) -> bool:
    """Whether nobody holds the lock in a staging folder; another user's, which cannot be locked, is left."""
    try:
        with locks.held(os.path.join(staging, LOCK), wait=False):
            return True
    except (locks.HeldError, PermissionError):
        return False
    except FileNotFoundError:  # Its maker has just removed it.
        return True


def _names(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _beside(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.next")


def _sync_tree(folder: str) -> None:
    """Flush every file and folder to disk, or a power cut after the rename could leave empty files."""
    for parent, _, names in os.walk(folder):
        for name in names:
            durable.sync(os.path.join(parent, name))
        durable.sync(parent)
