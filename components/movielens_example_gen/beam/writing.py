"""The Beam stages that write: one user's rows to Examples, Examples to files.

Everything written is a function of the input alone: a row goes to a shard by its user's hash and to a place
in it by its own, so the files are the same on every runner and the rows of a shard are well mixed.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

from components.movielens_example_gen.beam.grouping import HASHED
from components.movielens_example_gen.parsing import examples, history, quarantine, splits
from components.movielens_example_gen.parsing.catalogue import Catalogue
from components.movielens_example_gen.parsing.users import User
from modules import features

# Rows that are unpacked at once, with their histories.
_BLOCK = 2_000

# Files that a shard of train is cut into, at most.
_CUTS = 8

# One user's rows of one split: (User fields, slice of the user's activity, HASHED bytes, the rows that they
# know as KNOWN bytes, and how many of these are of train, which stand first).
Entry = tuple[tuple, str, bytes, bytes, int]


class ShardUser(beam.DoFn):
    """Send each split's rows of one user to one shard: ((split, shard), Entry).

    A user's rows stay together, for each needs the ones before it: apart, every row would take a history of
    its own along. They stay packed until they are written: as Examples they would be ten times as large,
    with histories fifty times.
    """

    def __init__(self, shards: int, seed: int):
        self._shards = shards
        self._seed = seed

    def process(self, element: tuple[tuple, bytes, bytes, bytes]) -> Iterator[tuple[tuple[str, int], Entry]]:
        user, train, held_out, known = element
        activity = splits.level(len(train) // HASHED.itemsize, splits.USER_ACTIVITY_LEVELS)
        seconds = np.frombuffer(known, history.KNOWN)["timestamp"]
        # Rows of eval are known where a split by time is rolling, and then those of train come first.
        of_train = len(seconds)
        if of_train > len(train) // HASHED.itemsize:
            of_train = int(np.searchsorted(seconds, np.frombuffer(held_out, HASHED)["timestamp"].min()))
        shard = splits.user_hash(User(*user).user_id, self._seed) % self._shards
        for split, rows in ((features.TRAIN_SPLIT, train), (features.EVAL_SPLIT, held_out)):
            if rows:
                yield (split, shard), (user, activity, rows, known, of_train)


def write_records(folder: str, number: int, files: int, records: Iterable[bytes]) -> None:
    """Write one gzip TFRecord file of a split, under the name that TFX gives its own."""
    path = FileSystems.join(folder, f"data_tfrecord-{number:05d}-of-{files:05d}.gz")
    # Twice as fast as the default level for a few per cent more bytes.
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=3)
    with tf.io.TFRecordWriter(path, options) as writer:
        for record in records:
            writer.write(record)


def write_shard(
    element: tuple[tuple[str, int], Iterable[Entry]],
    catalogue: Catalogue,
    title_counts: Mapping[int, int],
    folders: Mapping[str, str],
    shards: int,
    history_length: int,
) -> None:
    """Write one shard of a split's Examples, ordered by place.

    A shard of train is cut into several files, and the first ones of all shards come before the second ones:
    who reads file after file meets every user that many times, and not once for all.

    Args:
      title_counts: train rows by index of the candidate; none where absent.
      folders: where each split goes.
      shards: how many each split has.
      history_length: ratings in a row's history, at most.
    """
    (split, shard), grouped = element
    entries = list(grouped)
    users = [examples.user_entries(User(*user), activity) for user, activity, *_ in entries]
    rows = np.frombuffer(b"".join(packed for _, _, packed, *_ in entries), HASHED)
    sizes = [len(packed) // HASHED.itemsize for _, _, packed, *_ in entries]
    user_of = np.repeat(np.arange(len(users)), sizes)
    # Equal places are next to impossible; the time and the film then decide.
    order = np.lexsort((rows["movie"], rows["timestamp"], rows["place"]))
    movie_part = _movie_parts(catalogue, title_counts)
    history_parts = _history_parts(catalogue, entries, history_length, split == features.EVAL_SPLIT)

    def serialised(part: np.ndarray) -> Iterator[bytes]:
        for start in range(0, len(part), _BLOCK):
            block = part[start : start + _BLOCK]
            ordered = zip(user_of[block].tolist(), rows[block].tolist(), history_parts(block), strict=True)
            for user, (movie, rating, seconds, *_), past in ordered:
                film = movie_part(catalogue.candidate_of[movie])
                yield examples.example(users[user], film, past, examples.rating_entries(rating, seconds))

    cuts = min(shards, _CUTS) if split == features.TRAIN_SPLIT else 1
    for cut, part in enumerate(np.array_split(order, cuts)):
        if len(part):
            write_records(folders[split], cut * shards + shard, cuts * shards, serialised(part))


def _movie_parts(catalogue: Catalogue, title_counts: Mapping[int, int]) -> Callable[[int], bytes]:
    @functools.cache
    def movie_part(candidate: int) -> bytes:
        popularity = splits.level(title_counts.get(candidate, 0), splits.TITLE_POPULARITY_LEVELS)
        return examples.movie_entries(catalogue.candidates[candidate]) + examples.entries(
            {features.TITLE_POPULARITY: popularity}
        )

    return movie_part


def _history_parts(
    catalogue: Catalogue, entries: Sequence[Entry], length: int, evaluated: bool
) -> Callable[[np.ndarray], Iterator[bytes]]:
    # From places among the entries' rows to what Examples say of their histories, and of what is no candidate
    # for them: where rows are evaluated, what the user rated in train, and all that is earlier.
    known = np.frombuffer(b"".join(past for *_, past, _ in entries), history.KNOWN)
    runs, base = [], 0
    for _, _, packed, past, of_train in entries:
        moments, earlier = np.frombuffer(packed, HASHED), np.frombuffer(past, history.KNOWN)
        first, last = history.spans(earlier["timestamp"], moments["timestamp"], length)
        excluded = np.maximum(of_train, last) if evaluated else np.zeros_like(last)
        runs.append(base + np.array((first, last, np.zeros_like(last), excluded)))
        base += len(earlier)
    starts, stops, excluded_starts, excluded_stops = np.concatenate(runs, axis=1)
    ids = [
        examples.text_value(catalogue.candidates[candidate].movie_id) for candidate in catalogue.candidate_of
    ]
    known_ids = [ids[movie] for movie in known["movie"].tolist()]
    id_bounds = np.concatenate(([0], np.cumsum([len(part) for part in known_ids], dtype=np.int64)))
    all_ids = b"".join(known_ids)
    titles = [
        examples.text_value(catalogue.candidates[candidate].title) for candidate in catalogue.candidate_of
    ]

    def history_parts(block: np.ndarray) -> Iterator[bytes]:
        places, bounds = history.latest_first(starts[block], stops[block])
        past = known[places]
        films = [titles[movie] for movie in past["movie"].tolist()]
        ratings = past["rating"].tobytes()
        digits, digit_bounds = examples.varints(past["timestamp"])
        excluded_bounds = id_bounds[excluded_starts[block]], id_bounds[excluded_stops[block]]
        excluded = zip(*(bounds.tolist() for bounds in excluded_bounds), strict=True)
        for (start, stop), (first, last) in zip(itertools.pairwise(bounds.tolist()), excluded, strict=True):
            yield examples.history_entries(
                b"".join(films[start:stop]),
                ratings[4 * start : 4 * stop],
                digits[digit_bounds[start] : digit_bounds[stop]],
            ) + examples.exclude_entries(all_ids[first:last])

    return history_parts


def write_catalogue(catalogue: Catalogue, folder: str) -> None:
    """Write the candidates as Examples, in one file."""
    rows = (examples.example(examples.movie_entries(movie)) for movie in catalogue.candidates)
    write_records(folder, 0, 1, rows)


def write_counts(counts: Counter[str], folder: str) -> None:
    """Write the counts beside the bad rows."""
    with FileSystems.create(FileSystems.join(folder, quarantine.COUNTS_FILE)) as handle:
        handle.write(json.dumps(counts, indent=1, sort_keys=True).encode())
