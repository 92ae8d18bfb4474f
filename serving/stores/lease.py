"""A lock for object stores, which have none: an object that says who holds the destination, and until when.

In Google Cloud Storage (GenerationLease) one publisher at a time holds the lease. The lease of a publisher
that dies is free after other publishers have seen it unchanged for `seconds`, each by its own clock. A
publisher that only stood still for so long, or wrote or read a single file for so long, notices the loss at
its next write of a shared object, or before it removes a version. A renewal with each chunk would not help,
because TensorFlow uploads a file to gs:// when it is closed.

In other stores (Lease) TensorFlow's file systems have no conditional write. One publisher at a time holds the
lease, and the lease of one that dies expires, as long as

- the publishers' clocks differ by much less than `seconds`, and no single file takes that long to write or
  to read;
- no publisher stands still for longer than `settle` between reading the lease and writing it;
- a write is atomic, as object stores promise.

If one of these does not hold, two publishers may write at once, until the first one reads the lease at its
next `renew`, and gives up. Readers do not depend on the lease: they use a version only if its files match its
manifest's digests.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from typing import Protocol

from common.progress import progress


class LeaseLost(OSError):
    """Another holds the lease: this publisher stood still for longer than it was granted."""


class SmallFile(Protocol):
    """The object that the lease is."""

    def read(self) -> str | None:
        """Its text; None where it is absent."""

    def write(self, text: str) -> None:
        """Replace it; of a GenerationLease only as it was last read, or raise LeaseLost."""

    def remove(self) -> None:
        """Delete it."""


class Lease:
    """A claim on a destination, for one `with` at a time."""

    def __init__(self, file: SmallFile, seconds: float = 600.0, settle: float = 2.0) -> None:
        """Prepare.

        Args:
          file: the lease object.
          seconds: how long the claim holds without being renewed.
          settle: wait between writing the claim and reading it back, so that of two who write one is seen to
            be the last.
        """
        self._file = file
        self._seconds = seconds
        self._settle = settle
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._renewed = 0.0
        self._is_held = False
        self._is_announced = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lease, hold it, and give it back."""
        self._acquire()
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._current_holder() == self._holder:
                self._file.remove()

    def renew(self) -> None:
        """Extend the claim.

        Raises:
          LeaseLost: another publisher holds the lease.
        """
        holder = self._current_holder()
        if holder != self._holder:
            raise LeaseLost(
                f"A publisher must hold its destination to the end; {holder or 'nobody'} holds it now, since "
                f"this one stood still for more than {self._seconds:.0f} s. Publish again."
            )
        if time.monotonic() - self._renewed > self._seconds / 4:
            self._claim()

    def renew_if_held(self) -> None:
        """Extend the claim if this process holds the lease; for code that readers run too."""
        if self._is_held:
            self.renew()

    def _acquire(self) -> None:
        while True:
            holder = self._current_holder()
            if holder is None:
                self._claim()
                time.sleep(self._settle)
                if self._current_holder() == self._holder:
                    return
            else:
                self._announce(holder)
            time.sleep(self._settle)

    def _announce(self, holder: str) -> None:
        if not self._is_announced:
            progress.info("Waiting for %s, which holds the destination", holder)
            self._is_announced = True

    def _claim(self) -> None:
        self._file.write(json.dumps({"holder": self._holder, "expires": time.time() + self._seconds}))
        self._renewed = time.monotonic()

    def _current_holder(self) -> str | None:
        """Who holds it; None where it is free, has expired, or is not what a publisher writes."""
        text = self._file.read()
        try:
            content = json.loads(text or "")
            return content["holder"] if content["expires"] > time.time() else None
        except (ValueError, TypeError, KeyError):
            return None


class GenerationLease(Lease):
    """A claim on a file that is replaced only as it was last read.

    A holder is taken for dead where its claim has not changed for `seconds`, by the clock of who waits. Of
    several that take its place one succeeds.
    """

    def _acquire(self) -> None:
        seen, since = "", 0.0
        while True:
            text = self._file.read()
            if text is not None and text != seen:
                seen, since = text, time.monotonic()
            if text is None or time.monotonic() - since > self._seconds:
                with contextlib.suppress(LeaseLost):  # Another was quicker.
                    self._claim()
                    return
            else:
                self._announce(self._current_holder() or "somebody")
                time.sleep(self._settle)

    def _current_holder(self) -> str | None:
        text = self._file.read()
        try:
            return json.loads(text or "")["holder"]
        except (ValueError, TypeError, KeyError):
            return None
