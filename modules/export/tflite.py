"""TFLite exports of the models: files of builtin operations only. Written by the Trainers.

A candidate's embedding comes from a table, so of the model's graph only the query side and the head are
converted. Ids are strings: tables in memory are builtin operations, so no variant with integer ids is needed.
Each file has a quantised variant. Whether the files do what their models do, and whether the variant is near
enough, the IndexPusher measures, where no TensorFlow is loaded.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from modules import features
from modules.export.saved_model import Tower, rating_candidate_table, save
from modules.export.tflite_queries import OnDeviceQueries
from modules.training import TrainingData

Head = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Columns = Mapping[str, tf.Tensor]
Embed = Callable[[Columns], tf.Tensor]

_DTYPES = {features.Dtype.BYTES: tf.string, features.Dtype.INT: tf.int32, features.Dtype.FLOAT: tf.float32}
_DEPTH = max(features.TOP_KS)
# Stands with an empty title after the last of a row that has fewer.
_PADDING_SCORE = tf.float32.min


def export(
    data: TrainingData,
    serving_model_dir: str,
    retrieval: tuple[Tower, Tower] | None = None,
    rating: tuple[Tower, Tower, Head] | None = None,
    history_length: int = features.TRAIN_HISTORY_LENGTH,
) -> None:
    """Convert the models and write them beside the SavedModel, as modules.features says.

    Args:
      data: what the model was trained on.
      serving_model_dir: where the SavedModel was written.
      retrieval: query and candidate tower, from transformed features to `[batch, dim]`; None for no file.
      rating: the same, and the head from both embeddings to `[batch, 1]` ratings; None for no file.
      history_length: ratings of a user of train that stand for the history of a request without one.
    """
    folder = os.path.join(os.path.dirname(serving_model_dir), features.TFLITE_DIR)
    tf.io.gfile.makedirs(folder)
    queries, catalogue = OnDeviceQueries(data, history_length), data.catalogue
    if retrieval:
        query_tower, candidate_tower = retrieval
        vectors = candidate_tower({name: tf.constant(v) for name, v in catalogue.transformed.items()})
        embed = _Embedding(queries, query_tower)
        write(
            Retrieval(embed, catalogue.titles, catalogue.movie_ids, vectors),
            folder,
            features.RETRIEVAL_TFLITE,
        )
    if rating:
        query_tower, candidate_tower, head = rating
        vectors, stars = rating_candidate_table(data, candidate_tower), data.interactions.rating_range
        exported = Rating(_Embedding(queries, query_tower), catalogue.titles, vectors, head, stars)
        write(exported, folder, features.RANKING_TFLITE)


def write(exported: Retrieval | Rating, folder: str, file: str) -> None:
    """Convert a model, and write it and its quantised variant."""
    with tempfile.TemporaryDirectory() as scratch:
        # Through a SavedModel, because only that way do the inputs keep their names in a signature.
        save(exported, scratch, {exported.signature: exported.function.get_concrete_function()})
        exact, quantized = convert(scratch, exported.signature)
    for name, content in ((file, exact), (features.quantized(file), quantized)):
        with tf.io.gfile.GFile(os.path.join(folder, name), "wb") as sink:
            sink.write(content)


def convert(saved_model: str, signature: str) -> tuple[bytes, bytes]:
    """Convert one signature of a SavedModel, in builtin operations only.

    Args:
      saved_model: its folder.
      signature: its name.
    Returns:
      The exact file; and the quantised one, which stores the tables in half the bytes, as float16, while the
      computation stays float32.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, [signature])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    exact = converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return exact, converter.convert()


def _spec(rows: tuple[features.RawFeature, ...], widths: Mapping[str, int]) -> dict[str, tf.TensorSpec]:
    return {
        row.name: tf.TensorSpec(
            [None, widths[row.name]] if row.repeated else [None], _DTYPES[row.dtype], row.name
        )
        for row in rows
    }


_WIDTHS = {row.name: features.HISTORY_LENGTH for row in features.HISTORY_FEATURES}
_TITLE = features.RawFeature(features.MOVIE_TITLE, features.Dtype.BYTES, "")
_RETRIEVAL_SPEC = _spec(
    (*features.QUERY_FEATURES, features.EXCLUDE_FEATURE),
    {**_WIDTHS, features.EXCLUDE_TITLE: features.DEVICE_EXCLUDED},
)
_RATING_SPEC = _spec((*features.QUERY_FEATURES, _TITLE), _WIDTHS)


