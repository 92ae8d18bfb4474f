"""MovieLens 100K as arrays, and its random split. NumPy only: read by the benchmarks and by the baselines."""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import shutil

import numpy as np

from components.movielens_example_gen import fetch
from components.movielens_example_gen.config import DataConfig

TRAIN_SHARE = 0.8
_ENCODING = "iso-8859-1"
_SIDE_FILES = ("u.item", "u.user")


@dataclasses.dataclass(frozen=True)
class Ratings:
    """Rows of u.data, in its order or in that of a split.

    Attributes:
      users: `[rows]` index of the user.
      titles: `[rows]` index of the title.
      ratings: `[rows]` float64.
      user_ids: `[users]` text, sorted.
      title_names: `[titles]` text, sorted and unique: several movie ids of one title are one film.
    """

    users: np.ndarray
    titles: np.ndarray
    ratings: np.ndarray
    user_ids: np.ndarray
    title_names: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: np.ndarray) -> Ratings:
        """Return some rows, of the same users and titles."""
        return dataclasses.replace(
            self, users=self.users[rows], titles=self.titles[rows], ratings=self.ratings[rows]
        )


def add_data_flag(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where the data is."""
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        metavar="PATH",
        help="folder or zip of ml-100k (default: the cache, else it is fetched)",
    )


def find_data(data: pathlib.Path | None) -> pathlib.Path:
    """Return the folder of MovieLens 100K.

    Args:
      data: as the flag gave it.
    Raises:
      DataError: it is nowhere to be had.
    """
    return fetch.resolve_data(DataConfig(), data, fetch.default_cache_dir(os.environ))


def read(folder: pathlib.Path) -> Ratings:
    """Read u.data and the titles of u.item."""
    user_ids, movie_ids, values, _ = np.loadtxt(folder / "u.data", dtype=str, delimiter="\t", unpack=True)
    title_of = movie_titles(folder)
    known_users, users = np.unique(user_ids, return_inverse=True)
    # Every title of the catalogue is a candidate, rated or not.
    names = np.unique(list(title_of.values()))
    titles = np.searchsorted(names, [title_of[movie_id] for movie_id in movie_ids])
    return Ratings(users, titles, values.astype(np.float64), known_users, names)


def movie_titles(folder: pathlib.Path) -> dict[str, str]:
    """Read the title of every movie id from u.item; some titles have two ids."""
    lines = (folder / "u.item").read_text(_ENCODING).splitlines()
    return dict(line.split("|")[:2] for line in lines)


def random_split(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the rows of u.data.

    Returns:
      Row numbers of train, the first four fifths of the seed's permutation, and of eval.
    """
    order = np.random.RandomState(seed).permutation(rows)
    cut = int(TRAIN_SHARE * rows)
    return order[:cut], order[cut:]


def write_split(source: pathlib.Path, target: pathlib.Path, seed: int) -> None:
    """Write the split as MovieLensExampleGen reads it with the method `given`.

    Args:
      source: folder of MovieLens 100K.
      target: folder that gets `train/u.data`, `eval/u.data` and the files that are not divided.
      seed: of the split.
    """
    lines = (source / "u.data").read_bytes().splitlines(keepends=True)
    for name, rows in zip(("train", "eval"), random_split(len(lines), seed), strict=True):
        (target / name).mkdir(parents=True)
        (target / name / "u.data").write_bytes(b"".join(lines[row] for row in rows))
    for name in _SIDE_FILES:
        shutil.copy(source / name, target / name)
