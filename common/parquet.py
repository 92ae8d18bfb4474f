"""Read Parquet without running code in it; no other file of the project imports pyarrow.parquet.

The type of a column can be pickled Python, which pyarrow 10 runs as soon as it reads the schema
(CVE-2023-47248). Once pyarrow_hotfix is imported, pyarrow raises an error there.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow
import pyarrow_hotfix  # noqa: F401, the import is what changes pyarrow
from pyarrow.parquet import ParquetFile, write_table

__all__ = ["ParquetFile", "UnreadableError", "in_words", "read_table", "write_table"]

# RuntimeError: pickled Python. ValueError: broken pickled Python, or text that is not UTF-8.
# OverflowError: a date that Python does not have.
_OF_BAD_FILES = (pyarrow.ArrowException, OSError, ValueError, RuntimeError, OverflowError)


class UnreadableError(ValueError):
    """A file that cannot be read as Parquet; the message names it and the reason, in one line."""


def read_table(source: str | pathlib.Path | BinaryIO, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Read a file as a whole, or some of its columns.

    pyarrow's own read_table reads the schema in another thread, which now and then aborts the process after
    the hotfix's error.
    """
    return ParquetFile(source).read(columns=None if columns is None else list(columns))


@contextlib.contextmanager
def in_words(name: str) -> Iterator[None]:
    """Turn pyarrow's errors about a bad file into one error.

    Args:
      name: of the file.

    Raises:
      UnreadableError: the file is damaged, is not Parquet, or holds pickled Python.
    """
    try:
        yield
    except _OF_BAD_FILES as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise UnreadableError(f"{name} must be a Parquet file that can be read: {reason}") from error
