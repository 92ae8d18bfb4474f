"""A lease on a pipeline's folder: who runs it, and until when that holds without a sign of life.

For a folder that several machines share as well; their clocks must then agree to within a few seconds.
Changes of the lease are made under a lock of the file system, so that of two who want it one gets it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator

import pydantic

from components import durable

_PROGRESS = logging.getLogger("marquee.progress")


class LeaseError(Exception):
    """Another holds the lease."""


class _State(pydantic.BaseModel):
    """What the file says.

    Attributes:
      holder: in words; place, process, born: by which a process of the same machine is looked up.
      token: tells whose lease it is.
      expires: seconds since 1970.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    holder: str
    place: str
    process: int
    born: str = ""
    token: str
    expires: float


class Lease:
    """A lease that is held; `held` makes one."""

    def __init__(self, path: pathlib.Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._token = secrets.token_hex(8)
        self._over = threading.Event()
        self.lost = threading.Event()

    def _acquire(self) -> None:
        with _locked(self._path):
            other = _read(self._path)
            if other and other.expires > time.time() and not _is_dead(other):
                until = time.strftime("%H:%M:%S", time.localtime(other.expires))
                raise LeaseError(
                    f"One run of a pipeline at a time: {other.holder} holds {self._path}, until {until} "
                    "unless it renews that. Wait until it has ended; if it has crashed, the lease runs out "
                    "by itself."
                )
            if other:
                _PROGRESS.info("%s left its lease behind; taking it over", other.holder)
            self._write()

    def renew(self) -> bool:
        """Give a sign of life; False, and `lost` is set, where the lease is no longer this one's.

        It is not where there is none: another took it and has given it back since.
        """
        with _locked(self._path):
            other = _read(self._path)
            if not other or other.token != self._token:
                self.lost.set()
            else:
                self._write()
        return not self.lost.is_set()

    def _keep(self) -> None:
        # In a thread: renew until the run is over.
        while not (self._over.wait(self._seconds / 3) or self.lost.is_set()):
            self._try_to_renew()

    def _try_to_renew(self) -> None:
        try:
            self.renew()
        except OSError as error:  # A disk that is full may have room at the next try.
            _PROGRESS.warning("The lease %s could not be renewed: %s", self._path, error)

    def _write(self) -> None:
        state = _State(
            holder=f"process {os.getpid()} on {socket.gethostname()}",
            place=_place(),
            process=os.getpid(),
            born=_born(os.getpid()),
            token=self._token,
            expires=time.time() + self._seconds,
        )
        durable.replace(self._path, state.model_dump_json().encode(), self._path.with_suffix(".new"))

    def _release(self) -> None:
        with _locked(self._path):
            other = _read(self._path)
            if other and other.token == self._token:
                self._path.unlink()


@contextlib.contextmanager
def held(path: pathlib.Path, seconds: float) -> Iterator[Lease]:
    """Hold a lease, renewed all the while.

    Args:
      path: its file.
      seconds: for which it holds after the last sign of life.
    Yields:
      The lease; `lost` is set where another took it, after this process stood still for longer than that.
    Raises:
      LeaseError: another holds it, in words.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lease = Lease(path, seconds)
    lease._acquire()
    keeper = threading.Thread(target=lease._keep, daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease._over.set()
        keeper.join()
        lease._release()


def _read(path: pathlib.Path) -> _State | None:
    try:
        return _State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except pydantic.ValidationError:
        # Nobody who still runs leaves such a file, for it is replaced as a whole: it has run out.
        return _State(
            holder=f"somebody unknown ({path} cannot be read)", place="", process=0, token="", expires=0
        )


def _is_dead(state: _State) -> bool:
    # Only of a process that this one would see: of the same machine, and the same container on it.
    if state.place != _place():
        return False
    try:
        os.kill(state.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # Numbers are given again, after a start of the machine or of the container above all.
    return bool(state.born) and _born(state.process) not in ("", state.born)


def _born(process: int) -> str:
    """Say when a process began: at which start of the machine, how long after it; "" where that is hidden."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        stat = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # proc(5): field 22; the second is the program's name, which may hold spaces and brackets.
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"


def _place() -> str:
    return f"{socket.gethostname()} {os.stat('/proc/self/ns/pid').st_ino}"


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    with open(path.with_suffix(".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
