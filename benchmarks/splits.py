"""The protocols of the quality benchmark: the train rows, the evaluated rows, and what a query then knows."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import protocol
from benchmarks.protocol import Ratings
from common.errors import DataError
from components.movielens_example_gen.parsing import history, splits
from components.movielens_example_gen.sources.releases import Release

RANDOM, OFFICIAL, TIME, LEAVE_ONE_OUT = "random", "u", "time", "leave-one-out"
PROTOCOLS = (RANDOM, OFFICIAL, TIME, LEAVE_ONE_OUT)
# The rows of its user that a query knows: the train rows, or all rows that are strictly earlier than itself.
STATIC, ROLLING = "static", "rolling"

SEEDS = (42, 1, 2)
_FOLDS = ("u1", "u2", "u3", "u4", "u5")
_BLOCK = 2048

COLD = "cold"
# Of cold users' rows, by how many of the user's rows are earlier: (at least, name).
_EARLIER = ((0, "cold, 0 earlier"), (1, "cold, 1-4"), (5, "cold, 5-19"), (20, "cold, 20+"))
COLD_GROUPS = (COLD, *(name for _, name in _EARLIER))


class Split(NamedTuple):
    """One division of the rows.

    Attributes:
      protocol: one of PROTOCOLS.
      name: which of the protocol's splits.
      seed: of what is random in the models; on RANDOM also of the split.
      train: row numbers.
      held_out: row numbers.
    """

    protocol: str
    name: str
    seed: int
    train: np.ndarray
    held_out: np.ndarray

    @property
    def views(self) -> tuple[str, ...]:
        """Views with which the split is evaluated: ROLLING if the held-out rows come last."""
        return {TIME: (STATIC, ROLLING), LEAVE_ONE_OUT: (ROLLING,)}.get(self.protocol, (STATIC,))


def of_protocol(
    name: str, folder: pathlib.Path, release: Release, ratings: Ratings, seeds: Sequence[int]
) -> Iterator[Split]:
    """Yield the splits of a protocol; none of OFFICIAL where the folder has not got its files.

    Raises:
      DataError: the official files do not divide the release's rows.
    """
    if name == RANDOM:
        for seed in seeds:
            yield Split(RANDOM, f"seed {seed}", seed, *protocol.random_split(len(ratings), seed))
    elif name == TIME:
        for seed in seeds:
            yield Split(TIME, f"seed {seed}", seed, *time_cut(ratings.times))
    elif name == LEAVE_ONE_OUT:
        for seed in seeds:
            yield Split(LEAVE_ONE_OUT, f"seed {seed}", seed, *leave_one_out(ratings))
    else:
        for fold in _FOLDS:
            if (folder / f"{fold}.base").is_file() and (folder / f"{fold}.test").is_file():
                yield Split(OFFICIAL, fold, seeds[0], *official_split(folder, release, fold))


def time_cut(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows as MovieLensExampleGen does with the method `time`.

    Returns:
      Row numbers before the cut, at least four fifths since rows of one second stay together, and after it.

    >>> [rows.tolist() for rows in time_cut(np.array([5, 1, 4, 4, 9]))]
    [[0, 1, 2, 3], [4]]
    """
    quota = splits.train_quota(len(times), round(1 - protocol.TRAIN_SHARE, 9))
    late = times > np.sort(times)[quota - 1]
    return np.flatnonzero(~late), np.flatnonzero(late)


def leave_one_out(ratings: Ratings) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows by whether they are their user's last: in time, and within a second in the file.

    Returns:
      Row numbers of all others, and of the last ones by user.
    """
    order = np.lexsort((ratings.times, ratings.users))
    of_user = ratings.users[order]
    is_last = np.append(of_user[1:] != of_user[:-1], len(order) > 0)[: len(order)]
    return np.sort(order[~is_last]), order[is_last]


def official_split(folder: pathlib.Path, release: Release, fold: str) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows of `u1.base`, `u1.test` and their like among those of the ratings file.

    Raises:
      DataError: the two do not divide the rows of the ratings file.
    """
    rows = protocol.table_rows(folder, release.ratings)
    row_of = {tuple(row): number for number, row in enumerate(rows)}
    parts = []
    for end in ("base", "test"):
        table = dataclasses.replace(release.ratings, names=(f"{fold}.{end}",))
        parts.append([row_of.get(tuple(row), -1) for row in protocol.table_rows(folder, table)])
    if sorted(parts[0] + parts[1]) != list(range(len(rows))):
        raise DataError(
            f"{fold}.base and {fold}.test in {folder} must together hold each row of "
            f"{release.ratings.names[0]} once; they do not. Unpack the published archive anew."
        )
    return np.array(parts[0]), np.array(parts[1])


