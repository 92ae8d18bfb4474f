"""Transform's preprocessing_fn. Runs in the Beam workers of the Transform component.

Its graph is saved with every model, so what it computes here is what is served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from modules import features
from modules.data import history
from modules.features import Encoding, TransformedFeature

_Caps = Mapping[str, int]


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor | tf.SparseTensor], custom_config: Mapping[str, Any] | None = None
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Turn raw features into transformed ones, row by row of features.TRANSFORMED_FEATURES.

    Args:
      inputs: the raw features of a rating: `[batch, 1]`, repeated ones as SparseTensor `[batch, any]`.
      custom_config: `vocabularies` may hold, by feature, how many terms its vocabulary keeps, the most
        frequent ones.
    Returns:
      Every transformed feature, `[batch, width]` for sets and `[batch, 1]` otherwise: int64, or float32
      where normalised; the lists of the history, sparse; and, unchanged, the rating, its timestamp and the
      candidate's key.
    """
    # Here and not with its row below, for the history shares it.
    caps = (custom_config or {}).get("vocabularies", {})
    vocabulary = _analyzed(inputs[features.MOVIE_TITLE], features.MOVIE_TITLE, caps)
    outputs = {
        feature.name: _ENCODERS[feature.encoding](inputs[feature.raw], feature, caps)
        for feature in features.TRANSFORMED_FEATURES
        if feature.name != features.MOVIE_TITLE
    }
    outputs[features.MOVIE_TITLE] = _indices(inputs[features.MOVIE_TITLE], vocabulary, features.MOVIE_TITLE)
    outputs.update(_history(inputs, vocabulary))
    outputs[features.RATING] = inputs[features.RATING]
    outputs[features.TIMESTAMP] = tf.identity(inputs[features.TIMESTAMP])
    outputs[features.CANDIDATE_KEY] = tf.identity(inputs[features.MOVIE_TITLE])
    return outputs


def title_tokens(titles: tf.Tensor, width: int) -> tf.Tensor:
    """Split titles into lower-case words, without the year.

    Args:
      titles: `[batch, 1]` string.
      width: number of columns.
    Returns:
      `[batch, width]` string, padded with "".

    >>> title_tokens(tf.constant([["Shawshank Redemption, The (1994)"]]), 4).numpy().tolist()
    [[b'shawshank', b'redemption', b'the', b'']]
    """
    text = tf.strings.lower(tf.squeeze(titles, 1), encoding="utf-8")
    text = tf.strings.regex_replace(text, r"\(\d{4}\)", " ")
    text = tf.strings.regex_replace(text, r"[^\pL\pN]+", " ")
    return tf.strings.split(text).to_tensor("", shape=[None, width])


def time_buckets(timestamps: tf.Tensor, first: tf.Tensor, last: tf.Tensor, width: int) -> tf.Tensor:
    """Assign timestamps to buckets of equal length.

    In integers, because float32 cannot tell timestamps less than 64 s apart.

    Args:
      timestamps: `[...]` int64, seconds.
      first: the first second of the first bucket.
      last: the last second of the last bucket.
      width: number of buckets.
    Returns:
      `[...]` int64 from 0 to width - 1, where timestamps before `first` are in bucket 0; width for timestamps
      after `last`, for which train has no rows.

    >>> time_buckets(tf.constant([0, 49, 50, 99, 500], tf.int64), 0, 99, 2).numpy().tolist()
    [0, 0, 1, 1, 2]
    """
    first, last = tf.cast(first, tf.int64), tf.cast(last, tf.int64)
    return tf.clip_by_value((timestamps - first) * width // (last - first + 1), 0, width)


def _analyzed(values: tf.Tensor, name: str, caps: _Caps) -> tf.Tensor:
    return tft.vocabulary(values, top_k=caps.get(name), vocab_filename=name)


def _indices(values: tf.Tensor, vocabulary: tf.Tensor, name: str) -> tf.Tensor:
    """Find terms in a vocabulary; its size stands for all that it does not hold."""
    # num_oov_buckets=1 would say the same with a second table for each lookup, which every load pays for.
    found = tft.apply_vocabulary(values, vocabulary, default_value=-1)
    return tf.where(found < 0, tft.experimental.get_vocabulary_size_by_name(name), found)


def _history(
    inputs: Mapping[str, tf.Tensor | tf.SparseTensor], vocabulary: tf.Tensor
) -> dict[str, tf.SparseTensor]:
    titles, ratings, timestamps = (
        tf.sparse.to_dense(inputs[feature.name], feature.default, validate_indices=False)
        for feature in features.HISTORY_FEATURES
    )
    titles, ratings, ages = history.latest(titles, ratings, timestamps, inputs[features.TIMESTAMP])
    found = _indices(titles, vocabulary, features.MOVIE_TITLE)
    indices = tf.where(titles == "", tf.constant(0, tf.int64), found + 1)
    cells = tf.where(indices > 0)
    size = tf.shape(indices, tf.int64)
    return {
        name: tf.SparseTensor(cells, tf.gather_nd(values, cells), size)
        for name, values in zip(features.HISTORY_COLUMNS, (indices, ratings, ages), strict=True)
    }


def _vocabulary(values: tf.Tensor, feature: TransformedFeature, caps: _Caps) -> tf.Tensor:
    return _indices(values, _analyzed(values, feature.name, caps), feature.name)


def _padded_terms(terms: tf.Tensor, feature: TransformedFeature, caps: _Caps) -> tf.Tensor:
    # Transform's vocabularies leave out the empty string, which is the padding here.
    return tf.where(terms == "", tf.constant(0, tf.int64), _vocabulary(terms, feature, caps) + 1)


def _term_set(values: tf.SparseTensor, feature: TransformedFeature, caps: _Caps) -> tf.Tensor:
    # RaggedTensor.from_sparse would add checks to every SavedModel, of what tf.io.parse_example made.
    ragged = tf.RaggedTensor.from_value_rowids(
        values.values, values.indices[:, 0], values.dense_shape[0], validate=False
    )
    return _padded_terms(ragged.to_tensor("", shape=[None, feature.width]), feature, caps)


def _token_set(values: tf.Tensor, feature: TransformedFeature, caps: _Caps) -> tf.Tensor:
    return _padded_terms(title_tokens(values, feature.width), feature, caps)


def _boundaries(values: tf.Tensor, feature: TransformedFeature, _: _Caps) -> tf.Tensor:
    inner = tf.constant(feature.boundaries, tf.int64)
    return tf.reduce_sum(tf.cast(values >= inner, tf.int64), axis=1, keepdims=True)


def _time_buckets(values: tf.Tensor, feature: TransformedFeature, _: _Caps) -> tf.Tensor:
    return time_buckets(values, tft.min(values), tft.max(values), feature.width)


def _normalized(values: tf.Tensor, *_: object) -> tf.Tensor:
    return tf.cast(tft.scale_to_z_score(tf.cast(values, tf.float64)), tf.float32)


_ENCODERS: Mapping[Encoding, Callable[..., tf.Tensor]] = {
    Encoding.VOCABULARY: _vocabulary,
    Encoding.TERM_SET: _term_set,
    Encoding.TOKEN_SET: _token_set,
    Encoding.BOUNDARIES: _boundaries,
    Encoding.TIME_BUCKETS: _time_buckets,
    Encoding.NORMALIZED: _normalized,
}
