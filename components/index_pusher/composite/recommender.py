"""The composite SavedModel: one call from a user's id and history to titles, scores and predicted ratings.

Built in the executor's process; its graph runs wherever the bundle is served. Loading the build on ScaNN's
index needs `import scann`, which registers its operations; the build on brute force needs TensorFlow alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.index_pusher.composite import diversity, signatures
from components.index_pusher.composite.order import Order
from components.index_pusher.index.searches import BruteForce, Index
from modules import features

K = "k"
SERVED_BY = "served_by"
EXCLUDE_TITLE = features.EXCLUDE_TITLE
NUM_RETURNED = features.NUM_RETURNED
BY_MODEL = "model"
BY_POPULARITY = "popularity"
# Score of the padding of a row with fewer titles than the others. Finite, so that JSON can hold it.
PADDING_SCORE = float(np.finfo(np.float32).min)

_REQUEST = [
    tf.TensorSpec([], tf.int32, K),
    tf.TensorSpec([None, None], tf.string, EXCLUDE_TITLE),
    *(
        tf.TensorSpec([None, None] if row.repeated else [None], tf.as_dtype(row.dtype.value), row.name)
        for row in features.QUERY_FEATURES
    ),
]


class Recommender(tf.Module):
    """Query tower, index, hard exclusion of seen titles, popularity for cold-start users, ranking model.

    Seen titles are those that the user rated in train, those in the request's history, and those that the
    request excludes. A cold-start user does not occur in train, and the request holds neither a title of the
    catalogue nor a side feature by which the model describes users. The index is searched for k titles (or
    a pool, see Order.pool), and for as many more as the greatest number of seen titles in the batch, so that
    k titles remain after the exclusion if the catalogue holds that many unseen ones.
    """

    def __init__(self, order: Order, index: Index | BruteForce) -> None:
        """Compose loaded models.

        Args:
          order: of the recommendations; its retrieval model has the signature `seen`, too.
          index: over `order.candidates.embeddings`.
        """
        super().__init__(name="recommender")
        retrieval, ranking, candidates = order.retrieval, order.ranking, order.candidates
        self._order = order
        # Held as attributes, so that the tables the signatures read are saved with the composite.
        self._state = [signatures.state(retrieval), signatures.state(ranking)]
        self._seen = functools.partial(signatures.call, retrieval.signatures[features.SEEN_SIGNATURE])
        self.index = index
        most_popular = np.argsort(-candidates.popularity, kind="stable").astype(np.int32)
        self._titles = _fixed(candidates.titles.astype(object), tf.string)
        self._ids = _fixed(candidates.ids.astype(object), tf.string)
        self._popularity = _fixed(candidates.popularity.astype(np.float32), tf.float32)
        self._by_popularity = _fixed(most_popular, tf.int32)
        self._count = len(candidates)
        if order.ratings:
            self._rating_vectors = _fixed(order.ratings.embeddings, tf.float32)
        if order.diversity:
            self._genres = _fixed(order.diversity.genres, tf.bool)

    @tf.function(autograph=False, input_signature=_REQUEST[2:])
    def query(self, *columns: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the vector that the index is searched with, for a search elsewhere (see vectors.py).

        Args:
          columns: as of `recommend`.
        Returns:
          `query_embedding`, `[b, d]` float32.
        """
        return {features.QUERY_EMBEDDING: self._order.queries(_named(columns))[0]}

    @tf.function(autograph=False, input_signature=_REQUEST)
    def recommend(self, k: tf.Tensor, exclude_title: tf.Tensor, *columns: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommend unseen titles.

        Args:
          k: scalar int32, at least 1.
          exclude_title: `[b, any]` string, titles that may not be recommended; a text that is no title of
            the catalogue has no effect, so shorter rows are padded with "".
          columns: `[b]` each, repeated ones `[b, any]`, in the order of `features.QUERY_FEATURES`; unknown
            values are given by their defaults. The saved signature takes them by name.
        Returns:
          `movie_title`, `movie_id`, `score`, `predicted_rating`: `[b, min(k, catalogue)]`, best first by
          score or, with a diversity, by that of diversity.py; `served_by` `[b]`: `model` (score: that of
          BlendConfig) or `popularity` (score: ratings in train); `num_returned` `[b]`: columns that hold a
          title. Those after them hold empty strings, PADDING_SCORE and a rating of 0.
        """
        # A control dependency of k, or another operation may fail first, with a message that does not help.
        with tf.control_dependencies([tf.debugging.assert_positive(k, "k must be at least 1")]):
            k = tf.minimum(k, self._count)
        query = _named(columns)
        seen, known = self._seen_and_known(query, exclude_title)
        order = self._order
        pool = tf.clip_by_value(order.pool, k, self._count) if order.pool else k
        vectors, rating_vectors = order.queries(query)
        positions, scores = self._ranked(vectors, seen, known, pool)
        positions, scores, remaining = best_unseen(positions, scores, seen, pool)
        real = tf.sequence_mask(remaining, pool)
        ratings = tf.where(real, self._ratings(query, rating_vectors, positions), 0.0)
        scores = tf.where(real, scores, PADDING_SCORE)
        # Popularity alone orders what it serves.
        if not order.is_one_search:
            scores += tf.where(known[:, None], order.weight * ratings, 0.0)
            columns = tf.math.top_k(scores, pool if order.diversity else k).indices
            positions, scores, ratings, real = _taken(columns, positions, scores, ratings, real)
        if order.diversity:
            weight = tf.where(known, order.diversity.weight, 0.0)
            columns = self._diverse(positions, scores, real, weight, k)
            positions, scores, ratings, real = _taken(columns, positions, scores, ratings, real)
        answer = {
            features.MOVIE_TITLE: tf.where(real, tf.gather(self._titles, positions), ""),
            features.MOVIE_ID: tf.where(real, tf.gather(self._ids, positions), ""),
            features.SCORE: scores,
            features.PREDICTED_RATING: ratings,
            SERVED_BY: tf.where(known, BY_MODEL, BY_POPULARITY),
            NUM_RETURNED: tf.minimum(remaining, k),
        }
        # ScaNN's operations have no static shapes; these are for the signature, which clients read.
        ranks = {SERVED_BY: 1, NUM_RETURNED: 1}
        return {name: tf.ensure_shape(tensor, [None] * ranks.get(name, 2)) for name, tensor in answer.items()}

    def _seen_and_known(
        self, query: Mapping[str, tf.Tensor], exclude_title: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return `[b, any]` positions of seen titles, -1 for none; and `[b]` whether users are known."""
        known = self._seen(query)[features.USER_KNOWN]
        # The signature finds the positions of a history's titles, so the excluded titles are added to it. It
        # is called once without them, because excluded titles do not make a user known.
        titles = tf.concat([query[features.HISTORY_TITLE], exclude_title], axis=1)
        seen = self._seen({**query, features.HISTORY_TITLE: titles})[features.SEEN]
        return seen, known

    def _ranked(
        self, vectors: tf.Tensor, seen: tf.Tensor, known: tf.Tensor, k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`[b, f]` positions and scores, best first, of so many candidates that k remain after exclusion."""
        most_seen = tf.reduce_max(tf.reduce_sum(tf.cast(seen >= 0, tf.int32), axis=1))
        # The maximum of an empty batch is the least integer, hence the lower bound.
        fetch = tf.clip_by_value(k + tf.maximum(most_seen, 0), 1, self._count)
        positions, scores = self.index.search(vectors, fetch)
        popular = self._by_popularity[:fetch]
        return (
            tf.where(known[:, None], positions, popular[None]),
            tf.where(known[:, None], scores, tf.gather(self._popularity, popular)[None]),
        )

    def _diverse(
        self, positions: tf.Tensor, scores: tf.Tensor, real: tf.Tensor, weight: tf.Tensor, k: tf.Tensor
    ) -> tf.Tensor:
        """`[b, k]` columns of `[b, any]` candidates, best first: a pool in another order, then all others."""
        pool = tf.minimum(diversity.POOL, tf.shape(positions)[1])
        genres = tf.cast(tf.gather(self._genres, positions[:, :pool]), tf.float32)
        chosen = diversity.maximal_marginal_relevance(
            scores[:, :pool], real[:, :pool], genres, weight, tf.minimum(k, pool)
        )
        others = tf.range(pool, tf.maximum(k, pool))
        return tf.concat([chosen, tf.repeat(others[tf.newaxis], tf.shape(chosen)[0], axis=0)], axis=1)

    def _ratings(
        self, query: Mapping[str, tf.Tensor], vectors: tf.Tensor | None, positions: tf.Tensor
    ) -> tf.Tensor:
        """`[b, k]` predicted ratings of the candidates at `[b, k]` positions, by vectors where there are."""
        if (ratings := self._order.ratings) and vectors is not None:
            products = tf.linalg.matvec(tf.gather(self._rating_vectors, positions), vectors)
            return tf.clip_by_value(products, ratings.lowest, ratings.highest)
        rate = self._order.ranking.signatures[features.RATING_TITLES_SIGNATURE]
        titles = tf.gather(self._titles, positions)
        rated = signatures.call(rate, {**query, features.MOVIE_TITLE: titles})
        return tf.cast(rated[features.PREDICTED_RATING], tf.float32)


def _named(columns: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    return {row.name: column for row, column in zip(features.QUERY_FEATURES, columns, strict=True)}


def _taken(columns: tf.Tensor, *values: tf.Tensor) -> list[tf.Tensor]:
    """`[b, k]` columns of each of the `[b, any]` values."""
    return [tf.gather(of_all, columns, batch_dims=1) for of_all in values]


def _fixed(values: np.ndarray, dtype: tf.DType) -> tf.Variable:
    """A variable rather than a constant: a large catalogue must not swell the graph's own file."""
    return tf.Variable(tf.constant(values, dtype), trainable=False)


def best_unseen(
    positions: tf.Tensor, scores: tf.Tensor, seen: tf.Tensor, k: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Drop seen candidates and return the first k of the rest, in the given order.

    Args:
      positions: `[b, f]` int32, distinct in a row.
      scores: `[b, f]`.
      seen: `[b, w]` int32, any order, -1 for none.
      k: scalar int32, at most f.
    Returns:
      `[b, k]` positions and scores, and `[b]` int32, how many of a row's are real; the rest is arbitrary.

    >>> best_unseen([[4, 2, 0]], [[3.0, 2.0, 1.0]], [[2, -1]], 2)[0].numpy().tolist()
    [[4, 0]]
    """
    positions, scores = tf.convert_to_tensor(positions), tf.convert_to_tensor(scores)
    # Binary search in the sorted row: comparing all pairs would need b*f*w of memory.
    ordered = tf.sort(tf.pad(seen, [[0, 0], [0, 1]], constant_values=-1), axis=1)
    slots = tf.minimum(tf.searchsorted(ordered, positions), tf.shape(ordered)[1] - 1)
    unseen = tf.not_equal(tf.gather(ordered, slots, batch_dims=1), positions)
    # Of equal elements top_k takes the earlier first, so the given order stays.
    order = tf.math.top_k(tf.cast(unseen, tf.int32), k).indices
    returned = tf.minimum(tf.reduce_sum(tf.cast(unseen, tf.int32), axis=1), k)
    return tf.gather(positions, order, batch_dims=1), tf.gather(scores, order, batch_dims=1), returned


def save(recommender: Recommender, path: str) -> None:
    """Write the composite with the raw-tensor signatures `serving_default` and `query`."""
    tf.saved_model.save(
        recommender,
        path,
        signatures={
            features.SERVING_SIGNATURE: recommender.recommend,
            features.QUERY_SIGNATURE: recommender.query,
        },
        options=tf.saved_model.SaveOptions(namespace_whitelist=list(recommender.index.namespaces)),
    )