class _Embedding(tf.Module):
    """From raw features of a query to its embedding."""

    def __init__(self, queries: OnDeviceQueries, tower: Tower):
        super().__init__()
        self._queries, self._tower = queries, tower

    def __call__(self, raw: Columns) -> tf.Tensor:
        return self._tower(self._queries(raw))


class _Positions(tf.Module):
    """Positions of titles in the catalogue; a title that is no candidate gets the one after the last."""

    def __init__(self, titles: np.ndarray):
        super().__init__()
        rows = tf.range(len(titles), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(titles), rows)
        self._table = tf.lookup.StaticHashTable(initializer, len(titles))

    def __call__(self, titles: tf.Tensor) -> tf.Tensor:
        return tf.cast(self._table.lookup(titles), tf.int32)


class Rating(tf.Module):
    """The rating of a user and a title."""

    signature = features.RATING_SIGNATURE

    def __init__(
        self, embed: Embed, titles: np.ndarray, vectors: tf.Tensor, head: Head, stars: tuple[float, float]
    ):
        """Take the parts.

        Args:
          embed: from raw features to `[batch, dim]`.
          titles: `[n]` bytes.
          vectors: `[n + 1, dim]`, the last for titles that are no candidates.
          head: from both embeddings to `[batch, 1]` ratings.
          stars: the least and the greatest rating.
        """
        super().__init__()
        self.embed, self.head, self._positions = embed, head, _Positions(titles)
        self._vectors, self._stars = tf.Variable(vectors, trainable=False), stars

    @tf.function(autograph=False, input_signature=[_RATING_SPEC])
    def function(self, raw: Columns) -> dict[str, tf.Tensor]:
        """Rate `[batch]` titles."""
        vectors = tf.gather(self._vectors, self._positions(raw[features.MOVIE_TITLE]))
        ratings = tf.squeeze(self.head(self.embed(raw), vectors), 1)
        lowest, highest = self._stars
        return {features.PREDICTED_RATING: tf.minimum(tf.maximum(ratings, lowest), highest)}


class Retrieval(tf.Module):
    """The best titles for a user, except those of the request's history and those that it excludes.

    Titles that the user rated in train are not excluded: the device knows its own user's ratings, and a table
    of all users' ratings would be most of the file.
    """

    signature = features.RETRIEVE_SIGNATURE

    def __init__(self, embed: Embed, titles: np.ndarray, ids: np.ndarray, vectors: tf.Tensor):
        """Take `embed`, from raw features to `[batch, dim]`; titles, ids and vectors of n candidates."""
        super().__init__()
        self.embed, self._positions = embed, _Positions(titles)
        self._vectors = tf.Variable(vectors, trainable=False)
        # One more of each, for ranks without a title.
        self._titles, self._ids = tf.constant([*titles, b""]), tf.constant([*ids, b""])
        self._count = len(titles)

    @tf.function(autograph=False, input_signature=[_RETRIEVAL_SPEC])
    def function(self, raw: Columns) -> dict[str, tf.Tensor]:
        """Search all candidates."""
        scores = tf.matmul(self.embed(raw), self._vectors, transpose_b=True)
        # LiteRT can look strings up, but not concatenate them.
        excluded = tf.concat(
            [self._positions(raw[name]) for name in (features.HISTORY_TITLE, features.EXCLUDE_TITLE)], axis=1
        )
        # Deep enough even if all excluded titles have the best scores.
        best, found = tf.math.top_k(scores, min(self._count, _DEPTH + excluded.shape[1]))
        is_excluded = tf.reduce_any(tf.equal(found[:, :, tf.newaxis], excluded[:, tf.newaxis, :]), axis=2)
        allowed = tf.cast(tf.logical_not(is_excluded), tf.int32)
        # Of equal elements top_k takes the earlier first, so the order stays.
        depth = min(self._count, _DEPTH)
        order = tf.math.top_k(allowed, depth).indices
        returned = tf.minimum(tf.reduce_sum(allowed, axis=1), depth)
        real = tf.range(depth)[tf.newaxis] < returned[:, tf.newaxis]
        positions = tf.where(real, tf.gather(found, order, batch_dims=1), self._count)
        return {
            features.MOVIE_TITLE: tf.gather(self._titles, positions),
            features.MOVIE_ID: tf.gather(self._ids, positions),
            features.SCORE: tf.where(real, tf.gather(best, order, batch_dims=1), _PADDING_SCORE),
            features.NUM_RETURNED: returned,
        }
