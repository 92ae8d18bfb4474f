"""Requests to what is made of planted models, and what NumPy finds for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from modules import features
from tests.helpers.planted_models import QUERY_SPEC, History, World

# The timestamp of every request.
NOW = 880_000_000


def history_columns(histories: Sequence[History]) -> dict[str, tf.Tensor]:
    """A batch of histories in a request: `[b, longest]`, shorter rows end in the defaults."""
    width = max([len(row) for row in histories], default=0)
    columns = {}
    for part, feature in enumerate(features.HISTORY_FEATURES):
        rows = [[entry[part] for entry in row] + [feature.default] * (width - len(row)) for row in histories]
        columns[feature.name] = tf.constant(
            rows, QUERY_SPEC[feature.name].dtype, shape=[len(histories), width]
        )
    return columns


def request(users: list[str], histories: Sequence[History] | None = None) -> dict[str, tf.Tensor]:
    """Query features of users with their histories; all other features are unknown."""
    size = len(users)
    return {
        features.USER_ID: tf.constant(users, tf.string),
        features.TIMESTAMP: tf.fill([size], tf.constant(NOW, tf.int64)),
        features.USER_GENDER: tf.fill([size], features.UNKNOWN),
        features.USER_AGE: tf.fill([size], tf.constant(features.UNKNOWN_AGE, tf.int64)),
        features.USER_OCCUPATION: tf.fill([size], features.UNKNOWN),
        **history_columns(histories or [()] * size),
    }


def recommend(
    serve: Any,
    users: list[str],
    k: int,
    histories: Sequence[History] | None = None,
    exclude: Sequence[Sequence[str]] | None = None,
) -> dict[str, np.ndarray]:
    """Call a loaded composite; `exclude` holds the titles that each user may not be recommended."""
    rows = exclude or [()] * len(users)
    width = max([len(row) for row in rows], default=0)
    padded = [[*row, *[""] * (width - len(row))] for row in rows]
    excluded = tf.constant(padded, tf.string, shape=[len(users), width])
    answer = serve(**request(users, histories), k=tf.constant(k), exclude_title=excluded)
    return {name: tensor.numpy() for name, tensor in answer.items()}


def history_of(world: World, rows: Sequence[int]) -> History:
    """Ratings of these candidates, a minute apart."""
    return [(world.titles[row], 4.0, NOW - 60 * ago) for ago, row in enumerate(rows, 1)]


def exact_best(world: World, vector: np.ndarray, seen: Sequence[int], k: int) -> list[int]:
    """Search exactly among the candidates that were not seen, best first."""
    # In float64: two titles are closer than float32 tells, and how NumPy rounds depends on where arrays lie.
    scores = world.embeddings.astype(np.float64) @ vector
    scores[list(seen)] = -np.inf
    return np.argsort(-scores)[: min(k, len(scores) - len(set(seen)))].tolist()


def titles_of(answer: dict[str, np.ndarray], row: int) -> list[str]:
    """The titles of one row, without its padding."""
    return [title.decode() for title in answer["movie_title"][row][: answer["num_returned"][row]]]
