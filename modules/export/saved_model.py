"""What a Trainer writes: a SavedModel with the signatures of modules.features. Runs in the Trainers.

Raw features go in; the graph of Transform, the towers and the tables are inside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.saving.legacy.saved_model.utils import keras_option_scope  # Not exported by tf_keras.

from modules import features
from modules.data import baselines, dataset, item_item
from modules.evaluation import ranking_metrics
from modules.export.queries import Queries
from modules.export.raw_columns import as_columns, dense, query_spec
from modules.towers.rating_head import RatingHead
from modules.training import TrainingData

# Candidates that serving_default of a retrieval model returns.
_TOP_K = max(features.TOP_KS)
# Pads, with an empty title, a row that has fewer titles. Finite, so that it can be written as JSON.
_PADDING_SCORE = tf.float32.min
# Weight of popularity among titles that a baseline scores alike: far below the differences of its scores.
_TIES = 1e-10
# Without a timestamp a model would answer as of 1970; without a title there is nothing to rate.
_REQUIRED = (features.TIMESTAMP, features.MOVIE_TITLE)

Tower = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


class ServedModel:
    """A model as it is exported: towers, tables and signatures."""

    def __init__(self, data: TrainingData, history_length: int = features.TRAIN_HISTORY_LENGTH):
        """Take what every signature needs; `add_retrieval` and `add_rating` add signatures that predict.

        Args:
          data: what the model was trained on.
          history_length: ratings of a user of train that stand for the history of a request without one.
        """
        self._data = data
        self._queries = Queries(data, history_length)
        self._positions = _position_table(data.catalogue.titles)
        # What the signatures read. Nothing else is saved beside them, for a server calls nothing else.
        self._state: list[Any] = [self._queries, self._positions]
        self._signatures: dict[str, tf.types.experimental.GenericFunction] = {}
        self._predictions: list[Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]] = []
        self._eval_columns: list[Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]] = []

    def add_retrieval(
        self, query_tower: Tower, candidate_tower: Tower, describing: Collection[str] = ()
    ) -> None:
        """Add the signatures `query`, `candidates` and `seen`, and the columns of retrieval.

        Args:
          query_tower: from transformed features to `[batch, dim]`.
          candidate_tower: from transformed features to `[n, dim]`.
          describing: transformed features by which the query tower was trained to describe cold-start users.
            A request that holds one of them which belongs to the user makes the user known.
        """
        data = self._data
        own = [name for name in describing if name in data.interactions.user_features]
        raw = {feature.raw for feature in features.TRANSFORMED_FEATURES if feature.name in own}
        self._describing_defaults = {f.name: f.default for f in features.QUERY_FEATURES if f.name in raw}
        self._query_tower = query_tower
        vectors = candidate_tower({name: tf.constant(v) for name, v in data.catalogue.transformed.items()})
        self._candidate_vectors = tf.Variable(vectors, trainable=False, name="candidate_vectors")
        self._titles = tf.constant(data.catalogue.titles)
        self._movie_ids = tf.constant(data.catalogue.movie_ids)
        popularity = data.interactions.popularity(len(data.catalogue))
        self._popularity = tf.constant(popularity, tf.int64)
        self._popularity_scores = tf.constant(baselines.popularity_scores(popularity))
        self._positions_by_id = _position_table(data.catalogue.movie_ids)
        self._item_item = item_item.fit(data.interactions, len(data.catalogue))
        positions, splits = data.interactions.seen()
        self._seen_positions = tf.Variable(positions, trainable=False, name="seen_positions")
        self._seen_splits = tf.Variable(splits, trainable=False, name="seen_splits")
        self._state += [query_tower, self._candidate_vectors, self._seen_positions, self._seen_splits]
        self._state += [self._positions_by_id, *filter(None, [self._item_item])]
        self._signatures[features.QUERY_SIGNATURE] = tf.function(
            self._query, autograph=False, input_signature=[query_spec()]
        )
        self._signatures[features.CANDIDATES_SIGNATURE] = tf.function(
            self._candidates, autograph=False, input_signature=[]
        )
        names = (features.USER_ID, features.HISTORY_TITLE, *self._describing_defaults)
        spec = {name: query_spec()[name] for name in names}
        self._signatures[features.SEEN_SIGNATURE] = tf.function(
            self._seen, autograph=False, input_signature=[spec]
        )
        self._predictions.append(self._recommend)
        self._eval_columns.append(self._ranks)

    def _query(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {features.QUERY_EMBEDDING: self._query_tower(self._queries(as_columns(raw)))}

    def _candidates(self) -> dict[str, tf.Tensor]:
        return {
            features.MOVIE_ID: self._movie_ids,
            features.MOVIE_TITLE: self._titles,
            features.CANDIDATE_POPULARITY: self._popularity,
            features.CANDIDATE_EMBEDDING: self._candidate_vectors.read_value(),
        }

    def _seen(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        user_id = {features.USER_ID: raw[features.USER_ID][:, tf.newaxis]}
        users = self._data.transform_layer(user_id)[features.USER_ID]
        known = tf.squeeze(users, 1) < self._data.interactions.num_users
        given = [tf.reduce_any(self._positions.lookup(raw[features.HISTORY_TITLE]) >= 0, axis=1)]
        given += [raw[name] != default for name, default in self._describing_defaults.items()]
        is_known = tf.reduce_any(tf.stack([known, *given]), axis=0)
        return {features.SEEN: self._rated(raw, users), features.USER_KNOWN: is_known}

    def _seen_of(self, users: tf.Tensor) -> tf.Tensor:
        table = tf.RaggedTensor.from_row_splits(self._seen_positions, self._seen_splits, validate=False)
        return tf.gather(table, tf.squeeze(users, 1)).to_tensor(-1)

    def _rated(self, raw: Mapping[str, tf.Tensor], users: tf.Tensor) -> tf.Tensor:
        """List the positions of the titles that a user rated in train or that the request's history holds."""
        return tf.concat([self._seen_of(users), self._positions.lookup(raw[features.HISTORY_TITLE])], axis=1)

    def _scores(self, query: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.matmul(self._query_tower(query), self._candidate_vectors, transpose_b=True)

    def _recommend(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        query = self._queries(raw)
        scores = ranking_metrics.exclude(self._scores(query), self._rated(raw, query[features.USER_ID]))
        best, positions = tf.math.top_k(scores, tf.minimum(_TOP_K, tf.shape(scores)[1]))
        # Where fewer titles are unseen than there are columns, the last columns would hold seen titles.
        unseen = best > -float("inf")
        return {
            features.MOVIE_TITLE: tf.where(unseen, tf.gather(self._titles, positions), ""),
            features.MOVIE_ID: tf.where(unseen, tf.gather(self._movie_ids, positions), ""),
            features.SCORE: tf.where(unseen, best, _PADDING_SCORE),
        }

    def _ranks(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        positions = self._positions.lookup(tf.squeeze(raw[features.MOVIE_TITLE], 1))
        num_candidates = len(self._data.catalogue)
        excluded = self._positions_by_id.lookup(raw[features.EXCLUDE_ID])
        excluded = ranking_metrics.marks(excluded, num_candidates)
        own_is_excluded = tf.gather(excluded, tf.maximum(positions, 0), batch_dims=1) & (positions >= 0)

        def unseen_rank(scores: tf.Tensor) -> tf.Tensor:
            ranks = ranking_metrics.ranks(tf.where(excluded, -float("inf"), scores), positions)
            return tf.where(own_is_excluded, features.EXCLUDED_ROW, ranks)

        scores = self._scores(self._queries(raw))
        popularity = tf.broadcast_to(self._popularity_scores, tf.shape(scores))
        item_item_rank = tf.fill(tf.shape(positions), features.NO_RANK)
        if self._item_item:
            # Popularity orders the titles to which the item-item model gives equal scores.
            item_item_rank = unseen_rank(self._item_item.scores(excluded) + _TIES * popularity)
        unseen = tf.where(excluded, -float("inf"), scores)
        return {
            features.RANK: ranking_metrics.ranks(scores, positions),
            features.RANK_UNSEEN: unseen_rank(scores),
            features.POPULARITY_RANK_UNSEEN: unseen_rank(popularity),
            features.ITEM_ITEM_RANK_UNSEEN: item_item_rank,
            features.TOP_UNSEEN: ranking_metrics.best(unseen, features.COVERAGE_DEPTH),
            features.NUM_CANDIDATES: tf.fill(tf.shape(positions), num_candidates),
            features.NUM_EXCLUDED: tf.reduce_sum(tf.cast(excluded, tf.int32), axis=1),
        }

    def add_rating(
        self, query_tower: Tower, candidate_tower: Tower, head: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    ) -> None:
        """Add the signature `rate` and the columns of the rating; then the inner product's, or `rate_titles`.

        Args:
          query_tower: from transformed features to `[batch, dim]`.
          candidate_tower: from transformed features to `[n, dim]`.
          head: from both embeddings to `[batch, 1]` ratings; a RatingHead may be an inner product.
        """
        self._rating_query_tower = query_tower
        self._rating_head = head
        table = rating_candidate_table(self._data, candidate_tower)
        self._rating_vectors = tf.Variable(table, trainable=False, name="rating_candidate_vectors")
        self._state += [query_tower, head, self._rating_vectors]
        title_spec = {features.MOVIE_TITLE: tf.TensorSpec([None], tf.string, name=features.MOVIE_TITLE)}
        self._signatures[features.RATING_SIGNATURE] = tf.function(
            lambda raw: self._rate(as_columns(raw)),
            autograph=False,
            input_signature=[{**query_spec(), **title_spec}],
        )
        if isinstance(head, RatingHead) and head.is_inner_product:
            self._signatures[features.RATING_QUERY_SIGNATURE] = tf.function(
                lambda raw: {
                    features.QUERY_EMBEDDING: head.query_vectors(query_tower(self._queries(as_columns(raw))))
                },
                autograph=False,
                input_signature=[query_spec()],
            )
            self._signatures[features.RATING_CANDIDATES_SIGNATURE] = tf.function(
                lambda: {
                    features.MOVIE_TITLE: tf.constant(self._data.catalogue.titles),
                    features.CANDIDATE_EMBEDDING: head.candidate_vectors(self._rating_vectors[:-1]),
                    features.RATING_RANGE: tf.constant(self._data.interactions.rating_range, tf.float32),
                },
                autograph=False,
                input_signature=[],
            )
        else:
            several = {
                features.MOVIE_TITLE: tf.TensorSpec([None, None], tf.string, name=features.MOVIE_TITLE)
            }
            self._signatures[features.RATING_TITLES_SIGNATURE] = tf.function(
                self._rate_titles, autograph=False, input_signature=[{**query_spec(), **several}]
            )
        self._predictions.append(self._rate)
        self._biases = _fit_biases(self._data)
        self._eval_columns += [self._rate, self._rate_by_biases]

    def _rate(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        queries = self._rating_query_tower(self._queries(raw))
        return self._ratings(queries, tf.squeeze(raw[features.MOVIE_TITLE], 1))

    def _rate_titles(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        titles = raw[features.MOVIE_TITLE]
        shape = tf.shape(titles)
        queries = self._rating_query_tower(self._queries(as_columns(raw)))
        rated = self._ratings(tf.repeat(queries, shape[1], axis=0), tf.reshape(titles, [-1]))
        return {name: tf.reshape(values, shape) for name, values in rated.items()}

    def _ratings(self, queries: tf.Tensor, titles: tf.Tensor) -> dict[str, tf.Tensor]:
        """Rate `[pairs]` titles by `[pairs, dim]` embeddings of queries."""
        positions = self._positions.lookup(titles)
        unknown = len(self._data.catalogue)
        vectors = tf.gather(self._rating_vectors, tf.where(positions < 0, unknown, positions))
        ratings = self._rating_head(queries, vectors)
        lowest, highest = self._data.interactions.rating_range
        return {features.PREDICTED_RATING: tf.clip_by_value(tf.squeeze(ratings, 1), lowest, highest)}

    def _rate_by_biases(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        positions = self._positions.lookup(tf.squeeze(raw[features.MOVIE_TITLE], 1))
        user_id = {features.USER_ID: raw[features.USER_ID]}
        users = tf.squeeze(self._data.transform_layer(user_id)[features.USER_ID], 1)
        biases = self._biases
        title_bias = tf.gather(biases.titles, tf.where(positions < 0, len(self._data.catalogue), positions))
        ratings = tf.cast(biases.mean + tf.gather(biases.users, users) + title_bias, tf.float32)
        return {
            features.BIAS_RATING: tf.clip_by_value(ratings, *self._data.interactions.rating_range),
            features.MEAN_RATING: tf.fill(tf.shape(ratings), tf.cast(biases.mean, tf.float32)),
        }

    def save(self, path: str) -> None:
        """Write the SavedModel with every signature that was added."""
        signatures = {
            **self._signatures,
            features.SERVING_SIGNATURE: self._over_examples(self._predictions, self._request_spec()),
            features.EVAL_SIGNATURE: self._over_examples(
                self._eval_columns, dataset.raw_feature_spec(features.RATING_ROW)
            ),
        }
        model = tf.Module()
        model.state = self._state
        save(model, path, {name: f.get_concrete_function() for name, f in signatures.items()})

    def _request_spec(self) -> dict:
        """Return the spec of a request: no label, no slice; features that are not given take defaults."""
        rows = [*features.QUERY_FEATURES]
        if features.RATING_SIGNATURE in self._signatures:
            rows += [row for row in features.CANDIDATE_FEATURES if row.name == features.MOVIE_TITLE]
        spec = dataset.raw_feature_spec(rows)
        for row in rows:
            if row.name not in _REQUIRED and not row.repeated:
                spec[row.name] = spec[row.name]._replace(default_value=[row.default])
        return spec

    def _over_examples(
        self, parts: list[Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]], spec: dict
    ) -> tf.types.experimental.GenericFunction:
        @tf.function(
            autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)]
        )
        def signature(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            raw = dense(tf.io.parse_example(examples, spec))
            return {name: column for part in parts for name, column in part(raw).items()}

        return signature


def save(model: tf.Module, path: str, signatures: Mapping[str, Callable]) -> None:
    """Write a SavedModel whose Keras layers are weights and tables alone.

    A server calls the signatures. By default Keras also traces every layer's own call, with autograph, which
    takes longer than tracing the signatures.
    """
    with keras_option_scope(save_traces=False):
        tf.saved_model.save(model, path, signatures)


def rating_candidate_table(data: TrainingData, candidate_tower: Tower) -> tf.Tensor:
    """Embed every candidate once, `[n + 1, dim]`; the last row stands for titles that are no candidates."""
    raw = {
        features.MOVIE_ID: tf.constant([[""]]),
        features.MOVIE_TITLE: tf.constant([[""]]),
        features.MOVIE_YEAR: tf.constant([[features.UNKNOWN_YEAR]], tf.int64),
        features.MOVIE_GENRES: tf.sparse.from_dense([[features.UNKNOWN]]),
    }
    unknown = data.transform_layer(raw)
    return candidate_tower({n: tf.concat([v, unknown[n]], 0) for n, v in data.catalogue.transformed.items()})


def _position_table(keys: np.ndarray) -> tf.lookup.StaticHashTable:
    """Map the candidates' titles or ids to their positions; -1 for what is no candidate."""
    positions = np.arange(len(keys), dtype=np.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, positions), -1)


def _fit_biases(data: TrainingData) -> baselines.Biases:
    """Fit the baseline; the last user and the last title stand for unknown ones."""
    read = data.interactions
    users, titles = read.num_users + 1, len(data.catalogue) + 1
    return baselines.biases(read.users, read.positions, read.ratings, users, titles)
