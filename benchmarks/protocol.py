"""A release of MovieLens as arrays, and its random split. NumPy only: read by benchmarks and baselines."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from common.errors import DataError
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.fetching import fetch
from components.movielens_example_gen.parsing.catalogue import build_catalogue, parse_movie
from components.movielens_example_gen.parsing.parse import Fault, fixed_layout, select, split_line
from components.movielens_example_gen.sources.releases import RELEASES, Release, Table

_T = TypeVar("_T")

TRAIN_SHARE = 0.8
ML_100K = RELEASES["ml-100k"]


@dataclasses.dataclass(frozen=True)
class Ratings:
    """Rows of the ratings file, in its order or in that of a split.

    Attributes:
      users: `[rows]` index of the user.
      titles: `[rows]` index of the title.
      ratings: `[rows]` float64.
      times: `[rows]` seconds, int64.
      user_ids: `[users]` text, sorted.
      title_names: `[titles]` text, sorted and unique: in ml-100k several movie ids of one title are one film.
      genres: `[titles, genres]` whether a title is of a genre; genres sorted.
    """

    users: np.ndarray
    titles: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    user_ids: np.ndarray
    title_names: np.ndarray
    genres: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: np.ndarray) -> Ratings:
        """Return some rows, of the same users and titles."""
        return dataclasses.replace(
            self,
            users=self.users[rows],
            titles=self.titles[rows],
            ratings=self.ratings[rows],
            times=self.times[rows],
        )


def add_data_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name the data."""
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        metavar="PATH",
        help="folder or zip of ml-100k (default: the cache, else it is fetched)",
    )


def find_data(data: pathlib.Path | None, release: str = ML_100K.name) -> pathlib.Path:
    """Return the folder of a release.

    Args:
      data: as the flag gave it.
      release: its name.
    Raises:
      DataError: it is nowhere to be had.
    """
    return fetch.resolve_data(DataConfig(release=release), data)


def read(folder: pathlib.Path, release: Release = ML_100K) -> Ratings:
    """Read the ratings and the titles of a release without headers: ml-100k, ml-1m, ml-10m.

    Raises:
      DataError: a line is broken.
    """
    user_ids, movie_ids, values, seconds = zip(*table_rows(folder, release.ratings), strict=True)
    known_users, users = np.unique(user_ids, return_inverse=True)
    movies = _parsed(folder, release.movies, lambda row: parse_movie(row, release))
    catalogue = build_catalogue(movies, release.merge_titles)
    # Every title of the catalogue is a candidate, rated or not.
    candidates = sorted(catalogue.candidates, key=lambda candidate: candidate.title)
    names = np.array([candidate.title for candidate in candidates])
    title_of = {
        movie_id: catalogue.candidates[index].title
        for movie_id, index in zip(catalogue.ids, catalogue.candidate_of, strict=True)
    }
    titles = np.searchsorted(names, [title_of[movie_id] for movie_id in movie_ids])
    every = sorted({genre for candidate in candidates for genre in candidate.genres})
    genres = np.array([[genre in candidate.genres for genre in every] for candidate in candidates])
    ratings, times = np.array(values, np.float64), np.array(seconds, np.int64)
    return Ratings(users, titles, ratings, times, known_users, names, genres)


def table_rows(folder: pathlib.Path, table: Table) -> list[list[str]]:
    """Read the columns of every row of a file without a header.

    Raises:
      DataError: a line is broken.
    """
    return list(_parsed(folder, table, lambda row: row))


def _parsed(folder: pathlib.Path, table: Table, parse: Callable[[list[str]], _T | Fault]) -> Iterator[_T]:
    path, layout = folder / table.names[0], fixed_layout(table)
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if line:
            fields = split_line(line.rstrip(b"\r"), table.separator, table.encoding)
            row = fields if isinstance(fields, Fault) else select(fields, layout)
            parsed = row if isinstance(row, Fault) else parse(row)
            if isinstance(parsed, Fault):
                raise DataError(
                    f"{path}, line {number}: {parsed.reason}. Correct the line, or unpack the published "
                    "archive anew."
                )
            yield parsed


def movie_titles(folder: pathlib.Path, release: Release = ML_100K) -> dict[str, str]:
    """Read the title of every movie id; some titles have two ids."""
    return {row[0]: row[1] for row in table_rows(folder, release.movies)}


def random_split(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the rows of the ratings file.

    Returns:
      Row numbers of train, the first four fifths of the seed's permutation, and of eval.
    """
    order = np.random.RandomState(seed).permutation(rows)
    cut = int(TRAIN_SHARE * rows)
    return order[:cut], order[cut:]


def write_split(
    source: pathlib.Path,
    target: pathlib.Path,
    parts: tuple[np.ndarray, np.ndarray],
    release: Release = ML_100K,
) -> None:
    """Write a split as MovieLensExampleGen reads it with the method `given`.

    Args:
      source: folder of the release.
      target: folder that gets `train/` and `eval/` with the ratings, and the files that are not divided.
      parts: row numbers of train and of eval.
      release: which.
    """
    name = release.ratings.names[0]
    lines = (source / name).read_bytes().splitlines(keepends=True)
    for part, rows in zip(("train", "eval"), parts, strict=True):
        (target / part).mkdir(parents=True)
        (target / part / name).write_bytes(b"".join(lines[row] for row in rows))
    for table in (release.movies, release.users):
        if table:
            shutil.copy(source / table.names[0], target / table.names[0])
