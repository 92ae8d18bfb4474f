"""Cut a release into spans of equal length, with which retraining can be tried."""

from __future__ import annotations

import itertools
import pathlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.errors import DataError, disk_errors
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.parsing import lines, parse
from components.movielens_example_gen.sources import files, parts

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

    Ratings that were written as a folder of parts become one file in each span. Every span between the first
    and the last rating gets a folder, also if it has no ratings. The release does not say when a film or a
    user was added, so all are known from the start.

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
        _require_one_text(inputs.ratings)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            written = _write(inputs.ratings, fresh, days * DAY)
            for source in (*inputs.movies, *inputs.users):
                (fresh / source.name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source.path, fresh / source.name)
            fresh.chmod(0o755)
            fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return written


def _require_one_text(ratings: Sequence[files.Source]) -> None:
    first = ratings[0]
    for source in ratings:
        if source.groups or parts.whole(source.name) != parts.whole(first.name):
            raise DataError(f"{source.path} must be text of one table to be cut into spans. Write it as CSV.")
        if source.layout != first.layout:
            raise DataError(
                f"{source.path} must have the columns of {first.path}, in the same order, for a span "
                "holds rows of both. Write the parts alike."
            )


def _write(ratings: Sequence[files.Source], folder: pathlib.Path, seconds: int) -> Cut:
    table = parts.whole(ratings[0].name)
    timestamps = [timestamp for _, timestamp in _all_lines(ratings) if timestamp is not None]
    if not timestamps:
        whole = parts.whole(ratings[0].path)
        raise DataError(f"{whole} must hold ratings with a time; it has none. Name another release.")
    first, count = min(timestamps), (max(timestamps) - min(timestamps)) // seconds + 1
    with open(ratings[0].path, "rb") as file:
        header = file.readline().rstrip(b"\r\n") + b"\n" if ratings[0].header else b""
    for number in range(1, count + 1):
        _path(folder, number, table).parent.mkdir()
        _path(folder, number, table).write_bytes(header)
    held: defaultdict[int, list[bytes]] = defaultdict(list)
    rows = 0
    for rows, (line, timestamp) in enumerate(_all_lines(ratings), 1):
        held[1 if timestamp is None else (timestamp - first) // seconds + 1].append(line)
        if rows % _HELD_LINES == 0:
            _append(held, folder, table)
    _append(held, folder, table)
    return Cut(count, rows, rows - len(timestamps))


def _all_lines(ratings: Sequence[files.Source]) -> Iterator[tuple[bytes, int | None]]:
    return itertools.chain.from_iterable(map(_lines, ratings))


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


def _append(held: defaultdict[int, list[bytes]], folder: pathlib.Path, table: str) -> None:
    for number, rows in held.items():
        with open(_path(folder, number, table), "ab") as file:
            file.writelines(rows)
    held.clear()


def _path(folder: pathlib.Path, number: int, table: str) -> pathlib.Path:
    return folder / f"span-{number}" / table
