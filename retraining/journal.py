"""The record of the runs: one line of JSON for each run, in the pipeline's folder."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal

import pydantic

from common import durable


class JournalError(Exception):
    """The record of the runs is damaged."""


class Model(pydantic.BaseModel):
    """The verdict on one model.

    Attributes:
      metrics: by name, over all rows of the newest span: the challenger's, then the champion's, None if there
        was no champion.
      refused_because: why it was not blessed: the gates that it failed; empty if it was blessed.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    name: str
    blessed: bool
    metrics: dict[str, tuple[float | None, float | None]]
    refused_because: str = ""


class Report(pydantic.BaseModel):
    """The results of a run, as local_runner.py writes them.

    Attributes:
      rows: numbers of train and of eval rows.
      pushed_version: version that was pushed, and is served; None if nothing was pushed.
      drift: by raw feature, the distance of the newest span from the window before it, and its bound.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    rows: tuple[int, int]
    models: tuple[Model, ...]
    pushed_version: int | None
    not_pushed_because: str = ""
    drift: dict[str, tuple[float, float]] = {}

    @property
    def drifted(self) -> list[str]:
        """Features whose distance from the window is above its bound."""
        return sorted(name for name, (distance, bound) in self.drift.items() if distance > bound)


class Entry(pydantic.BaseModel):
    """One run.

    Attributes:
      span: the newest span that it read; versions: of all spans up to this one, by number.
      outcome: pushed; refused, if a gate kept the run from pushing and the served version stays; or failed.
      seconds: from its start to its end; ended: seconds since 1970.
      words: message of a failure.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    span: int
    versions: dict[int, int]
    outcome: Literal["pushed", "refused", "failed"]
    ended: float
    seconds: float
    words: str = ""
    report: Report | None = None


def read(path: pathlib.Path) -> list[Entry]:
    """Read all entries, the oldest first.

    Raises:
      JournalError: a line is no entry, such as an incomplete one.
    """
    return [_entry(path, number, line) for number, line in enumerate(_lines(path), 1)]


def append(path: pathlib.Path, entry: Entry) -> None:
    """Add an entry, and return when it is on the disk."""
    lines = [*_lines(path), entry.model_dump_json().encode()]
    durable.replace(path, b"".join(line + b"\n" for line in lines), path.with_suffix(".new"))


def _lines(path: pathlib.Path) -> list[bytes]:
    content = path.read_bytes() if path.exists() else b""
    return content.removesuffix(b"\n").split(b"\n") if content else []


def _entry(path: pathlib.Path, number: int, line: bytes) -> Entry:
    try:
        return Entry.model_validate_json(line)
    except pydantic.ValidationError as error:
        raise JournalError(
            f"Line {number} of {path} must be the record of a run; it begins with {line[:40]!r} and cannot "
            "be read. Restore the file, or remove that line: its run then counts as never made."
        ) from error


def done(entries: Sequence[Entry]) -> Entry | None:
    """Return the last run that did not fail."""
    return next((entry for entry in reversed(entries) if entry.outcome != "failed"), None)


def changed(entry: Entry, versions: Mapping[int, int], window: int | None) -> list[int]:
    """List the spans of a run's window that came, or got a later version, after it.

    >>> entry = Entry(span=4, versions={2: 0, 4: 0}, outcome="pushed", ended=0, seconds=0)
    >>> changed(entry, {2: 1, 3: 0, 4: 0, 5: 0}, window=None)
    [2, 3]
    """
    first = min(versions) if window is None else entry.span - window + 1
    return [
        number
        for number, version in sorted(versions.items())
        if first <= number <= entry.span and entry.versions.get(number) != version
    ]
