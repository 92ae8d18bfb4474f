"""Forms of the raw features that a signature takes: `[batch]`, or `[batch, any]` where they are repeated."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from modules import features


def query_spec() -> dict[str, tf.TensorSpec]:
    """Return the inputs of features.QUERY_FEATURES."""
    return {
        f.name: tf.TensorSpec([None, None] if f.repeated else [None], tf.as_dtype(f.dtype.value), f.name)
        for f in features.QUERY_FEATURES
    }


def as_columns(raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Give each feature a second dimension, as Transform's graph takes it."""
    return {name: values if values.shape.rank == 2 else values[:, tf.newaxis] for name, values in raw.items()}


def dense(raw: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Give parsed lists the form of the raw signatures, `[batch, any]`; not genres, which Transform reads."""
    lists = {
        row.name: tf.sparse.to_dense(raw[row.name], row.default, validate_indices=False)
        for row in (*features.HISTORY_FEATURES, features.EXCLUDE_ID_FEATURE)
        if row.name in raw
    }
    return {**raw, **lists}
