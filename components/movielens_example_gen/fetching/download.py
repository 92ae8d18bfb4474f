"""Fetch one file over HTTP; resume after a broken connection. Runs on the local machine."""

from __future__ import annotations

import hashlib
import pathlib
import re
import sys
import time
import urllib.parse

import requests
import rich.console
import rich.progress

from common.errors import DataError, disk_errors
from common.progress import progress

_BLOCK = 1 << 18
_TIMEOUT = (10, 30)  # Seconds to connect, and between two blocks.
_ATTEMPTS = 5  # In a row that bring nothing new.
_FIRST_PAUSE = 1.0  # Seconds; doubles with each further attempt.
_LARGEST = 2 << 30


class Unreachable(DataError):
    """The server cannot be reached, or keeps failing: another source may be tried."""


class _Session(requests.Session):
    """Follows no redirect from https to http."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        before, after = (
            urllib.parse.urlsplit(urllib.parse.urljoin(resp.url, to)) for to in ("", target or "")
        )
        if before.scheme == "https" and after.scheme != "https":
            raise DataError(
                f"{resp.url} must not be redirected to {after.geturl()}, because without TLS anybody may "
                "have changed the file. See whether it is still published there, or give a copy with --data."
            )
        return target


def checksum(path: pathlib.Path, algorithm: str) -> str:
    """Hash a file: `sha256:...` or `md5:...`."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


def download(
    url: str, target: pathlib.Path, size: int | None, expected: str | None, pause: float = _FIRST_PAUSE
) -> None:
    """Fetch a file and check it.

    Received bytes are in `<target>.part`; this call or a later one resumes from there. If a checksum fails
    after a resumption, the whole file is fetched once more.

    Args:
      size: bytes, if known.
      expected: `sha256:...` or `md5:...`, if known.
      pause: seconds before the second attempt.

    Raises:
      Unreachable: no answer, or no complete one.
      DataError: the file is not published there, or has another checksum.
    """
    part = target.with_name(target.name + ".part")
    with disk_errors(part):
        while True:
            resumed = part.exists()
            _fetch(url, part, size, pause)
            received = checksum(part, expected.split(":")[0]) if expected else None
            if received == expected:
                part.rename(target)
                return
            part.unlink()
            if not resumed:
                raise DataError(
                    f"{url} must have the checksum {expected}; received {received}. The file was altered on "
                    "its way or at its source: try again later, or give a copy with --data."
                )


def _fetch(url: str, part: pathlib.Path, size: int | None, pause: float) -> None:
    failures = 0
    with _Display(url.rsplit("/", 1)[-1], size) as display:
        while True:
            before = _length(part)
            try:
                if _attempt(url, part, display):
                    return
                reason = "the connection ended early"
            except requests.RequestException as error:
                reason = _reason(error)
            failures = 0 if _length(part) > before else failures + 1
            # If no byte came at all, the machine may have no network, and should not wait long.
            if failures >= (_ATTEMPTS if _length(part) else 2):
                raise Unreachable(f"{url} cannot be fetched: {reason}")
            time.sleep(pause * 2 ** max(failures - 1, 0))


def _attempt(url: str, part: pathlib.Path, display: _Display) -> bool:
    # Returns whether the file is complete; raises RequestException if another attempt may help.
    have = _length(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with _Session() as session, session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        total = _total(answer)
        if answer.status_code == 416:
            if total == have:
                return True
            part.unlink(missing_ok=True)  # Not a beginning of that file.
            return False
        if answer.status_code == 429 or answer.status_code >= 500:
            raise requests.HTTPError(f"the server answers {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise DataError(
                f"{url} answers {answer.status_code} {answer.reason}. See whether it is still published "
                "there, or give a copy with --data."
            )
        starts_over = answer.status_code == 200 or not answer.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        if answer.status_code == 206 and starts_over:
            part.unlink(missing_ok=True)
            return False
        display.start(0 if starts_over else have, total)
        with open(part, "wb" if starts_over else "ab") as sink:
            # Otherwise urllib3 2 raises when a connection is cut, and loses the bytes of the last block. The
            # length is checked below.
            answer.raw.enforce_content_length = False
            for block in answer.iter_content(_BLOCK):
                sink.write(block)
                display.advance(len(block))
                if sink.tell() > _LARGEST:
                    raise DataError(f"{url} sends more than {_LARGEST:,} bytes. Give a copy with --data.")
    return total is None or _length(part) == total


def _total(answer: requests.Response) -> int | None:
    # Size of the whole file, as the answer states it.
    match = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
    if match:
        return int(match[1])
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.status_code == 200 and length.isdigit() else None


def _length(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: requests.RequestException) -> str:
    for kind, words in (
        (requests.exceptions.SSLError, "its certificate cannot be verified"),
        (requests.exceptions.ProxyError, "the proxy refuses"),
        (requests.Timeout, "no answer in time"),
        (requests.exceptions.ChunkedEncodingError, "the connection broke"),
        (requests.ConnectionError, "no connection"),
    ):
        if isinstance(error, kind):
            return words
    return str(error)


class _Display:
    """A bar on a terminal, a line at the start and the end elsewhere."""

    def __init__(self, name: str, size: int | None):
        self._name = name
        self._size = size
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __enter__(self) -> _Display:
        if sys.stderr.isatty():
            self._bar = rich.progress.Progress(
                "{task.description}",
                rich.progress.BarColumn(),
                rich.progress.DownloadColumn(),
                rich.progress.TransferSpeedColumn(),
                rich.progress.TimeRemainingColumn(),
                console=rich.console.Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def start(self, have: int, total: int | None) -> None:
        """Say that bytes begin to come, from `have` on."""
        total = total or self._size
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task(self._name, total=total)
            self._bar.update(self._task, completed=have, total=total)
        else:
            of = f" of {total / 1e6:,.1f} MB" if total else ""
            progress.info("Fetching %s%s%s", self._name, of, f", from {have / 1e6:,.1f} MB on" * bool(have))

    def advance(self, count: int) -> None:
        """Say that `count` more bytes came."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task, count)


def published_md5(url: str) -> str | None:
    """Read the `.md5` that GroupLens publishes beside an archive that it renews; None if there is none.

    Raises:
      Unreachable: no answer.
    """
    try:
        with _Session() as session:
            answer = session.get(url + ".md5", timeout=_TIMEOUT)
    except requests.RequestException as error:
        raise Unreachable(f"{url}.md5 cannot be fetched: {_reason(error)}") from error
    digests = re.findall(r"\b[0-9a-fA-F]{32}\b", answer.text) if answer.status_code == 200 else []
    return f"md5:{digests[0].lower()}" if len(digests) == 1 else None