@dataclasses.dataclass(frozen=True)
class Queries:
    """Rows on which a model is evaluated, and the rows of its user that each query may know.

    Attributes:
      rows: the rows themselves; their titles and ratings are the labels.
      pool: rows that may be known, by user, then time.
      starts, stops: `[rows]` each query knows the rows from `starts` to before `stops` of the pool.
      rated: `[rows]` the titles of the rows from `starts` to before `rated` of the pool are no candidates.
    """

    rows: Ratings
    pool: Ratings
    starts: np.ndarray
    stops: np.ndarray
    rated: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def blocks(self) -> Iterator[slice]:
        """Cut the rows into blocks of which a matrix over all titles is held in memory."""
        return (slice(start, start + _BLOCK) for start in range(0, len(self), _BLOCK))

    def known(self, block: slice) -> tuple[np.ndarray, np.ndarray]:
        """Lay what the queries of a block know end to end, by query, then time.

        Returns:
          `[known]` number of the query within the block; `[known]` row of the pool.
        """
        return _end_to_end(self.starts[block], self.stops[block])

    def excluded(self, block: slice) -> tuple[np.ndarray, np.ndarray]:
        """Lay the rows whose titles are no candidates end to end, as `known` does."""
        return _end_to_end(self.starts[block], self.rated[block])

    def causal(self) -> Queries:
        """Return the same queries, knowing only what is strictly earlier than they are."""
        return dataclasses.replace(
            self, stops=np.minimum(self.stops, _strictly_earlier(self.pool, self.rows))
        )


def _end_to_end(starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positions, bounds = history.earliest_first(starts, stops)
    return np.repeat(np.arange(len(starts)), np.diff(bounds)), positions


def queries(train: Ratings, held_out: Ratings, view: str) -> Queries:
    """Let held-out rows know what a view lets them know.

    Args:
      view: STATIC: all of the user's train rows. ROLLING: all of the user's strictly earlier rows, which
        is causal as it stands; no held-out row may be earlier than a train row of its user. What the user
        rated in train is no candidate, even if it is of the query's own second and so not known.
    """
    if view == STATIC:
        pool = by_user(train)
        starts, stops = (np.searchsorted(pool.users, held_out.users, side) for side in ("left", "right"))
        return Queries(held_out, pool, starts, stops, stops)
    # Within a second train rows stay first.
    pool = by_user(
        dataclasses.replace(
            train,
            **{
                field: np.concatenate([getattr(train, field), getattr(held_out, field)])
                for field in ("users", "titles", "ratings", "times")
            },
        )
    )
    starts = np.searchsorted(pool.users, held_out.users, "left")
    stops = _strictly_earlier(pool, held_out)
    of_train = np.bincount(train.users, minlength=len(train.user_ids))[held_out.users]
    return Queries(held_out, pool, starts, stops, np.maximum(stops, starts + of_train))


def by_user(rows: Ratings) -> Ratings:
    """Sort rows by user, then time."""
    return rows.take(np.lexsort((rows.times, rows.users)))


def _strictly_earlier(pool: Ratings, rows: Ratings) -> np.ndarray:
    # User and second in one number, so that one search finds both; the pool is in this order.
    base = int(max(pool.times.max(initial=0), rows.times.max(initial=0))) + 1
    return np.searchsorted(pool.users * base + pool.times, rows.users * base + rows.times, side="left")


def visits(queries: Queries) -> np.ndarray:
    """Name the visit of each row by what the query knows, as MovieLensExampleGen does.

    Returns:
      `[rows]` one of features.VISITS.
    """
    rows, pool = queries.rows, queries.pool
    result = np.empty(len(rows), object)
    for user in np.unique(rows.users):
        start, stop = np.searchsorted(pool.users, [user, user + 1])
        own = rows.users == user
        result[own] = history.visits(pool.times[start:stop], rows.times[own])
    return result


def cold_start(
    ratings: Ratings, train: Ratings, users: np.ndarray, times: np.ndarray
) -> dict[str, np.ndarray]:
    """Say of held-out rows which of COLD_GROUPS they belong to.

    Args:
      ratings: all rows.
      train: those of train.
      users, times: of the held-out rows, in any order.
    Returns:
      `[rows]` booleans by group.
    """
    evaluated = dataclasses.replace(ratings, users=users, times=times)
    pool = by_user(ratings)
    earlier = _strictly_earlier(pool, evaluated) - np.searchsorted(pool.users, users, "left")
    cold = np.bincount(train.users, minlength=len(ratings.user_ids))[users] == 0
    level = np.searchsorted([least for least, _ in _EARLIER], earlier, side="right") - 1
    return {COLD: cold, **{name: cold & (level == number) for number, (_, name) in enumerate(_EARLIER)}}
