"""Whether a ratings file holds rows at all: pure, and without Beam, for the scheduler."""

from __future__ import annotations

from typing import BinaryIO

from common import parquet
from components.movielens_example_gen.parsing import lines
from components.movielens_example_gen.sources import parts

# Bytes of a header, and of blank space before the first row, at most.
_HEADER, _BLANK = 1 << 20, 1 << 16


def has_rows(handle: BinaryIO, name: str, header: bool) -> bool:
    r"""Look for a first row.

    Args:
      handle: at the start of the file.
      name: of the file.
      header: whether the first line of a text file is a header.
    Returns:
      True also for a file that is not Parquet in spite of its name: the ExampleGen then names the fault.

    >>> import io
    >>> [has_rows(io.BytesIO(text), "u.csv", header=True) for text in (b"", b"id\n", b"id\n7\n")]
    [False, False, True]
    >>> has_rows(io.BytesIO(b""), "u.parquet", header=False)
    False
    """
    if not handle.read(1):
        return False
    handle.seek(0)
    if parts.is_parquet(name):
        try:
            with parquet.in_words(name):
                return parquet.ParquetFile(handle).metadata.num_rows > 0
        except parquet.UnreadableError:
            return True
    if header:
        handle.readline(_HEADER)
    return not lines.is_blank(handle.read(_BLANK).removeprefix(lines.BYTE_ORDER_MARK))
