"""Parquet files that are damaged or hold code: each is named, with the remedy, wherever its reading fails."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pyarrow
import pytest

from common import parquet
from common.errors import DataError
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.sources import emptiness, files, rows
from tests.helpers import planted_parquet

COLUMNS = ("movieId", "title", "genres")
MOVIES: dict[str, list] = {"movieId": [1, 2], "title": ["A (1990)", "B (1991)"], "genres": ["Drama", ""]}


def _attack(path: pathlib.Path) -> None:
    planted_parquet.attack(path, MOVIES, path.with_name("made"))


def _broken_pickle(path: pathlib.Path) -> None:
    planted_parquet.plant(path, MOVIES, b"junk")


def _cut(path: pathlib.Path) -> None:
    parquet.write_table(pyarrow.table(MOVIES), path)
    path.write_bytes(path.read_bytes()[:-40])


def _name_not_utf_8(path: pathlib.Path) -> None:
    parquet.write_table(pyarrow.table(MOVIES), path)
    path.write_bytes(path.read_bytes().replace(b"genres", b"genre\xff"))


def _damaged_page(path: pathlib.Path) -> None:
    parquet.write_table(pyarrow.table(MOVIES), path)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 60 + content[64:])


def _no_such_date(path: pathlib.Path) -> None:
    dates = pyarrow.array([2**62, 1]).view(pyarrow.timestamp("us"))
    parquet.write_table(pyarrow.table({**MOVIES, "title": dates}), path)


@pytest.mark.parametrize(
    "write", [_attack, _broken_pickle, _cut, _name_not_utf_8, _damaged_page, _no_such_date]
)
def test_it_is_named(tmp_path: pathlib.Path, write: Callable[[pathlib.Path], None]) -> None:
    path = tmp_path / "movies.parquet"
    write(path)
    (tmp_path / "ratings.csv").write_bytes(b"userId,movieId,rating,timestamp\n1,1,5,0\n")
    remedy = r"Write it anew, or, if it is no data, move it elsewhere\."
    words = rf"^{path} must be a Parquet file that can be read: [^\n]+[^.:]\. {remedy}$"
    with pytest.raises(DataError, match=words):
        (movies,) = files.find_inputs(str(tmp_path), DataConfig(release="custom")).movies
        list(rows.read_table(movies, COLUMNS))
    assert not (tmp_path / "made").exists()
    with open(path, "rb") as file:
        assert emptiness.has_rows(file, path.name, header=False), "who reads it is to say so"
