"""The input files: found, checked and read, through Beam's file systems (local, gs://, ...).

`find_inputs` runs once, where the pipeline is built; the readers run in workers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from common import parquet
from common.errors import DataError
from components.movielens_example_gen.config import SPAN, DataConfig, SpansConfig
from components.movielens_example_gen.parsing import lines, parse
from components.movielens_example_gen.sources import emptiness, listing, releases, spans
from modules import features

# A guess, to choose the number of output files: "12345,678,3.5,1112486027" and a line break.
_BYTES_PER_ROW = 20


class Source(NamedTuple):
    """One input file.

    Attributes:
      path: where it is.
      name: what a person knows it by: its name below the input folder.
      layout: places of the wanted columns.
      header: True where line 1 is not data.
      size: bytes.
      split: `train` or `eval` where the input is already split, else empty.
      groups: rows per row group of a Parquet file; empty for text.
    """

    path: str
    name: str
    layout: parse.Layout
    header: bool
    size: int
    split: str = ""
    groups: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Rows, roughly where the file is text."""
        return sum(self.groups) if self.groups else math.ceil(self.size / _BYTES_PER_ROW)


class Part(NamedTuple):
    """What one worker reads at once: a byte range of a text file or a row group of a Parquet file.

    Attributes:
      number: of the part among all ratings, for file names.
      group: index of the row group (Parquet), else -1.
    """

    source: Source
    number: int
    range: lines.Range
    group: int = -1


class Inputs(NamedTuple):
    """Everything that one run reads.

    Attributes:
      movies, users: several where spans bring them; a later file's rows take the place of earlier ones.
      window: the spans, where the input has them.
    """

    ratings: tuple[Source, ...]
    movies: tuple[Source, ...]
    users: tuple[Source, ...]
    window: spans.Window | None = None


