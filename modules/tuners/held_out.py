"""A part of the train split on which trials are measured, and the measures. Runs in the Tuners.

The eval split is not among what is read here: a Tuner is not even told where it is.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from modules import features, training
from modules.data import dataset
from modules.evaluation import ranking_metrics
from modules.search_space import SearchConfig
from modules.training import TrainingData

# Titles among which a held-out one counts as found.
DEPTH = 100

_READ_BATCH = 8192
_MEASURED_BATCH = 1024
_BUCKETS = 1 << 30

Tower = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


def load(fn_args: Any, search: SearchConfig) -> TrainingData:
    """Read the train split in two parts: what is fitted as `train`, what is held out as `eval`.

    What a model knows of its train split, such as the titles that a user has rated, it knows of the first.

    Args:
      fn_args: `tfx.components.FnArgs`, with `candidate_files` as CandidateTuner adds it.
      search: which share is held out.
    Raises:
      ValueError: one of the parts has no rows.
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

    Who rated what decides, and the seed: not the order of the rows, nor in which file they are.

    Args:
      files: glob patterns of gzipped TFRecords.
      transform: what the rows were written by.
      share: of the rows, to be held out.
      seed: of the choice.
      folder: to be made; the parts go into it.
    Returns:
      Glob patterns of the rows to fit to and of those that are held out.
    Raises:
      ValueError: one of the parts has no rows.
    """
    every = transform.transformed_feature_spec()
    spec = {name: every[name] for name in (features.USER_ID, features.CANDIDATE_KEY)}
    paths = [os.path.join(folder, part, "rows.gz") for part in ("fitted", "held_out")]
    for path in paths:
        os.makedirs(os.path.dirname(path))
    records = tf.data.TFRecordDataset(tf.data.Dataset.list_files(list(files), shuffle=False), "GZIP")
    rows = [0, 0]
    with tf.io.TFRecordWriter(paths[0], "GZIP") as fitted, tf.io.TFRecordWriter(paths[1], "GZIP") as held_out:
        for batch in records.batch(_READ_BATCH):
            columns = tf.io.parse_example(batch, spec)
            users = tf.strings.as_string(columns[features.USER_ID])
            pairs = tf.strings.join([users, columns[features.CANDIDATE_KEY]], "/")[:, 0]
            buckets = tf.strings.to_hash_bucket_strong(pairs, _BUCKETS, key=[seed, 0])
            for record, chosen in zip(
                batch.numpy(), (buckets < int(share * _BUCKETS)).numpy().tolist(), strict=True
            ):
                (held_out if chosen else fitted).write(record)
                rows[chosen] += 1
    if not all(rows):
        raise ValueError(
            f"both parts of the train split must have rows; {rows[0]} are fitted to and {rows[1]} held out. "
            f"Change tuning.held_out, {share:g}, or give more ratings"
        )
    return paths[0], paths[1]


def found(data: TrainingData, query_tower: Tower, candidate_tower: Tower) -> float:
    """Measure the share of held-out titles among a user's DEPTH best, without those rated in train."""
    catalogue = {name: tf.constant(values) for name, values in data.catalogue.transformed.items()}
    candidates = candidate_tower(catalogue)
    seen = tf.RaggedTensor.from_row_splits(*data.interactions.seen())
    hits = []
    for batch in _batches(data):
        scores = tf.matmul(query_tower(batch), candidates, transpose_b=True)
        own = tf.gather(seen, batch[features.USER_ID][:, 0]).to_tensor(-1)
        positions = data.catalogue.positions(batch[features.CANDIDATE_KEY][:, 0].numpy())
        ranks = ranking_metrics.ranks(
            ranking_metrics.exclude(scores, own), tf.constant(positions, tf.int32)
        ).numpy()
        # A rank is NaN where a score is.
        hits.append(np.where(np.isnan(ranks), np.nan, ranks < DEPTH))
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
    return iter(dataset.ratings(data.eval_files, data.transform, _MEASURED_BATCH))
