"""The part of the train split on which trials are evaluated, and the metrics. Runs in the Tuners.

The part holds the latest rows of each user. Trials are therefore compared on ratings that are later than all
fitted rows of the same user. This is no split by time: fitted rows of other users can be later, as they never
are in serving. No fitted row has a held-out title in its history, because a history holds earlier rows alone.
A Tuner does not read the eval split, and does not get its path.
"""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from modules import features, training
from modules.data import dataset
from modules.evaluation import ranking_metrics
from modules.search_space import SearchConfig
from modules.training import TrainingData

_READ_BATCH = 8192
_MEASURED_BATCH = 1024
_BUCKETS = 1 << 30

# Scores of a batch at most, 80 MB: where a catalogue is large, a batch has fewer rows.
_SCORES = 20_000_000

Tower = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


class TooFewRowsError(ValueError):
    """A train split of which no part can be held out."""


def load(fn_args: Any, search: SearchConfig) -> TrainingData:
    """Read the train split in two parts: fitted rows as `train`, held-out rows as `eval`.

    Statistics of the train split, such as the titles that a user has rated, are those of the first part.

    Args:
      fn_args: `tfx.components.FnArgs`, with `candidate_files` as CandidateTuner adds it.
      search: share that is held out.
    Raises:
      TooFewRowsError: one of the parts has no rows.
    """
    transform = tft.TFTransformOutput(fn_args.transform_output)
    fitted, held_out = split(
        fn_args.train_files,
        transform,
        search.held_out,
        search.seed,
        os.path.join(fn_args.working_dir, "parts"),
    )
    parted = copy.copy(fn_args)
    parted.train_files, parted.eval_files = [fitted], [held_out]
    return training.load(parted)


def split(
    files: Sequence[str], transform: tft.TFTransformOutput, share: float, seed: int, folder: str
) -> tuple[str, str]:
    """Copy transformed ratings into two parts.

    The order of the rows makes no difference, nor do the files that hold them.

    Args:
      files: glob patterns of gzipped TFRecords.
      transform: output of the Transform that wrote the rows.
      share, seed: see latest.
      folder: folder for the parts; it is created.
    Returns:
      Glob patterns of the rows to fit to and of those that are held out.
    Raises:
      TooFewRowsError: one of the parts has no rows.
    """
    columns = (features.USER_ID, features.TIMESTAMP)
    read = [*dataset.ratings(files, transform, columns=columns).as_numpy_iterator()]
    users, seconds = (np.concatenate([batch[name] for batch in read])[:, 0] for name in columns)
    chosen = latest(users, seconds, share, seed)
    paths = [os.path.join(folder, part, "rows.gz") for part in ("fitted", "held_out")]
    for path in paths:
        os.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(paths[0], "GZIP") as fitted, tf.io.TFRecordWriter(paths[1], "GZIP") as held_out:
        batches = dataset.records(files).batch(_READ_BATCH).as_numpy_iterator()
        for record, late in zip(itertools.chain.from_iterable(batches), chosen.tolist(), strict=True):
            (held_out if late else fitted).write(record)
    rows = np.bincount(chosen, minlength=2)
    if not rows.all():
        raise TooFewRowsError(
            f"both parts of the train split must have rows; {rows[0]} are fitted to and {rows[1]} held out. "
            f"Change tuning.held_out, {share:g}, or give more ratings"
        )
    return paths[0], paths[1]