@contextlib.contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """Open a file of any of Beam's file systems for reading, as it is."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
        yield handle


def find_inputs(input_base: str, config: DataConfig) -> Inputs:
    """Find the release's files and check that each has the columns it should have.

    Raises:
      DataError: a file is missing, empty, ambiguous or of another form, or a span is missing.
    """
    if config.spans:
        return _find_spans(input_base, config, config.spans)
    release, files = config.spec, config.input_files()
    ratings = []
    for part, names in files.items():
        if part.startswith("ratings"):
            source = _find(input_base, names, release.ratings, config)
            ratings.append(source._replace(split=part.removeprefix("ratings").lstrip("_")))
    movies = _find(input_base, files["movies"], release.movies, config)
    users = []
    if release.users and not (release.users.optional and not listing.sizes(input_base, files["users"])):
        users.append(_find(input_base, files["users"], release.users, config))
    return Inputs(tuple(ratings), (movies,), tuple(users))


def _find_spans(input_base: str, config: DataConfig, wanted: SpansConfig) -> Inputs:
    release, files = config.spec, config.input_files()
    sizes = listing.sizes(input_base, spans.patterns(files["ratings"]))
    window = spans.window(spans.versions(sizes, wanted.versions), wanted)
    newest = window.spans[-1]

    def inside(span: spans.Span, names: Sequence[str]) -> list[str]:
        return [f"{span.folder}/{name}" for name in names]

    ratings = []
    for span in window.spans:
        names = inside(span, files["ratings"])
        # Nothing may have happened in a stretch of time.
        if span is newest or any(
            _has_rows(input_base, name, release.ratings) for name in names if name in sizes
        ):
            held_out = config.split.method == SPAN and span is newest
            source = _find(input_base, names, release.ratings, config)
            ratings.append(source._replace(split=features.EVAL_SPLIT if held_out else features.TRAIN_SPLIT))

    def whole(names: Sequence[str], table: releases.Table) -> tuple[Source, ...]:
        folders = [list(names), *(inside(span, names) for span in (*window.earlier, *window.spans))]
        return tuple(
            _find(input_base, paths, table, config) for paths in folders if listing.sizes(input_base, paths)
        )

    movies = whole(files["movies"], release.movies)
    if not movies:
        _find(input_base, files["movies"], release.movies, config)  # Says what is missing.
    users = whole(files["users"], release.users) if release.users else ()
    if release.users and not (users or release.users.optional):
        _find(input_base, files["users"], release.users, config)
    return Inputs(tuple(ratings), movies, users, window)


def _find(input_base: str, names: Sequence[str], table: releases.Table, config: DataConfig) -> Source:
    there = listing.sizes(input_base, names)
    if len(there) != 1:
        raise DataError(
            f"The folder {input_base} must hold {'one of ' * (len(names) > 1)}{', '.join(names)} "
            f"(release {config.release}, split method {config.split.method}); found "
            f"{', '.join(there) or 'none of it'}. Name the folder that holds the files, or another release."
        )
    [(name, size)] = there.items()
    path = FileSystems.join(input_base, name)
    if not size:
        raise DataError(f"{path} must hold rows, and is empty. Fetch or write it anew.")
    with open_file(path) as handle:
        if name.endswith(emptiness.PARQUET):
            layout, groups = _parquet_layout(handle, path, table)
            return Source(path, name, layout, False, size, groups=groups)
        if not table.header:
            return Source(path, name, parse.fixed_layout(table), False, size)
        try:
            layout = parse.header_layout(table, handle.readline(1 << 20).rstrip(b"\r\n"))
        except ValueError as error:
            raise DataError(f"{path}: {error}.") from error
    return Source(path, name, layout, True, size)


def _has_rows(input_base: str, name: str, table: releases.Table) -> bool:
    with open_file(FileSystems.join(input_base, name)) as handle:
        return emptiness.has_rows(handle, name, table.header)


def _parquet_layout(
    handle: BinaryIO, path: str, table: releases.Table
) -> tuple[parse.Layout, tuple[int, ...]]:
    with _bad_parquet(path):
        file = parquet.ParquetFile(handle)
        names = file.schema_arrow.names
    missing = [column for column in table.columns if names.count(column) != 1]
    if missing:
        raise DataError(
            f"{path} must have each of the columns {','.join(table.columns)} once; it has "
            f"{','.join(names)}, where {', '.join(missing)} is missing or repeated. Rename the columns."
        )
    groups = tuple(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    if not sum(groups):
        raise DataError(f"{path} must hold rows, and has none. Fetch or write it anew.")
    width = len(table.columns)
    return parse.Layout("", "utf-8", width, tuple(range(width))), groups


@contextlib.contextmanager
def _bad_parquet(path: str) -> Iterator[None]:
    try:
        with parquet.in_words(path):
            yield
    except parquet.UnreadableError as error:
        raise DataError(f"{error}. Write it anew.") from error


def split_parts(sources: Sequence[Source], chunk_bytes: int) -> list[Part]:
    """Cut the ratings files into what workers read at once."""
    parts: list[Part] = []
    for source in sources:
        if source.groups:
            row = 1
            for group, rows in enumerate(source.groups):
                span = lines.Range(source.path, row, row + rows)
                parts.append(Part(source, len(parts), span, group))
                row += rows
        else:
            for span in lines.cut(source.path, source.size, chunk_bytes):
                parts.append(Part(source, len(parts), span))
    return parts


def read_ratings(
    part: Part, columns: Sequence[str], scale: Mapping[str, float], breaks: Mapping[lines.Range, int]
) -> Iterator[tuple[int, bytes | str, parse.Rating | parse.Fault]]:
    """Read the ratings of one part; lines that hold nothing are passed over.

    Args:
      columns: the ratings table's.
      scale: result of `parse.scale_values`.
      breaks: line breaks per byte range, see `lines.first_line`.

    Yields:
      Line (in Parquet: row) number from 1, the row as it stands, and what it says.
    """
    layout = part.source.layout
    with open_file(part.source.path) as handle:
        if part.group >= 0:
            for line, cells in _read_group(handle, part.source.path, part.group, columns, part.range.start):
                user, movie, rating, timestamp = cells
                yield line, ",".join(cells), parse.check_rating(user, movie, rating, timestamp, scale)
            return
        rows = lines.read_lines(handle, part.range)
    first = lines.first_line(part.range, breaks)
    for line, row in enumerate(rows, first):
        if line > 1 or not part.source.header:
            parsed = parse.parse_rating(row, layout, scale)
            if not (isinstance(parsed, parse.Fault) and lines.is_blank(row)):
                yield line, row, parsed


def read_table(
    source: Source, columns: Sequence[str]
) -> Iterator[tuple[int, bytes | str, list[str] | parse.Fault]]:
    """Read a whole file of movies or users; lines that hold nothing are passed over.

    Yields:
      Line (in Parquet: row) number from 1, the row as it stands, and its wanted columns or its fault.
    """
    with open_file(source.path) as handle:
        if source.groups:
            row = 1
            for group, group_rows in enumerate(source.groups):
                for line, cells in _read_group(handle, source.path, group, columns, row):
                    yield line, ",".join(cells), [cell.strip() for cell in cells]
                row += group_rows
            return
        rows = lines.read_lines(handle, lines.Range(source.path, 0, source.size))
    layout = source.layout
    for line, text in enumerate(rows, 1):
        if (line == 1 and source.header) or lines.is_blank(text):
            continue
        fields = parse.split_line(text, layout.separator, layout.encoding)
        yield line, text, fields if isinstance(fields, parse.Fault) else parse.select(fields, layout)


def _read_group(
    handle: BinaryIO, path: str, group: int, columns: Sequence[str], first_row: int
) -> Iterator[tuple[int, list[str]]]:
    with _bad_parquet(path):
        table = parquet.ParquetFile(handle).read_row_group(group, columns=list(columns))
        cells = [[_cell(value) for value in table.column(column).to_pylist()] for column in columns]
    for row, fields in enumerate(zip(*cells, strict=True), first_row):
        yield row, list(fields)


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN is how pandas writes an empty cell.
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return "|".join(map(str, value))
    return str(value)
