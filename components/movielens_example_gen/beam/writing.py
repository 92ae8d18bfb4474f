"""The Beam stages that write: a shard's rows to Examples, Examples to files.

The files are a function of the input alone: the user's hash chooses a row's shard, and the row's own hash its
position in the shard. So the files have equal content on every runner, and a shard's rows are well mixed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

from components.movielens_example_gen.beam.grouping import ORDERED
from components.movielens_example_gen.parsing import examples, history, quarantine, splits
from components.movielens_example_gen.parsing.catalogue import Catalogue
from components.movielens_example_gen.parsing.users import User
from modules import features

# Rows that are unpacked at once, with their histories.
_BLOCK = 2_000

# Files that a shard of train is cut into, at most.
_CUTS = 8

# One user's rows: (User fields, those of train and those of eval as ORDERED bytes).
Divided = tuple[tuple, bytes, bytes]

# One user's rows of one split: (User fields, slice of the user's activity, ORDERED bytes, rows for histories
# as ORDERED bytes, and how many of these are of train, which come first).
Entry = tuple[tuple, str, bytes, bytes, int]


def write_records(folder: str, number: int, files: int, records: Iterable[bytes]) -> None:
    """Write one gzip TFRecord file of a split, named as TFX names its files."""
    path = FileSystems.join(folder, f"data_tfrecord-{number:05d}-of-{files:05d}.gz")
    # Twice as fast as the default level for a few per cent more bytes.
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=3)
    with tf.io.TFRecordWriter(path, options) as writer:
        for record in records:
            writer.write(record)


def write_shard(
    element: tuple[int, Sequence[Divided]],
    catalogue: Catalogue,
    title_counts: Mapping[int, int],
    folders: Mapping[str, str],
    shards: int,
    history_length: int,
    rolling: bool,
) -> None:
    """Write one shard of each split's Examples, in the order of their hashes.

    A user's rows stay together, because each needs the rows before it, and they stay packed until they are
    written: as Examples they would be ten times as large, with histories fifty times.

    A shard of train is cut into several files, and the first files of all shards come before the second ones.
    So a program that reads the files in order gets a user's rows at several times, and not all at once.

    Args:
      title_counts: train rows by index of the candidate; a missing index means none.
      folders: folder of each split.
      shards: number of shards of each split.
      history_length: ratings in a row's history, at most; in train never more than TRAIN_HISTORY_LENGTH.
      rolling: whether eval rows, which are then later than the user's train rows, count in histories.
    """
    shard, users = element
    for split, length, cuts in (
        (features.TRAIN_SPLIT, min(history_length, features.TRAIN_HISTORY_LENGTH), min(shards, _CUTS)),
        (features.EVAL_SPLIT, history_length, 1),
    ):
        entries = list(_entries(users, split, rolling))
        if not entries:
            continue
        rows = np.frombuffer(b"".join(packed for _, _, packed, *_ in entries), ORDERED)
        columns = _row_columns(catalogue, title_counts, entries, rows, length, split == features.EVAL_SPLIT)
        # Equal hashes are next to impossible; the time and the film then decide.
        order = np.lexsort((rows["movie"], rows["timestamp"], rows["order"]))
        for cut, part in enumerate(np.array_split(order, cuts)):
            if len(part):
                records = _serialised(columns, part)
                write_records(folders[split], cut * shards + shard, cuts * shards, records)


def _entries(users: Iterable[Divided], split: str, rolling: bool) -> Iterator[Entry]:
    for user, train, held_out in users:
        rows = train if split == features.TRAIN_SPLIT else held_out
        if rows:
            of_train = len(train) // ORDERED.itemsize
            activity = splits.level(of_train, splits.USER_ACTIVITY_LEVELS)
            yield user, activity, rows, train + held_out if rolling else train, of_train


def _serialised(columns: Callable[[np.ndarray], examples.Columns], part: np.ndarray) -> Iterator[bytes]:
    for start in range(0, len(part), _BLOCK):
        yield from examples.serialised(columns(part[start : start + _BLOCK]))


def _row_columns(
    catalogue: Catalogue,
    title_counts: Mapping[int, int],
    entries: Sequence[Entry],
    rows: np.ndarray,
    length: int,
    evaluated: bool,
) -> Callable[[np.ndarray], examples.Columns]:
    # Returns a function from positions among the entries' rows to the columns of their Examples.
    users, activities, packed, *_ = zip(*entries, strict=True)
    user_columns = examples.user_columns([User(*user) for user in users], activities)
    user_of = np.repeat(np.arange(len(users)), [len(ratings) // ORDERED.itemsize for ratings in packed])
    counts = (title_counts.get(candidate, 0) for candidate in range(len(catalogue.candidates)))
    popularity = [splits.level(count, splits.TITLE_POPULARITY_LEVELS) for count in counts]
    movie_columns = examples.movie_columns(catalogue.candidates)
    movie_columns |= examples.columns({features.TITLE_POPULARITY: popularity})
    candidate_of = np.array(catalogue.candidate_of)
    titles, ids = (
        movie_columns[name].flatten().take(pa.array(candidate_of))
        for name in (features.MOVIE_TITLE, features.MOVIE_ID)
    )
    history_columns = _history_columns(titles, ids, entries, length, evaluated)

    def columns(block: np.ndarray) -> examples.Columns:
        ratings = rows[block]
        return {
            **examples.select(user_columns, user_of[block]),
            **examples.select(movie_columns, candidate_of[ratings["movie"]]),
            **examples.columns(
                {features.RATING: ratings["rating"], features.TIMESTAMP: ratings["timestamp"]}
            ),
            **history_columns(block),
        }

    return columns


def _history_columns(
    titles: pa.Array, ids: pa.Array, entries: Sequence[Entry], length: int, evaluated: bool
) -> Callable[[np.ndarray], examples.Columns]:
    # Returns a function from positions among the entries' rows to the columns of their histories, of their
    # visits, and of the candidates to exclude. For rows that are evaluated these candidates are the titles
    # that the user rated in train or earlier. Titles and ids are those of Catalogue.ids.
    known = np.frombuffer(b"".join(past for *_, past, _ in entries), ORDERED)
    runs, visits, base = [], [], 0
    for _, _, packed, past, of_train in entries:
        rated, earlier = np.frombuffer(packed, ORDERED), np.frombuffer(past, ORDERED)
        first, last = history.spans(earlier["timestamp"], rated["timestamp"], length)
        visits.append(history.visits(earlier["timestamp"], rated["timestamp"]))
        none = np.zeros_like(last)
        excluded = np.maximum(of_train, last) if evaluated else none
        runs.append(base + np.array((first, last, none, excluded)))
        base += len(earlier)
    starts, stops, excluded_starts, excluded_stops = np.concatenate(runs, axis=1)
    visit = np.concatenate(visits)

    def columns(block: np.ndarray) -> examples.Columns:
        positions, bounds = history.latest_first(starts[block], stops[block])
        past = known[positions]
        columns = {
            features.HISTORY_TITLE: examples.lists(titles.take(pa.array(past["movie"])), bounds),
            features.HISTORY_RATING: examples.lists(pa.array(past["rating"]), bounds),
            features.HISTORY_TIMESTAMP: examples.lists(pa.array(past["timestamp"], pa.int64()), bounds),
        }
        positions, bounds = history.earliest_first(excluded_starts[block], excluded_stops[block])
        excluded = ids.take(pa.array(known["movie"][positions]))
        columns[features.EXCLUDE_ID] = examples.lists(excluded, bounds)
        return columns | examples.columns({features.VISIT: visit[block]})

    return columns


def write_catalogue(catalogue: Catalogue, folder: str) -> None:
    """Write the candidates as Examples, in one file."""
    write_records(folder, 0, 1, examples.serialised(examples.movie_columns(catalogue.candidates)))


def write_counts(counts: Counter[str], folder: str) -> None:
    """Write the counts beside the bad rows."""
    with FileSystems.create(FileSystems.join(folder, quarantine.COUNTS_FILE)) as handle:
        handle.write(json.dumps(counts, indent=1, sort_keys=True).encode())
