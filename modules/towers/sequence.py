"""The query tower of a sequence model: attention to the ratings before a query.

References: Kang and McAuley, Self-Attentive Sequential Recommendation (ICDM 2018); Klenitskiy and Vasilev,
Turning Dross Into Gold Loss (RecSys 2023), for the softmax over all titles at every position.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from modules import features
from modules.data import sequences
from modules.hyperparameters import RetrievalConfig, SequenceConfig
from modules.towers.attention import GAPS, AttentionBlock, Relation, gap_bucket
from modules.towers.tower import Tower

# Steps from the lowest to the highest rating.
_RATINGS = 10
# Greatest initial value of an embedding; the standard deviation is 0.05.
INITIAL = 0.087


class SequenceTower(tf.keras.Model):
    """The embedding of a query: its features, the latest rating, and what attention finds in those before.

    A rating of the history is its title's embedding by the candidate tower, and learned vectors of its stars
    and of the time since the rating before it. The last column of a candidate is its bias, for that of a
    query is 1. In training, `positions` embeds the queries of many ratings of a user at a time.
    """

    def __init__(
        self,
        config: RetrievalConfig,
        sequence: SequenceConfig,
        sizes: Mapping[str, int],
        candidates: Tower,
        titles: Mapping[str, np.ndarray],
        rating_range: tuple[float, float],
    ):
        """Declare the tables and the attention.

        Args:
          config: which features the query has.
          sequence: the attention.
          sizes: number of values that each feature can take.
          candidates: the candidate tower.
          titles: the features that it reads, `[indices, width]`, by index in the titles' vocabulary.
          rating_range: lowest and highest rating.
        """
        super().__init__()
        dim = candidates.embedding_dim
        self._query = Tower(
            config.query_features, sizes, dim, config.l2, INITIAL, unknown_share=config.unknown_share
        )
        self._candidates = candidates
        self._titles = {name: tf.constant(values, tf.int32) for name, values in titles.items()}
        self._lowest, self._span = rating_range[0], max(rating_range[1] - rating_range[0], 1e-6)
        self._embedded: tf.Variable | None = None
        self._attention = AttentionBlock(dim, sequence)
        self._stars, self._since, self._returns = (
            self.add_weight(
                name=name,
                shape=(rows, dim),
                initializer=tf.keras.initializers.RandomUniform(-INITIAL, INITIAL),
            )
            for name, rows in (("stars", _RATINGS + 1), ("since", GAPS), ("returns", GAPS))
        )

    def freeze(self) -> None:
        """Keep the embeddings of all titles as they are now, for queries that are served."""
        self._embedded = tf.Variable(self._candidates.embed(self._titles), trainable=False)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embed queries by the columns of their histories.

        Args:
          inputs: the query's transformed features, `[batch, width]`, and the columns of the history,
            `[batch, 1 or more]`.
        """
        titles, ages = inputs[features.HISTORY_TITLE], tf.cast(inputs[features.HISTORY_AGE], tf.int32)
        present = titles > 0
        before = _next_greater(tf.where(present, ages, tf.int32.max))
        since = _gap(before - ages, before < tf.int32.max)
        ratings = self._ratings(tf.maximum(titles - 1, 0), inputs[features.HISTORY_RATING])
        latest = tf.where(present[:, :1], ratings[:, 0], 0.0)
        returned = tf.gather(self._returns, _gap(ages[:, 0], present[:, 0]))
        query = self._query(inputs, training=training) + latest + returned
        back = tf.range(1, tf.shape(titles)[1] + 1)[tf.newaxis, tf.newaxis]
        relation = Relation.of(ages[:, tf.newaxis], present[:, tf.newaxis], back)
        ratings += tf.gather(self._since, since)
        found = self._attention(query[:, tf.newaxis], ratings, relation, training=training)
        return _with_bias(found[:, 0])

    def positions(self, rows: Mapping[str, tf.Tensor], context: int, training: bool) -> tf.Tensor:
        """Embed the queries of consecutive ratings, `[b * (ratings - context), dim]`.

        Args:
          rows: columns of windows of `sequences.windows`, `[b, ratings]` each.
          context: how many ratings at the beginning of each window are no queries.
        """
        queries = {name: values[:, context:] for name, values in rows.items()}
        order, earlier = rows[sequences.ORDER], rows[sequences.EARLIER]
        size = order.shape[1]
        # The column of the user's first rating. Where a short stream goes round, its copies differ in it.
        begins = tf.range(size) - order
        ratings = self._ratings(rows[features.MOVIE_TITLE], rows[features.RATING])
        # The column of the latest rating strictly before each query.
        last = (tf.range(size) + earlier - order - 1)[:, context:]
        has_latest = (last >= 0) & (queries[sequences.EARLIER] > 0)
        flat = {name: tf.reshape(values, [-1, 1]) for name, values in queries.items()}
        query = tf.reshape(self._query(flat, training=training), [-1, size - context, ratings.shape[2]])
        latest = tf.gather(ratings, tf.maximum(last, 0), batch_dims=1)
        query += tf.where(has_latest[:, :, tf.newaxis], latest, 0.0)
        query += tf.gather(self._returns, _gap(queries[sequences.SINCE], has_latest))
        back = queries[sequences.EARLIER][:, :, tf.newaxis] - order[:, tf.newaxis]
        same = begins[:, context:, tf.newaxis] == begins[:, tf.newaxis]
        seconds = queries[features.TIMESTAMP][:, :, tf.newaxis] - rows[features.TIMESTAMP][:, tf.newaxis]
        relation = Relation.of(seconds, same & (back > 0), back)
        ratings += tf.gather(self._since, _gap(rows[sequences.SINCE], earlier > 0))
        found = self._attention(query, ratings, relation, training=training)
        return _with_bias(tf.reshape(found, [-1, found.shape[2]]))

    def _ratings(self, titles: tf.Tensor, stars: tf.Tensor) -> tf.Tensor:
        """Embed `[b, ratings]` indices of titles and ratings."""
        embedded = self._candidates.embed(self._titles) if self._embedded is None else self._embedded
        step = tf.cast(tf.round((stars - self._lowest) / self._span * _RATINGS), tf.int32)
        return tf.gather(embedded, titles) + tf.gather(self._stars, tf.clip_by_value(step, 0, _RATINGS))


def _next_greater(ages: tf.Tensor) -> tf.Tensor:
    """Find, of ascending `[n, width]` int32, the next greater one after each; the greatest int32 for none.

    >>> _next_greater(tf.constant([[1, 3, 3, 3, 9]])).numpy()[0, :4].tolist()
    [3, 9, 9, 9]
    """

    def shifted(values: tf.Tensor, columns: int) -> tf.Tensor:
        padding = [[0, 0], [0, columns]]
        return tf.pad(values, padding, constant_values=tf.int32.max)[:, columns:]

    # Equal ones take what the one so many columns on has found.
    found, columns = shifted(ages, 1), 1
    while columns < features.HISTORY_LENGTH:
        found = tf.where(found > ages, found, shifted(found, columns))
        columns *= 2
    return found


def _with_bias(queries: tf.Tensor) -> tf.Tensor:
    """Put 1 in the last column of `[n, dim]` embeddings, so that a candidate's last column is its bias."""
    return tf.concat([queries[:, :-1], tf.ones_like(queries[:, -1:])], axis=1)


def _gap(seconds: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    return tf.where(known, gap_bucket(tf.where(known, seconds, 0)), GAPS - 1)
