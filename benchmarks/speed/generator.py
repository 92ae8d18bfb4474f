"""Ratings in the shape of MovieLens, of any size: `ratings.csv` and `movies.csv` as in ml-25m.

Run it with `python -m benchmarks.speed.generator --ratings N --titles M --output DIR`; `--help` lists the
flags. No row is MovieLens'. What is planted:

- Activity of users and popularity of titles follow power laws. A user has MovieLens' twenty ratings or more.
- Users and titles have latent vectors. A user rates what is popular and to his or her taste, and rates it the
  higher the more it is to that taste; a title's genres are those nearest to its vector.
- A user rates in sessions: seconds between the ratings of one, days between two.

Users are drawn in blocks, each with random numbers of its own, and written block by block, so that memory
does not grow with the number of ratings. A larger file begins with the smaller one of the same seed and
titles.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

RATINGS_FILE, MOVIES_FILE = "ratings.csv", "movies.csv"
LEAST_TITLES = 50
GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Romance",
    "Thriller",
)

_BLOCK = 1000  # Users.
# Of a user: the fewest ratings, the exponent of the power law's tail, and the most as a share of all titles.
_FEWEST, _ACTIVITY_EXPONENT, _MOST_SHARE = 20, 1.25, 0.2
# A title's weight is (rank + offset) ** -exponent; the offset flattens the head, as films' is.
_POPULARITY_EXPONENT, _POPULARITY_OFFSET = 1.1, 20
_LATENT_DIM, _TASTE = 4, 3.0
_RATINGS_A_SESSION, _SECONDS_BETWEEN, _DAYS_OF_A_USER = 30, 20.0, 120.0
_DAY = 86_400
_FIRST, _LAST = 946_684_800, 1_546_300_800  # A user begins between 2000 and 2019, and ends within a year.


@dataclasses.dataclass(frozen=True)
class Titles:
    """The planted properties of the titles, in the order of their ids, which begin at 1.

    Attributes:
      cumulative: `[titles]` float64, the popularity of all titles up to one; the last is 1.
      vectors: `[titles, 4]` float64, unit length.
      quality: `[titles]` float64, stars above or below the mean.
      genres: `[titles, 2]` nearest genres, the nearest first.
      years: `[titles]` of release.
    """

    cumulative: np.ndarray
    vectors: np.ndarray
    quality: np.ndarray
    genres: np.ndarray
    years: np.ndarray

    def __len__(self) -> int:
        return len(self.years)


class Block(NamedTuple):
    """Ratings of some users, in the order of user and title: arrays of one length.

    Attributes:
      users, titles: ids, from 1.
      halves: stars times two, 1 to 10.
      seconds: since 1970.
    """

    users: np.ndarray
    titles: np.ndarray
    halves: np.ndarray
    seconds: np.ndarray


def make_titles(titles: int, seed: int) -> Titles:
    """Draw the catalogue.

    Args:
      titles: how many, 50 or more.
      seed: 0 or more.
    Raises:
      ValueError: there are fewer titles than that.
    """
    if titles < LEAST_TITLES:
        raise ValueError(f"titles must be {LEAST_TITLES} or more; received {titles}")
    rng = np.random.default_rng([seed, 0])
    weights = (1.0 + np.arange(titles) + _POPULARITY_OFFSET) ** -_POPULARITY_EXPONENT
    cumulative = np.cumsum(rng.permutation(weights) / weights.sum())
    vectors, centres = _unit(rng, titles), _unit(rng, len(GENRES))
    return Titles(
        cumulative=cumulative / cumulative[-1],
        vectors=vectors,
        quality=rng.normal(0, 0.4, titles),
        genres=np.argsort(-vectors @ centres.T, axis=1)[:, :2],
        years=rng.integers(1930, 2000, titles),
    )


def blocks(ratings: int, titles: Titles, seed: int) -> Iterator[Block]:
    """Yield exactly so many ratings, block by block.

    >>> [len(block.users) for block in blocks(30, make_titles(50, seed=1), seed=1)]
    [30]
    """
    first, left = 1, ratings
    while left > 0:
        block = _block(first, titles, np.random.default_rng([seed, first]))
        yield Block(*(column[:left] for column in block))
        first, left = first + _BLOCK, left - len(block.users)


def write(folder: pathlib.Path, ratings: int, titles: int, seed: int) -> None:
    """Write both files.

    Args:
      folder: made where it is not there.
      ratings, titles: how many.
      seed: the same one gives the same bytes.
    Raises:
      ValueError: a number is too low.
    """
    if ratings < 1:
        raise ValueError(f"ratings must be 1 or more; received {ratings}")
    catalogue = make_titles(titles, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / MOVIES_FILE, "w", encoding="utf-8", newline="") as file:
        file.write("movieId,title,genres\n")
        file.writelines(_movie_rows(catalogue))
    with open(folder / RATINGS_FILE, "w", encoding="ascii", newline="") as file:
        file.write("userId,movieId,rating,timestamp\n")
        stars = [str(halves / 2) for halves in range(11)]
        for users, movies, halves, seconds in blocks(ratings, catalogue, seed):
            columns = users.tolist(), movies.tolist(), [stars[half] for half in halves], seconds.tolist()
            file.writelines(map("%d,%d,%s,%d\n".__mod__, zip(*columns, strict=True)))


def _movie_rows(titles: Titles) -> Iterator[str]:
    for i, (year, genres) in enumerate(zip(titles.years, titles.genres, strict=True), 1):
        # With an article behind a comma, as MovieLens writes it, and so in quotes.
        name = f'"Generated Film {i}, The ({year})"' if i % 4 == 0 else f"Generated Film {i} ({year})"
        # A third of the titles has one genre.
        yield f"{i},{name},{'|'.join(GENRES[genre] for genre in genres[: 1 + (i % 3 > 0)])}\n"


def _block(first: int, titles: Titles, rng: np.random.Generator) -> Block:
    most = max(_FEWEST, int(_MOST_SHARE * len(titles)))
    tail = (1 - rng.random(_BLOCK)) ** (-1 / _ACTIVITY_EXPONENT)
    counts = np.minimum(_FEWEST * tail, min(most, len(titles) // 2)).astype(np.int64)
    vectors = _unit(rng, _BLOCK)
    users, rated = _choose(counts, vectors, titles, rng)
    taste = np.einsum("rd,rd->r", vectors[users], titles.vectors[rated])
    bias = rng.normal(0, 0.4, _BLOCK)
    stars = 2.9 + bias[users] + titles.quality[rated] + 1.2 * taste + rng.normal(0, 0.6, len(users))
    halves = np.clip(np.rint(2 * stars), 1, 10).astype(np.int64)
    seconds = _timestamps(users, counts, rng)
    order = np.lexsort((rated, users))
    return Block(first + users[order], 1 + rated[order], halves[order], seconds[order])


def _choose(
    counts: np.ndarray, vectors: np.ndarray, titles: Titles, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    # Draws by popularity, keeps by taste, until every user has as many distinct titles as counted. Returns
    # users, ascending, and their titles in the order in which they were drawn.
    keys, missing = np.empty(0, np.int64), counts
    while missing.any():
        asking = np.repeat(np.arange(len(counts)), np.where(missing > 0, 8 * missing + 8, 0))
        drawn = np.searchsorted(titles.cumulative, rng.random(len(asking)), side="right")
        taste = np.einsum("rd,rd->r", vectors[asking], titles.vectors[drawn])
        kept = rng.random(len(asking)) < np.exp(_TASTE * (taste - 1))
        keys = np.concatenate([keys, asking[kept] * len(titles) + drawn[kept]])
        keys = keys[np.sort(np.unique(keys, return_index=True)[1])]
        keys = keys[np.argsort(keys // len(titles), kind="stable")]
        users = keys // len(titles)
        keys = keys[_position(users) < counts[users]]
        missing = counts - np.bincount(keys // len(titles), minlength=len(counts))
    return keys // len(titles), keys % len(titles)


def _timestamps(users: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # Seconds since 1970 of each rating; a user's ascend.
    begins = _position(users) == 0
    pauses = (rng.random(len(users)) < 1 / _RATINGS_A_SESSION) & ~begins
    shares = np.where(pauses, rng.exponential(1.0, len(users)), 0.0)
    whole = np.bincount(users, weights=shares, minlength=len(counts))
    days = np.minimum(rng.exponential(_DAYS_OF_A_USER, len(counts)), 365)
    gaps = np.where(pauses, _DAY * (1 + days[users] * shares / np.maximum(whole[users], 1e-12)), 0.0)
    gaps += np.where(begins | pauses, 0.0, 1 + rng.exponential(_SECONDS_BETWEEN, len(users)))
    passed = np.cumsum(gaps)
    start = rng.uniform(_FIRST, _LAST, len(counts))
    return (start[users] + passed - passed[begins][users]).astype(np.int64)


def _position(users: np.ndarray) -> np.ndarray:
    # The position of each row among those of its user; users ascend.
    return np.arange(len(users)) - np.searchsorted(users, users)


def _unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    drawn = rng.normal(size=(rows, _LATENT_DIM))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description="Write ratings in the shape of MovieLens.")
    parser.add_argument("--ratings", type=int, required=True, help="how many rows")
    parser.add_argument("--titles", type=int, required=True, help=f"how many titles, from {LEAST_TITLES}")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for the two files")
    parser.add_argument("--seed", type=int, default=42, help="of all that is drawn (default: %(default)s)")
    options = parser.parse_args()
    try:
        write(options.output, options.ratings, options.titles, options.seed)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
