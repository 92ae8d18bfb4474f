"""What was run: one line of JSON for each run, in the pipeline's folder. It marks up to where spans are
done.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal

import pydantic

from common import durable


class JournalError(Exception):
    """The record of the runs is damaged."""


class Model(pydantic.BaseModel):
    """What became of one model.

    Attributes:
      metrics: by name, over all rows of the newest span: the challenger's, then the champion's, None where
        there was no champion.
      refused_because: what it failed at, in words; empty where it was blessed.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    name: str
    blessed: bool
    metrics: dict[str, tuple[float | None, float | None]]
    refused_because: str = ""


class Report(pydantic.BaseModel):
    """What a run came to, as local_runner.py writes it.

    Attributes:
      rows: of train and of eval.
      pushed_version: what is being served since; None where the challengers were refused.
      drift: by raw feature, the distance of the newest span from the window before it, and the greatest
        bearable.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    rows: tuple[int, int]
    models: tuple[Model, ...]
    pushed_version: int | None
    not_pushed_because: str = ""
    drift: dict[str, tuple[float, float]] = {}

    @property
    def drifted(self) -> list[str]:
        """Features that are farther from the window than is bearable."""
        return sorted(name for name, (distance, bound) in self.drift.items() if distance > bound)


class Entry(pydantic.BaseModel):
    """One run.

    Attributes:
      span: the newest one that was read; versions: of all spans that there were up to it, by number.
      outcome: pushed, refused (what was served before still is), or failed.
      seconds: from its start to its end; ended: seconds since 1970.
      words: of a failure.
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
      JournalError: a line is no entry, such as one that was cut short; in words.
    """
    return [_entry(path, number, line) for number, line in enumerate(_lines(path), 1)]


def append(path: pathlib.Path, entry: Entry) -> None:
    """Add an entry, so that it is on the disk when this returns."""
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
    """Return the last run that came to an end."""
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
