"""Towers: from transformed features to embeddings. Used by every model, in training and when exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from modules import features
from modules.hyperparameters import GradientConfig
from modules.towers.embedding import FeatureEmbedding, random_stream
from modules.towers.history import HistoryEncoder

# Features that queries after train have new values of, and how many rows leave each out for one that leaves
# out the user. Every moment of service is new, whoever asks: the rows without a user are among those.
_LEFT_OUT = {features.USER_ID: 1, features.TIMESTAMP_BUCKET: 2}

_BY_NAME = {feature.name: feature for feature in features.TRANSFORMED_FEATURES}


class Tower(tf.keras.Model):
    """Sum of the embeddings of some features, `[batch, embedding_dim]`.

    With `hidden_units`, one residual block over that sum, `x + V relu(U x + b)`, so that features meet.
    """

    def __init__(
        self,
        names: Sequence[str],
        sizes: Mapping[str, int],
        embedding_dim: int,
        l2: float = 0.0,
        limit: float = 0.05,
        history: HistoryEncoder | None = None,
        hidden_units: int = 0,
        unknown_share: float = 0.0,
    ):
        """Declare one table per feature.

        Args:
          names: of the transformed features that are read.
          sizes: number of values that each feature can take.
          embedding_dim: length of an embedding.
          l2: weight of a loss, the mean over the batch of the summed squares of all looked-up values.
          limit: greatest size of the initial values, which are uniform.
          history: reads the history, into embeddings of the same length; None not to.
          hidden_units: of the residual block; 0 for none.
          unknown_share: of rows in training whose user and moment are taken as unknown; as many again lose
            the moment alone.
        """
        super().__init__()
        self.embedding_dim = embedding_dim
        self._names = tuple(names)
        self._l2 = l2
        self._unknown_share = unknown_share
        self._random = random_stream()
        # The last index is what no train row has.
        self._unknown = {name: sizes[name] - 1 for name in _LEFT_OUT if name in self._names}
        self._embeddings = {
            name: FeatureEmbedding(_BY_NAME[name], sizes.get(name, 1), embedding_dim, limit)
            for name in self._names
        }
        self._history = history
        self._residual = None
        if hidden_units:
            # Zeros, so that training starts at the plain sum.
            layers = [
                tf.keras.layers.Dense(hidden_units, activation="relu"),
                tf.keras.layers.Dense(embedding_dim, use_bias=False, kernel_initializer="zeros"),
            ]
            self._residual = tf.keras.Sequential(layers)

    def assign(self, tables: Mapping[str, np.ndarray]) -> None:
        """Put tables, `[indices, dim]` by feature, in the place of its own; other tables stay as they are."""
        for name in self._names:
            self._embeddings[name].set_weights([tables[name]])

    def embed(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the plain sum, `[batch, embedding_dim]`: no history, no residual block, no loss."""
        return tf.add_n(self._parts(inputs))

    def _parts(self, inputs: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        return [self._embeddings[name](inputs[name]) for name in self._names]

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embed a batch.

        Args:
          inputs: at least the features named at construction, `[batch, width]` each.
        """
        if training and self._unknown_share:
            inputs = self._with_unknown(inputs)
        parts = self._parts(inputs)
        # Not stacked: of a whole catalogue, each copy costs as much as its part of the softmax.
        squares = tf.add_n([2 * tf.nn.l2_loss(part) for part in parts])
        norm = squares / tf.cast(tf.shape(parts[0])[0], squares.dtype)
        if self._history:
            past, norm_of_past = self._history(inputs, training=training)
            parts, norm = [*parts, past], norm + norm_of_past
        if training and self._l2:
            self.add_loss(self._l2 * norm)
        total = tf.add_n(parts)
        if self._residual:
            total += self._residual(total)
        return total

    def _with_unknown(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # Train knows all its users and moments; without this those indices would keep their initial values.
        inputs = dict(inputs)
        drawn = self._random.uniform([tf.shape(next(iter(inputs.values())))[0], 1])
        for name, share in _LEFT_OUT.items():
            if name in self._unknown:
                values = inputs[name]
                unknown = drawn < share * self._unknown_share
                inputs[name] = tf.where(unknown, tf.constant(self._unknown[name], values.dtype), values)
        return inputs


def two_towers(
    config: GradientConfig,
    sizes: Mapping[str, int],
    titles: Mapping[str, np.ndarray],
    embedding_dim: int,
    tied: bool,
    hidden_units: int = 0,
) -> tuple[Tower, Tower]:
    """Build a query tower and a candidate tower.

    Args:
      config: which features each reads, and how they are fitted.
      sizes: number of values that each feature can take.
      titles: candidate features by index in the titles' vocabulary, see `Catalogue.features_of_indices`.
      embedding_dim: length of an embedding.
      tied: whether the titles of a history have the candidate tower's embeddings.
      hidden_units: of the query's residual block; 0 for none.
    """
    candidates = Tower(config.candidate_features, sizes, embedding_dim, config.l2)
    history = None
    if config.history:
        history = HistoryEncoder(candidates, titles, tied, config.history.dropout)
    queries = Tower(
        config.query_features,
        sizes,
        embedding_dim,
        config.l2,
        history=history,
        hidden_units=hidden_units,
        unknown_share=config.unknown_share,
    )
    return queries, candidates


class Ensemble(tf.keras.Model):
    """Towers side by side, `[batch, sum of the lengths of their embeddings]`.

    The inner product of two such embeddings is the sum of those of their towers.
    """

    def __init__(self, towers: Sequence[tf.keras.Model]):
        """Take towers of one side."""
        super().__init__()
        self.towers = list(towers)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embed a batch, see `Tower.call`."""
        return tf.concat([tower(inputs, training=training) for tower in self.towers], axis=1)
