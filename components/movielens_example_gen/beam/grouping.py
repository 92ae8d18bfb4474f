"""The Beam stages on the rows of a shard's users: order, duplicates, train or eval.

A shard is one element from here on, so that each row is passed on once, in few bytes: a runner on one machine
keeps all that is grouped in memory, in several copies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from components.movielens_example_gen.beam.reading import COUNTS, PACKED
from components.movielens_example_gen.config import GIVEN, SPAN, TIME, DataConfig
from components.movielens_example_gen.parsing import splits
from components.movielens_example_gen.parsing.catalogue import Catalogue
from components.movielens_example_gen.parsing.users import User

# Tag of the output that holds a Counter of candidates' indices.
TRAIN_TITLES = "train_titles"

# A rating as it is written: as PACKED, with the hash that decides its position in the output.
ORDERED = np.dtype([("movie", "<i4"), ("rating", "<f4"), ("timestamp", "<i4"), ("order", "<u8")])

# A user's rows in a shard: (User fields, PACKED bytes).
Prepared = tuple[tuple, bytes]


class PrepareShard(beam.DoFn):
    """Put the rows of each user in order and drop exact duplicates: (shard, [Prepared]), and the counts.

    Of rows that occur twice in the input (same user, movie id, rating and second) one stays; if a given split
    has the row in both train and eval, it stays in train. Rows are in order of time; those of one second by
    ascending movie id, then rating.
    """

    def process(self, element: tuple[int, Mapping[str, Iterable[Any]]]) -> Iterator[Any]:
        shard, joined = element
        batches: defaultdict[str, list[bytes]] = defaultdict(list)
        for batch in joined["ratings"]:
            for user_id, packed in batch.items():
                batches[user_id].append(packed)
        fields = {User(*user).user_id: user for user in joined.get("users", ())}
        prepared: list[Prepared] = []
        read = kept = 0
        # A user of the users file without ratings is left out.
        for user_id, packed in batches.items():
            rows = np.frombuffer(b"".join(packed), PACKED)
            distinct = _distinct(rows)
            prepared.append((fields.get(user_id, tuple(User(user_id))), distinct.tobytes()))
            read, kept = read + len(rows), kept + len(distinct)
        yield shard, prepared
        yield beam.pvalue.TaggedOutput(COUNTS, Counter(users=len(prepared), duplicates=read - kept))


def _distinct(rows: np.ndarray) -> np.ndarray:
    # Returns one user's rows in order, each once.
    rows = rows[np.lexsort((rows["eval"], rows["rating"], rows["movie"], rows["timestamp"]))]
    identity = rows[["movie", "rating", "timestamp"]]
    return rows[np.concatenate(([True], identity[1:] != identity[:-1]))]


class SplitShard(beam.DoFn):
    """Divide each user's rows: (shard, [(User fields, train rows, eval rows)]), train titles and the counts.

    A row of the newest span that is not later than the user's row of another span came late, and is a train
    row. Rows are ORDERED bytes, in order of time and, within a second, of titles.
    """

    def __init__(self, config: DataConfig):
        self._method = config.split.method
        self._seed = config.split.seed
        self._limit = splits.hash_limit(config.split.eval_share)

    def process(
        self, element: tuple[int, Sequence[Prepared]], catalogue: Catalogue, cut: int | None
    ) -> Iterator[Any]:
        shard, users = element
        divided = []
        titles: Counter[int] = Counter()
        counts: Counter[str] = Counter()
        for user, packed in users:
            rows = _by_title(np.frombuffer(packed, PACKED), catalogue)
            hashes, ordered = _hashed(User(*user).user_id, rows, catalogue, self._seed)
            in_eval = self._in_eval(rows, hashes, cut)
            train, held_out = ordered[~in_eval], ordered[in_eval]
            divided.append((user, train.tobytes(), held_out.tobytes()))
            titles.update(map(catalogue.candidate_of.__getitem__, train["movie"].tolist()))
            counts.update(train_rows=len(train), eval_rows=len(held_out))
        yield shard, divided
        yield beam.pvalue.TaggedOutput(TRAIN_TITLES, titles)
        yield beam.pvalue.TaggedOutput(COUNTS, counts)

    def _in_eval(self, rows: np.ndarray, hashes: np.ndarray, cut: int | None) -> np.ndarray:
        if self._method == TIME:
            return rows["timestamp"] >= cut
        in_eval = rows["eval"] == 1
        if self._method == GIVEN:
            return in_eval
        if self._method == SPAN:
            return in_eval & (rows["timestamp"] > rows["timestamp"][~in_eval].max(initial=-1))
        return hashes < np.uint64(self._limit)


def _by_title(rows: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    # Within a second by title, so that a program that has only the titles finds the same latest ones.
    titles = [catalogue.candidates[catalogue.candidate_of[movie]].title for movie in rows["movie"].tolist()]
    title_rank = np.unique(np.array([title.encode() for title in titles], object), return_inverse=True)[1]
    return rows[np.lexsort((title_rank, rows["timestamp"]))]


def _hashed(user_id: str, rows: np.ndarray, catalogue: Catalogue, seed: int) -> tuple[np.ndarray, np.ndarray]:
    # Returns the hashes that decide the splits, and the rows as ORDERED.
    ordered = np.empty(len(rows), ORDERED)
    for name in ("movie", "rating", "timestamp"):
        ordered[name] = rows[name]
    hashes = [
        splits.row_hash(user_id, catalogue.ids[movie], rating, seconds, seed)
        for movie, rating, seconds, _ in rows.tolist()
    ]
    of_split, ordered["order"] = np.array(hashes, np.uint64).T
    return of_split, ordered


def days(element: tuple[int, Sequence[Prepared]]) -> Counter[int]:
    """Count a shard's rows by day since 1970."""
    return Counter((_seconds(element[1]) // splits.DAY).tolist())


def find_day(histogram: Mapping[int, int], eval_share: float) -> tuple[int, int]:
    """Find the day of the cut, and the rest of the quota on this day; (0, 0) if there are no rows."""
    rows = sum(histogram.values())
    return splits.cut_bin(histogram, splits.train_quota(rows, eval_share)) if rows else (0, 0)


def seconds_of_day(element: tuple[int, Sequence[Prepared]], target: tuple[int, int]) -> Counter[int]:
    """Count a shard's rows by second, on the day of the cut alone."""
    seconds = _seconds(element[1])
    return Counter(seconds[seconds // splits.DAY == target[0]].tolist())


def _seconds(users: Sequence[Prepared]) -> np.ndarray:
    return np.frombuffer(b"".join(packed for _, packed in users), PACKED)["timestamp"]


def find_second(histogram: Mapping[int, int], target: tuple[int, int]) -> int:
    """Find the first second of eval; 0 if there are no rows."""
    return splits.time_cut(histogram, target[1]) if histogram else 0
