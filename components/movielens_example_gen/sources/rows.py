"""The rows of the input files, as workers read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from common import parquet
from components.movielens_example_gen.parsing import lines, parse
from components.movielens_example_gen.sources.files import Source
from components.movielens_example_gen.sources.layouts import open_file, parquet_in_words


class Part(NamedTuple):
    """The part of a file that one worker reads: a byte range of text or a row group of Parquet.

    Attributes:
      number: of the part among all ratings, for file names.
      group: index of the row group (Parquet), else -1.
    """

    source: Source
    number: int
    range: lines.Range
    group: int = -1


def split_parts(sources: Sequence[Source], chunk_bytes: int) -> list[Part]:
    """Cut the ratings files into parts for workers."""
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
    """Read the ratings of one part; skip lines without values.

    Args:
      columns: the ratings table's.
      scale: result of `parse.scale_values`.
      breaks: line breaks per byte range, see `lines.first_line`.

    Yields:
      Line (in Parquet: row) number from 1, the unchanged row, and its rating or its fault.
    """
    layout = part.source.layout
    with open_file(part.source.path) as handle:
        if part.group >= 0:
            first = part.range.start
            for line, row, cells in _read_group(handle, part.source.path, part.group, columns, first):
                if isinstance(cells, parse.Fault):
                    yield line, row, cells
                else:
                    user, movie, rating, timestamp = cells
                    yield line, row, parse.check_rating(user, movie, rating, timestamp, scale)
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
    """Read a whole file of movies or users; skip lines without values.

    Yields:
      Line (in Parquet: row) number from 1, the unchanged row, and its required columns or its fault.
    """
    with open_file(source.path) as handle:
        if source.groups:
            first = 1
            for group, group_rows in enumerate(source.groups):
                for line, row, cells in _read_group(handle, source.path, group, columns, first):
                    yield (
                        line,
                        row,
                        cells if isinstance(cells, parse.Fault) else [cell.strip() for cell in cells],
                    )
                first += group_rows
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
) -> Iterator[tuple[int, bytes | str, list[str] | parse.Fault]]:
    with parquet_in_words(path):
        table = parquet.ParquetFile(handle).read_row_group(group, columns=list(columns))
        cells = [[_cell(value) for value in table.column(column).to_pylist()] for column in columns]
    for number, fields in enumerate(zip(*cells, strict=True), first_row):
        row = ",".join(fields)
        if row.isascii() and "\0" not in row:
            yield number, row, list(fields)
        else:
            encoded = row.encode("utf-8", _NO_TEXT)
            yield number, encoded, _odd_bytes(fields, columns) or list(fields)


# Error handler that preserves bytes that are not UTF-8 until the row is checked.
_NO_TEXT = "surrogateescape"


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN is how pandas writes an empty cell.
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return "|".join(map(_cell, value))
    if isinstance(value, bytes):  # Hive and Impala write text so.
        value = value.decode("utf-8", _NO_TEXT)
    return str(value)


def _odd_bytes(fields: Sequence[str], columns: Sequence[str]) -> parse.Fault | None:
    for field, column in zip(fields, columns, strict=True):
        if "\0" in field:
            return parse.Fault(parse.BAD_BYTES, f"{column} holds NUL")
        try:
            field.encode()
        except UnicodeEncodeError:
            return parse.Fault(parse.BAD_BYTES, f"{column} is not UTF-8")
    return None
