"""A release of MovieLens as arrays, and its random split. NumPy only: read by benchmarks and baselines."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shutil

import numpy as np

from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.fetching import fetch
from components.movielens_example_gen.parsing.catalogue import Movie, build_catalogue, title_year
from components.movielens_example_gen.sources.releases import RELEASES, Release, Table

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
    """

    users: np.ndarray
    titles: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    user_ids: np.ndarray
    title_names: np.ndarray

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
    """Read the ratings and the titles of a release without headers: ml-100k, ml-1m, ml-10m."""
    user_ids, movie_ids, values, seconds = zip(*table_rows(folder, release.ratings), strict=True)
    title_of = candidate_titles(folder, release)
    known_users, users = np.unique(user_ids, return_inverse=True)
    # Every title of the catalogue is a candidate, rated or not.
    names = np.unique(list(title_of.values()))
    titles = np.searchsorted(names, [title_of[movie_id] for movie_id in movie_ids])
    ratings, times = np.array(values, np.float64), np.array(seconds, np.int64)
    return Ratings(users, titles, ratings, times, known_users, names)


def table_rows(folder: pathlib.Path, table: Table) -> list[list[str]]:
    """Read the columns of every row of a file without a header."""
    lines = (folder / table.names[0]).read_bytes().decode(table.encoding).split("\n")
    return [line.rstrip("\r").split(table.separator) for line in lines if line]


def movie_titles(folder: pathlib.Path, release: Release = ML_100K) -> dict[str, str]:
    """Read the title of every movie id; some titles have two ids."""
    return {row[0]: row[1] for row in table_rows(folder, release.movies)}


def candidate_titles(folder: pathlib.Path, release: Release = ML_100K) -> dict[str, str]:
    """Return the title of every movie id's candidate, as MovieLensExampleGen names it."""
    titles = movie_titles(folder, release)
    movies = [Movie(movie_id, title, (), title_year(title)) for movie_id, title in titles.items()]
    catalogue = build_catalogue(movies, release.merge_titles)
    indices = zip(catalogue.ids, catalogue.candidate_of, strict=True)
    return {movie_id: catalogue.candidates[index].title for movie_id, index in indices}


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
