"""Towers: from transformed features to embeddings. Used by every model, in training and when exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from modules import features
from modules.features import Encoding, TransformedFeature
from modules.hyperparameters import GradientConfig

# Small, so that a rating begins near the sum of the linear terms while a shared tower's embeddings are large.
_INITIAL_SCALE = 0.2

# Rows of a table up to which a set's mean is a product of matrices, which costs less than the lookups.
_FEW_ROWS = 64

# Titles up to which a training step embeds all of them, rather than each of the histories' own.
_FEW_TITLES = 5_000

# A weighted mean of many embeddings is small beside a single one.
_INITIAL_HISTORY_SCALE = 4.0
# Length of the vectors by which the titles of a history meet the latest of them.
_ATTENTION_DIM = 32

# Features that queries after train have new values of, and how many rows leave each out for one that leaves
# out the user. Every moment of service is new, whoever asks: the rows without a user are among those.
_LEFT_OUT = {features.USER_ID: 1, features.TIMESTAMP_BUCKET: 2}

_BY_NAME = {feature.name: feature for feature in features.TRANSFORMED_FEATURES}


def _random_stream() -> tf.random.Generator:
    """Return a stream of random numbers that a training's seed decides, also where XLA compiles its steps."""
    return tf.random.Generator.from_seed(int(tf.random.uniform([], maxval=tf.int32.max, dtype=tf.int32)))


