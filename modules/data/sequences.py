"""The ratings of train as windows of a stream: user by user, and of each user by time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from modules import features
from modules.data.dataset import Interactions

# Ratings before the queries of a window, and queries.
CONTEXT, QUERIES = features.HISTORY_LENGTH, 128
# What is counted: the number of the user's ratings before it in the stream, how many of those are strictly
# earlier, and the seconds since the latest of these, 0 where there is none.
ORDER, EARLIER, SINCE = "order", "earlier", "since"


def load(batches: tf.data.Dataset, names: Sequence[str], interactions: Interactions) -> dict[str, np.ndarray]:
    """Read train in the stream's order, `[rows]` each.

    Users out of the vocabulary are left out, for they share an index. Ratings of one second are in the order
    of `Interactions.latest` and of MovieLensExampleGen.

    Args:
      batches: of `dataset.ratings`, the train split, with `names`.
      names: transformed features to read, of width 1.
      interactions: of the same split.
    Returns:
      Those, TIMESTAMP, RATING, ORDER, EARLIER and SINCE; integers as int32.
    """
    rows = interactions
    order = np.lexsort((rows.ratings, rows.positions, rows.timestamps, rows.users))
    order = order[rows.users[order] < rows.num_users]
    read: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for batch in batches:
        for name, parts in read.items():
            values = batch[name].numpy()[:, 0]
            parts.append(values if values.dtype == np.float32 else values.astype(np.int32))
    columns = {name: np.concatenate(read.pop(name))[order] for name in names}
    seconds = rows.timestamps[order]
    # Timestamps from 2038 on are bad rows.
    columns |= {features.TIMESTAMP: seconds.astype(np.int32), features.RATING: rows.ratings[order]}
    return columns | counts(rows.users[order], seconds)


def counts(users: np.ndarray, seconds: np.ndarray) -> dict[str, np.ndarray]:
    """Compute ORDER, EARLIER and SINCE of a stream's ratings, `[rows]` int32 each.

    >>> found = counts(np.array([1, 1, 1, 2]), np.array([5, 5, 8, 9]))
    >>> {name: values.tolist() for name, values in found.items()}
    {'order': [0, 1, 2, 0], 'earlier': [0, 0, 2, 0], 'since': [0, 0, 3, 0]}
    """
    row = np.arange(len(users))
    first = np.diff(users, prepend=users[:1] - 1) != 0
    of_user = np.maximum.accumulate(np.where(first, row, 0))
    of_second = np.maximum.accumulate(np.where(first | (np.diff(seconds, prepend=0) != 0), row, 0))
    earlier = of_second - of_user
    since = np.where(earlier > 0, seconds - seconds[of_second - 1], 0)
    found = {ORDER: row - of_user, EARLIER: earlier, SINCE: since}
    return {name: values.astype(np.int32) for name, values in found.items()}


def windows(columns: Mapping[str, np.ndarray], size: int, seed: int) -> tf.data.Dataset:
    """Cut the stream into windows, each pass in another order of users and at other places.

    Args:
      columns: of `load`.
      size: windows in a batch.
      seed: of the order.
    Returns:
      `[size, CONTEXT + QUERIES]` by name; every pass has `steps` batches. The stream goes round, so
      that each rating is a query in one window, a few in two, but for those of windows that fill no batch.
    """
    starts = np.flatnonzero(columns[ORDER] == 0)
    parts = np.split(np.arange(len(columns[ORDER])), starts[1:])
    draw = np.random.default_rng(seed)
    tensors = {name: tf.constant(values) for name, values in columns.items()}

    def drawn() -> Iterator[np.ndarray]:
        stream = np.concatenate([parts[user] for user in draw.permutation(len(parts))])
        first = draw.integers(0, QUERIES) + QUERIES * draw.permutation(-(-len(stream) // QUERIES))
        of_window = np.arange(-CONTEXT, QUERIES)
        for batch in range(steps(len(stream), size)):
            chosen = first[batch * size : (batch + 1) * size]
            yield stream[(chosen[:, np.newaxis] + of_window) % len(stream)].astype(np.int32)

    spec = tf.TensorSpec([size, CONTEXT + QUERIES], tf.int32)
    rows = tf.data.Dataset.from_generator(drawn, output_signature=spec)
    batches = rows.map(lambda row: {name: tf.gather(values, row) for name, values in tensors.items()})
    return batches.prefetch(2)


def batch_size(rows: int, queries: int) -> int:
    """Return how many windows have about so many queries, but no more than the stream has.

    >>> batch_size(10_000, 512), batch_size(200, 512), batch_size(10_000, 64)
    (4, 2, 1)
    """
    return max(1, min(queries // QUERIES, -(-rows // QUERIES)))


def steps(rows: int, size: int) -> int:
    """Return the number of batches of a pass."""
    return -(-rows // QUERIES) // size
