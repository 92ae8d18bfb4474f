"""Cut a release into spans of equal length, with which retraining can be tried."""

from __future__ import annotations

import pathlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from common.errors import DataError, disk_errors
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.parsing import lines, parse
from components.movielens_example_gen.sources import files

DAY = 86_400
# Lines that are collected and then written together, because a file for each span cannot stay open.
_HELD_LINES = 500_000
# Bytes of the release in one read.
_CHUNK_BYTES = 8 << 20


class Cut(NamedTuple):
    """Number of spans (numbered from 1), of rows, and of rows whose time cannot be read, all in span 1."""

    spans: int
    rows: int
    timeless: int


def cut(release: pathlib.Path, config: DataConfig, target: pathlib.Path, days: int) -> Cut:
    """Write a release's ratings as spans, and its movies and users beside them.

    Every span between the first and the last rating gets a folder, also if it has no ratings. The release
    does not say when a film or a user was added, so all are known from the start.

    Args:
      release: folder with the release's files.
      config: which release it is.
      target: a folder that does not exist yet; appears whole, by a rename.
      days: length of a span.
    Raises:
      DataError: the files cannot be read, the target exists, or the disk cannot be written.
    """
    with disk_errors(target):
        if target.exists():
            raise DataError(f"{target} must not exist yet: the spans become this folder. Name another.")
        inputs = files.find_inputs(str(release), config)
        ratings = inputs.ratings[0]
        if ratings.groups or len(inputs.ratings) > 1:
            raise DataError(f"{ratings.path} must be one text file to be cut into spans. Write it as CSV.")
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            written = _write(ratings, fresh, days * DAY)
            for source in (*inputs.movies, *inputs.users):
                (fresh / source.name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source.path, fresh / source.name)
            fresh.chmod(0o755)
            fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return written


def _write(ratings: files.Source, folder: pathlib.Path, seconds: int) -> Cut:
    timestamps = [timestamp for _, timestamp in _lines(ratings) if timestamp is not None]
    if not timestamps:
        raise DataError(f"{ratings.path} must hold ratings with a time; it has none. Name another release.")
    first, count = min(timestamps), (max(timestamps) - min(timestamps)) // seconds + 1
    with open(ratings.path, "rb") as file:
        header = file.readline().rstrip(b"\r\n") + b"\n" if ratings.header else b""
    for number in range(1, count + 1):
        _path(folder, number, ratings).parent.mkdir()
        _path(folder, number, ratings).write_bytes(header)
    held: defaultdict[int, list[bytes]] = defaultdict(list)
    rows = 0
    for rows, (line, timestamp) in enumerate(_lines(ratings), 1):
        held[1 if timestamp is None else (timestamp - first) // seconds + 1].append(line)
        if rows % _HELD_LINES == 0:
            _append(held, folder, ratings)
    _append(held, folder, ratings)
    return Cut(count, rows, rows - len(timestamps))


def _lines(ratings: files.Source) -> Iterator[tuple[bytes, int | None]]:
    """Yield each unchanged row, and its timestamp; None if the pipeline could not read the timestamp."""
    layout = ratings.layout
    position = layout.positions[-1]
    with open(ratings.path, "rb") as file:
        for part in lines.cut(ratings.path, ratings.size, _CHUNK_BYTES):
            rows = lines.read_lines(file, part)
            for row in rows[1 if ratings.header and not part.start else 0 :]:
                if not lines.is_blank(row):
                    fields = parse.split_line(row, layout.separator, layout.encoding)
                    timed = not isinstance(fields, parse.Fault) and len(fields) > position
                    yield row + b"\n", parse.read_seconds(fields[position]) if timed else None


def _append(held: defaultdict[int, list[bytes]], folder: pathlib.Path, ratings: files.Source) -> None:
    for number, rows in held.items():
        with open(_path(folder, number, ratings), "ab") as file:
            file.writelines(rows)
    held.clear()


def _path(folder: pathlib.Path, number: int, ratings: files.Source) -> pathlib.Path:
    return folder / f"span-{number}" / ratings.name