class FeatureEmbedding(tf.keras.layers.Layer):
    """Embed one transformed feature.

    A set is the mean of its members' embeddings; a normalised number scales one learned vector.
    """

    def __init__(self, feature: TransformedFeature, num_indices: int, dim: int, limit: float):
        """Declare the table.

        Args:
          feature: what is embedded.
          num_indices: number of values that the feature can take; not used where it is normalised.
          dim: length of the embedding.
          limit: greatest size of the initial values, which are uniform.
        """
        super().__init__(name=feature.name)
        self._feature = feature
        rows = 1 if feature.encoding is Encoding.NORMALIZED else num_indices
        initializer = tf.keras.initializers.RandomUniform(-limit, limit)
        self._table = self.add_weight(name="table", shape=(rows, dim), initializer=initializer)

    @property
    def indexed_tables(self) -> list[tuple[tf.Variable, str]]:
        """The table, and the feature whose indices are its rows; for warm_start."""
        return [(self._table, self._feature.name)]

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Return `[batch, dim]` float32 for `[batch, width]` values."""
        if self._feature.encoding is Encoding.NORMALIZED:
            return values * self._table
        if not self._feature.is_set:
            return tf.gather(self._table, tf.squeeze(values, 1))
        present = tf.cast(values > 0, tf.float32)[:, :, tf.newaxis]
        shares = tf.math.divide_no_nan(present, tf.reduce_sum(present, 1, keepdims=True))
        rows = self._table.shape[0]
        if rows <= _FEW_ROWS:
            return tf.matmul(tf.reduce_sum(tf.one_hot(values, rows) * shares, 1), self._table)
        return tf.reduce_sum(tf.gather(self._table, values) * shares, 1)


class HistoryEncoder(tf.keras.layers.Layer):
    """The titles that a user rated before a query, and the time since the latest of them.

    `r(gap_1) + sum_j w_j s(gap_j) * e(title_j)`: the weights w are a softmax over the ratings of the history
    and over a logit of 0, so that what is long ago may count little although nothing else is there. A
    rating's logit is the sum of a learned one for the bucket of its gap, one for its rank in the order, and
    the product of projections of its title and of the latest title. s and r are learned vectors for each
    bucket. e are the candidate tower's embeddings, the title's, those of its genres and so on, or a table of
    the history's own: the former serve retrieval better, the latter a model that also rates. r tells a query
    in the same sitting from one by a user who returns; a query without history has a vector of its own.

    References: Liu et al., STAMP: Short-Term Attention/Memory Priority Model for Session-based Recommendation
    (KDD 2018), for attention from the latest title; Kang and McAuley, Self-Attentive Sequential
    Recommendation (ICDM 2018), section III-D, for one set of embeddings for history and candidates.
    """

    def __init__(
        self,
        candidates: Tower,
        titles: Mapping[str, np.ndarray],
        tied: bool,
        dropout: float = 0.0,
        limit: float = 0.05,
    ):
        """Declare the tables.

        Args:
          candidates: the candidate tower.
          titles: the features that it reads, `[indices, width]`, by index in the titles' vocabulary.
          tied: whether a title of the history has the candidate tower's embedding.
          dropout: share of ratings that a training step leaves out.
          limit: greatest size of the initial values of tables and r, which are uniform.
        """
        super().__init__(name="history")
        self._candidates = candidates
        self._titles = {name: tf.constant(values, tf.int32) for name, values in titles.items()}
        self._dropout = dropout
        self._random = _random_stream()
        dim = candidates.embedding_dim
        self._no_history = buckets = len(features.GAP_BOUNDARIES) + 1
        uniform = tf.keras.initializers.RandomUniform(-limit, limit)
        constant = tf.keras.initializers.Constant(_INITIAL_HISTORY_SCALE)
        shape = (len(titles[features.MOVIE_TITLE]), dim)
        self._own = None if tied else self.add_weight(name="titles", shape=shape, initializer=uniform)
        self._logits = self.add_weight(name="logits", shape=(buckets,), initializer="zeros")
        self._ranks = self.add_weight(name="ranks", shape=(features.HISTORY_LENGTH,), initializer="zeros")
        self._keys = self.add_weight(name="keys", shape=(dim, _ATTENTION_DIM))
        self._queries = self.add_weight(name="queries", shape=(dim, _ATTENTION_DIM))
        self._scales = self.add_weight(name="scales", shape=(buckets, dim), initializer=constant)
        # The last row is that of queries without history.
        self._returns = self.add_weight(name="returns", shape=(buckets + 1, dim), initializer=uniform)

    @property
    def indexed_tables(self) -> list[tuple[tf.Variable, str]]:
        """The history's own table, and the feature whose indices are its rows; for warm_start."""
        return [] if self._own is None else [(self._own, features.MOVIE_TITLE)]

    def _embedded(self, titles: tf.Tensor, training: bool) -> tf.Tensor:
        # Titles are shifted by one; what is looked up for the padding has no weight.
        indices = tf.maximum(titles - 1, 0)
        if self._own is not None:
            return tf.gather(self._own, indices)
        # A batch of training has more titles than a small catalogue; a query that is served has fewer.
        if training and len(self._titles[features.MOVIE_TITLE]) <= _FEW_TITLES:
            return tf.gather(self._candidates.embed(self._titles), indices)
        flat = tf.reshape(indices, [-1])
        embedded = self._candidates.embed({name: tf.gather(of, flat) for name, of in self._titles.items()})
        return tf.reshape(embedded, [-1, titles.shape[1], embedded.shape[1]])

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Embed a batch of histories.

        Args:
          inputs: the columns of the history, `[batch, HISTORY_LENGTH]` each.
        Returns:
          `[batch, dim]`, and the mean squared norm of the looked-up titles, a scalar.
        """
        titles, gaps = inputs[features.HISTORY_TITLE], inputs[features.HISTORY_GAP]
        present = tf.cast(titles > 0, tf.float32)
        if training and self._dropout:
            present *= tf.cast(self._random.uniform(tf.shape(present)) >= self._dropout, tf.float32)
        embedded = self._embedded(titles, training)
        logits = tf.gather(self._logits, gaps) + self._ranks[: titles.shape[1]]
        latest = tf.matmul(embedded[:, 0], self._queries)[:, tf.newaxis]
        logits += tf.reduce_sum(latest * tf.matmul(embedded, self._keys), axis=2) / _ATTENTION_DIM**0.5
        # In the exponential, not masked logits: the zero logit of the sum below is always there.
        weights = tf.exp(logits) * present
        weights /= 1.0 + tf.reduce_sum(weights, axis=1, keepdims=True)
        norms = tf.reduce_sum(tf.square(embedded), axis=2) * present
        norm = tf.reduce_mean(tf.reduce_sum(norms, 1) / (1.0 + tf.reduce_sum(present, 1)))
        scaled = embedded * tf.gather(self._scales, gaps)
        # The whole history's latest rating, also where a training step leaves it out of the sum.
        latest_gap = tf.where(titles[:, 0] > 0, gaps[:, 0], tf.constant(self._no_history, gaps.dtype))
        returned = tf.gather(self._returns, latest_gap)
        return returned + tf.reduce_sum(weights[:, :, tf.newaxis] * scaled, axis=1), norm


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
        self._random = _random_stream()
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
    """Towers side by side, `[batch, towers * embedding_dim]`.

    The inner product of two such embeddings is the sum of those of their towers.
    """

    def __init__(self, towers: Sequence[Tower]):
        """Take towers of one side."""
        super().__init__()
        self.towers = list(towers)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embed a batch, see `Tower.call`."""
        return tf.concat([tower(inputs, training=training) for tower in self.towers], axis=1)