def latest(users: np.ndarray, seconds: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Choose the latest share of each user's rows.

    A user's rows of one second stay together. If the share ends within these rows, or within a single row, a
    hash of the user decides whether they are chosen; so the share of all users' rows is as configured.

    Args:
      users, seconds: `[rows]` int64, user and timestamp of each row.
      share: of the rows, between 0 and 1.
      seed: of the hash.
    Returns:
      `[rows]` booleans.

    >>> latest(np.array([3, 3, 3, 3]), np.array([9, 4, 6, 9]), 0.5, seed=0).tolist()
    [True, False, False, True]
    """
    order = np.lexsort((-seconds, users))
    users, seconds = users[order], seconds[order]
    _, first, number, counts = np.unique(users, return_index=True, return_inverse=True, return_counts=True)
    draws = _draws(users[first], seed, 0)
    is_first = (np.diff(users, prepend=-1) != 0) | (np.diff(seconds, prepend=-1) != 0)
    start = np.flatnonzero(is_first)
    user, size = number[start], np.diff(start, append=len(users))
    # The rest of the user's share after later rows: for all rows of the second, for a part of them, or none.
    room = share * counts[user] - (start - first[user])
    chosen = np.empty(len(users), bool)
    chosen[order] = np.repeat(draws[user] * size < room, size)
    return chosen


def _draws(users: np.ndarray | tf.Tensor, *key: int) -> np.ndarray:
    """Hash users to numbers from 0 to below 1, `[users]`."""
    names = tf.strings.as_string(users)
    return tf.strings.to_hash_bucket_strong(names, _BUCKETS, key=list(key)).numpy() / _BUCKETS


class HeldOut(NamedTuple):
    """Some held-out rows.

    Attributes:
      batch: transformed features by name, `[rows, width]`.
      positions: `[rows]` int32, of the rated titles.
      known: `[rows, any]` int32, positions of titles that the user is known to have rated, -1 for none.
    """

    batch: dict[str, tf.Tensor]
    positions: tf.Tensor
    known: tf.Tensor


def with_known_titles(data: TrainingData, share: float = 1.0) -> Iterator[HeldOut]:
    """Read the held-out rows with what may not be recommended.

    As in serving, these are the user's titles in the fitted part, and those of the row's history.

    Args:
      data: whose eval files are the held-out part.
      share: of the users, chosen by a hash, whose rows are read; the order of the rows makes no difference.
    """
    rated = tf.RaggedTensor.from_row_splits(*data.interactions.seen())
    # In a history an index is shifted by one, and 0 stands for none.
    of_history = data.catalogue.positions_of_indices(data.sizes[features.MOVIE_TITLE])
    of_history = tf.constant(np.concatenate([[-1], of_history]), tf.int32)
    for every in _batches(data):
        read = _draws(every[features.USER_ID][:, 0], 1, 0) < share
        batch = {name: tf.boolean_mask(column, read) for name, column in every.items()}
        fitted = tf.gather(rated, batch[features.USER_ID][:, 0]).to_tensor(-1)
        known = tf.concat([fitted, tf.gather(of_history, batch[features.HISTORY_TITLE])], axis=1)
        positions = data.catalogue.positions(batch[features.CANDIDATE_KEY][:, 0].numpy())
        yield HeldOut(batch, tf.constant(positions, tf.int32), known)


def depth(data: TrainingData) -> int:
    """Return the number of titles among which a held-out one counts as found: the depth of the gates."""
    return features.gated_depth(len(data.catalogue))


def found(data: TrainingData, query_tower: Tower, candidate_tower: Tower) -> float:
    """Measure the share of held-out titles among a user's `depth` best, without those known to be rated."""
    catalogue = {name: tf.constant(values) for name, values in data.catalogue.transformed.items()}
    candidates = candidate_tower(catalogue)
    hits = []
    for rows in with_known_titles(data):
        scores = tf.matmul(query_tower(rows.batch), candidates, transpose_b=True)
        ranks = ranking_metrics.ranks(ranking_metrics.exclude(scores, rows.known), rows.positions).numpy()
        # A rank is NaN where a score is.
        hits.append(np.where(np.isnan(ranks), np.nan, ranks < depth(data)))
    return float(np.mean(np.concatenate(hits)))


def rating_error(data: TrainingData, rate: Tower) -> tuple[float, float]:
    """Measure the root mean squared error of predicted ratings, and the share of the variance they explain.

    Args:
      data: whose eval files are the held-out part.
      rate: from transformed features to `[batch, 1]` ratings; they are clipped as in serving.
    """
    lowest, highest = data.interactions.rating_range
    predicted, actual = [], []
    for batch in _batches(data):
        predicted.append(np.clip(rate(batch).numpy()[:, 0], lowest, highest))
        actual.append(batch[features.RATING].numpy()[:, 0])
    truth = np.concatenate(actual).astype(np.float64)
    error = float(np.mean(np.square(np.concatenate(predicted) - truth)))
    return error**0.5, 1.0 - error / max(float(np.var(truth)), 1e-9)


def _batches(data: TrainingData) -> Iterator[dict[str, tf.Tensor]]:
    rows = max(1, min(_MEASURED_BATCH, _SCORES // len(data.catalogue)))
    return iter(dataset.ratings(data.eval_files, data.transform, rows))
