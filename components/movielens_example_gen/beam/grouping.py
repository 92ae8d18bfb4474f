"""The Beam stages on one user's rows: order, duplicates, train or eval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np

from components.movielens_example_gen.beam.reading import COUNTS, PACKED
from components.movielens_example_gen.config import GIVEN, SPAN, TIME, DataConfig
from components.movielens_example_gen.parsing import history, splits
from components.movielens_example_gen.parsing.catalogue import Catalogue
from components.movielens_example_gen.parsing.users import User

# Tag of the output that holds a Counter of candidates' indices.
TRAIN_TITLES = "train_titles"

# A packed rating with its hashes: one decides the split, one the order in the output.
HASHED = np.dtype([*PACKED.descr, ("hash", "<u8"), ("order", "<u8")])


class PrepareUser(beam.DoFn):
    """Put all rows of one user in order and drop exact duplicates: (User fields, HASHED bytes).

    Of rows that occur twice in the input (same user, movie id, rating and second) one stays; if a given split
    has the row in both train and eval, it stays in train. Rows are in order of time; those of one second by
    ascending movie id, then rating.
    """

    def __init__(self, seed: int):
        self._seed = seed

    def process(self, element: tuple[str, Mapping[str, Any]], catalogue: Catalogue) -> Iterator[Any]:
        user_id, joined = element
        packed = np.frombuffer(b"".join(joined["ratings"]), PACKED)
        if packed.size:  # Else a user of the users file without ratings.
            yield from self._prepare(user_id, packed, catalogue, joined.get("users", ()))

    def _prepare(
        self, user_id: str, packed: np.ndarray, catalogue: Catalogue, users: Iterable[tuple]
    ) -> Iterator[Any]:
        order = np.lexsort((packed["eval"], packed["rating"], packed["movie"], packed["timestamp"]))
        packed = packed[order]
        identity = packed[["movie", "rating", "timestamp"]]
        packed = packed[np.concatenate(([True], identity[1:] != identity[:-1]))]
        rows = np.empty(len(packed), HASHED)
        for name in PACKED.names or ():
            rows[name] = packed[name]
        hashes = [
            splits.row_hash(user_id, catalogue.ids[movie], rating, seconds, self._seed)
            for movie, rating, seconds, _ in packed.tolist()
        ]
        rows["hash"], rows["order"] = np.array(hashes, np.uint64).T
        user = next(iter(users), tuple(User(user_id)))
        yield user, rows.tobytes()
        yield beam.pvalue.TaggedOutput(COUNTS, Counter(users=1, duplicates=len(order) - len(rows)))


class SplitUser(beam.DoFn):
    """Divide one user's rows: (User fields, train rows, eval rows, KNOWN rows), train titles and the counts.

    A row of the newest span that is not later than the user's row of another span came late, and is a train
    row.

    The KNOWN rows, in order of time and, within a second, of titles, count in the history of every later row.
    They are the train rows; if a split by time is rolling, they are all rows, since no eval row of a user is
    earlier than a train row.
    """

    def __init__(self, config: DataConfig):
        self._method = config.split.method
        self._rolling = config.split.method in (TIME, SPAN) and config.split.rolling
        self._limit = splits.hash_limit(config.split.eval_share)

    def process(self, element: tuple[tuple, bytes], catalogue: Catalogue, cut: int | None) -> Iterator[Any]:
        user, packed = element
        rows = np.frombuffer(packed, HASHED)
        if self._method == TIME:
            in_eval = rows["timestamp"] >= cut
        elif self._method == GIVEN:
            in_eval = rows["eval"] == 1
        elif self._method == SPAN:
            in_eval = rows["eval"] == 1
            in_eval &= rows["timestamp"] > rows["timestamp"][~in_eval].max(initial=-1)
        else:
            in_eval = rows["hash"] < np.uint64(self._limit)
        train = rows[~in_eval]
        known = _in_order(rows if self._rolling else train, catalogue)
        yield user, train.tobytes(), rows[in_eval].tobytes(), known.tobytes()
        candidates = map(catalogue.candidate_of.__getitem__, train["movie"].tolist())
        yield beam.pvalue.TaggedOutput(TRAIN_TITLES, Counter(candidates))
        yield beam.pvalue.TaggedOutput(
            COUNTS, Counter(train_rows=len(train), eval_rows=len(rows) - len(train))
        )


def _in_order(rows: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    # Within a second by title, so that a program that has only the titles finds the same latest ones.
    titles = [catalogue.candidates[catalogue.candidate_of[movie]].title for movie in rows["movie"].tolist()]
    title_rank = np.unique(np.array([title.encode() for title in titles], object), return_inverse=True)[1]
    order = np.lexsort((title_rank, rows["timestamp"]))
    return rows[order][list(history.KNOWN.names or ())].astype(history.KNOWN)


def days(element: tuple[tuple, bytes]) -> Counter[int]:
    """Count one user's rows by day since 1970."""
    return Counter((np.frombuffer(element[1], HASHED)["timestamp"] // splits.DAY).tolist())


def find_day(histogram: Mapping[int, int], eval_share: float) -> tuple[int, int]:
    """Find the day of the cut, and the rest of the quota on this day; (0, 0) if there are no rows."""
    rows = sum(histogram.values())
    return splits.cut_bin(histogram, splits.train_quota(rows, eval_share)) if rows else (0, 0)


def seconds_of_day(element: tuple[tuple, bytes], target: tuple[int, int]) -> Counter[int]:
    """Count one user's rows by second, on the day of the cut alone."""
    seconds = np.frombuffer(element[1], HASHED)["timestamp"]
    return Counter(seconds[seconds // splits.DAY == target[0]].tolist())


def find_second(histogram: Mapping[int, int], target: tuple[int, int]) -> int:
    """Find the first second of eval; 0 if there are no rows."""
    return splits.time_cut(histogram, target[1]) if histogram else 0
