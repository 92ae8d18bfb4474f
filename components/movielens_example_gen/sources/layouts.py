"""The layout of an input file: positions of its columns, and encoding."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from common import parquet
from common.errors import DataError, disk_errors
from common.progress import progress
from components.movielens_example_gen.parsing import lines, parse
from components.movielens_example_gen.sources import releases


@contextlib.contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """Open a file of any of Beam's file systems for reading, without decompression.

    Raises:
      DataError: it cannot be opened.
    """
    with disk_errors(pathlib.Path(path)):
        opened = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    with opened as handle:
        yield handle


def of_text(handle: BinaryIO, path: str, table: releases.Table) -> parse.Layout:
    """Find a table's columns in a text file, and its encoding; report an unusual form.

    Raises:
      DataError: the header lacks a column, or the file has another form.
    """
    first = handle.readline(1 << 20)
    noticed = ["it begins with a byte-order mark"] if first.startswith(lines.BYTE_ORDER_MARK) else []
    if table.header:
        try:
            layout = parse.header_layout(table, first.rstrip(b"\r\n"))
        except ValueError as error:
            raise DataError(f"{path}: {error}.") from error
    else:
        layout = parse.fixed_layout(table)
        if table.encoding == releases.LATIN_1 and _is_utf_8(first + handle.read()):
            layout = dataclasses.replace(layout, encoding="utf-8")
            noticed.append(f"it is in UTF-8, and the release's own file in {table.encoding}")
    if noticed:
        progress.info("%s: %s", path, "; ".join(noticed))
    return layout


def _is_utf_8(content: bytes) -> bool:
    # Only if a letter is not ASCII: ISO 8859-1 text with such a letter is next to never valid UTF-8.
    content = content.removeprefix(lines.BYTE_ORDER_MARK)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not content.isascii()


def of_parquet(handle: BinaryIO, path: str, table: releases.Table) -> tuple[parse.Layout, tuple[int, ...]]:
    """Find a table's columns in a Parquet file, and the number of rows of each of its row groups.

    Raises:
      DataError: a column is missing, or the file is empty or cannot be read.
    """
    with parquet_in_words(path):
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
def parquet_in_words(path: str) -> Iterator[None]:
    """Turn pyarrow's errors about a bad file into a DataError."""
    try:
        with parquet.in_words(path):
            yield
    except parquet.UnreadableError as error:
        raise DataError(f"{error}. Write it anew, or, if it is no data, move it elsewhere.") from error
