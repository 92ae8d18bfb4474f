"""Requests for many users, and the model's answers as rows. Runs in Beam's workers, without Beam itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.index_pusher.composite import recommender
from modules import features

RANK = "rank"
VERSION = "version"

SCHEMA = pa.schema(
    [
        pa.field(features.USER_ID, pa.string(), nullable=False),
        pa.field(RANK, pa.int32(), nullable=False),
        pa.field(features.MOVIE_ID, pa.string(), nullable=False),
        pa.field(features.MOVIE_TITLE, pa.string(), nullable=False),
        pa.field(features.SCORE, pa.float32(), nullable=False),
        pa.field(features.PREDICTED_RATING, pa.float32(), nullable=False),
        pa.field(VERSION, pa.int64(), nullable=False),
    ]
)


def request(
    specs: Mapping[str, tf.TensorSpec], users: Sequence[bytes], k: int, timestamp: int
) -> dict[str, tf.Tensor]:
    """Make a request for users of the train split, whose side features and histories the model knows.

    Args:
      specs: the composite's inputs by name.
      users: their ids.
      k: titles for each.
      timestamp: time of the request, Unix seconds.
    Returns:
      A tensor for each input; inputs that are not given are empty lists, or their feature's default.
    """
    given = {features.USER_ID: list(users), features.TIMESTAMP: [timestamp] * len(users), recommender.K: k}
    defaults = {row.name: row.default for row in features.QUERY_FEATURES}
    tensors = {}
    for name, spec in specs.items():
        unknown: Any = [] if spec.shape.rank == 2 else defaults.get(name)
        tensors[name] = tf.constant(given.get(name, [unknown] * len(users)), spec.dtype)
    return tensors


def rows(users: Sequence[bytes], answer: Mapping[str, Any], version: int) -> pa.Table:
    """Return recommendations as a table, a row for each title.

    Args:
      users: `[b]` ids.
      answer: the composite's outputs, `[b, k]` and `[b]` arrays.
      version: of the bundle.
    Returns:
      A table of SCHEMA: user by user, best first, without the padding of the outputs.
    """
    counts = answer[recommender.NUM_RETURNED]
    width = answer[features.MOVIE_TITLE].shape[1]
    real = np.arange(width)[None] < counts[:, None]
    ranks = np.broadcast_to(np.arange(1, width + 1, dtype=np.int32), real.shape)[real]
    texts = {
        features.USER_ID: np.repeat(np.array(users, object), counts),
        features.MOVIE_ID: answer[features.MOVIE_ID][real],
        features.MOVIE_TITLE: answer[features.MOVIE_TITLE][real],
    }
    columns: dict[str, Any] = {
        **{name: [text.decode("utf-8", "replace") for text in column] for name, column in texts.items()},
        RANK: ranks,
        features.SCORE: answer[features.SCORE][real],
        features.PREDICTED_RATING: answer[features.PREDICTED_RATING][real],
        VERSION: np.full(len(ranks), version, np.int64),
    }
    return pa.Table.from_pydict({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)