class RatingHead(tf.keras.Model):
    """The rating of a pair, from the two sides' embeddings.

    Without hidden units a factorisation machine of which only the products across the sides are kept: those
    among a side's own features did harm on a part of train. An embedding's last column is its linear term.

    References: Rendle, Factorization Machines (ICDM 2010), equation 1.
    """

    def __init__(self, hidden_units: Sequence[int] | None, mean_rating: float, scaled_dims: int = 0):
        """Declare the head.

        Args:
          hidden_units: of the dense layers over both embeddings; None for a factorisation machine.
          mean_rating: of the train split, where a factorisation machine starts.
          scaled_dims: first columns of the machine's embeddings, where each product gets a learned scale: for
            those that another task shares, whose scores are larger than ratings. 0 for none.
        """
        super().__init__()
        self._dense = None
        if hidden_units is None:
            self._mean = self.add_weight(name="mean", initializer=tf.keras.initializers.Constant(mean_rating))
            self._scaled_dims = scaled_dims
            if scaled_dims:
                initializer = tf.keras.initializers.Constant(_INITIAL_SCALE)
                self._scale = self.add_weight(name="scale", shape=(scaled_dims,), initializer=initializer)
        else:
            layers = [tf.keras.layers.Dense(units, activation="relu") for units in hidden_units]
            self._dense = tf.keras.Sequential([*layers, tf.keras.layers.Dense(1)])

    @property
    def is_inner_product(self) -> bool:
        """Whether the rating is the inner product of `query_vectors` and `candidate_vectors`."""
        return self._dense is None

    def query_vectors(self, query: tf.Tensor) -> tf.Tensor:
        """Turn `[batch, dim]` embeddings of queries into `[batch, dim + 1]` factors of an inner product."""
        factors = query[:, :-1]
        if self._scaled_dims:
            own = factors[:, self._scaled_dims :]
            factors = tf.concat([self._scale * factors[:, : self._scaled_dims], own], axis=1)
        return tf.concat([factors, tf.ones_like(query[:, :1]), self._mean + query[:, -1:]], axis=1)

    @staticmethod
    def candidate_vectors(candidate: tf.Tensor) -> tf.Tensor:
        """Turn `[n, dim]` embeddings of candidates into the other factors, `[n, dim + 1]`."""
        return tf.concat([candidate, tf.ones_like(candidate[:, :1])], axis=1)

    def call(self, query: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
        """Return `[batch, 1]` ratings for two `[batch, dim]` embeddings."""
        if self._dense is not None:
            return self._dense(tf.concat([query, candidate], axis=1))
        products = query[:, :-1] * candidate[:, :-1]
        if self._scaled_dims:
            shared, own = products[:, : self._scaled_dims], products[:, self._scaled_dims :]
            products = tf.concat([self._scale * shared, own], axis=1)
        return self._mean + query[:, -1:] + candidate[:, -1:] + tf.reduce_sum(products, axis=1, keepdims=True)
