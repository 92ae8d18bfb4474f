"""What planted models answer to serialised Examples and on devices."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from modules import features
from modules.data import baselines, dataset
from modules.evaluation import ranking_metrics
from modules.export import tflite

_DEPTH = 100


def over_examples(functions: Mapping[str, Any]) -> Any:
    """The signature `serving_default` of a model with these signatures."""
    rows = [*features.QUERY_FEATURES, *features.CANDIDATE_FEATURES[1:2]]
    spec = dataset.raw_feature_spec(rows)
    if features.RATING_SIGNATURE not in functions:
        spec.pop(features.MOVIE_TITLE)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.EXAMPLES_INPUT)])
    def serve(examples):
        parsed = tf.io.parse_example(examples, spec)
        raw = {
            row.name: tf.RaggedTensor.from_sparse(parsed[row.name]).to_tensor(row.default)
            if row.repeated
            else parsed[row.name][:, 0]
            for row in rows
            if row.name in parsed
        }
        answer = {}
        if features.RATING_SIGNATURE in functions:
            answer.update(functions[features.RATING_SIGNATURE](*raw.values()))
        if features.QUERY_SIGNATURE in functions:
            query = [raw[row.name] for row in features.QUERY_FEATURES]
            answer.update(_best(functions, query, raw))
        return answer

    return serve


def _best(functions: Mapping[str, Any], query: list, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    candidates = functions[features.CANDIDATES_SIGNATURE]()
    embedded = functions[features.QUERY_SIGNATURE](*query)[features.QUERY_EMBEDDING]
    seen = functions[features.SEEN_SIGNATURE](raw[features.USER_ID], raw[features.HISTORY_TITLE])
    scores = tf.matmul(embedded, candidates[features.CANDIDATE_EMBEDDING], transpose_b=True)
    depth = tf.minimum(_DEPTH, tf.shape(scores)[1])
    best, positions = tf.math.top_k(ranking_metrics.exclude(scores, seen[features.SEEN]), depth)
    unseen = tf.math.is_finite(best)
    return {
        features.MOVIE_TITLE: tf.where(unseen, tf.gather(candidates[features.MOVIE_TITLE], positions), ""),
        features.SCORE: tf.where(unseen, best, tf.float32.min),
    }


def judging(functions: Mapping[str, Any], world: Any, titles: Any, ids: Any) -> Any:
    """The signature `eval` of a retrieval model, with tables of its titles and ids: ranks in other orders."""
    spec = dataset.raw_feature_spec(
        [*features.QUERY_FEATURES, features.CANDIDATE_FEATURES[1], features.EXCLUDE_ID_FEATURE]
    )
    popularity = tf.constant(baselines.popularity_scores(world.popularity))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.EXAMPLES_INPUT)])
    def judge(examples):
        raw = {
            name: tf.sparse.to_dense(values, "" if values.dtype == tf.string else 0, validate_indices=False)
            if isinstance(values, tf.SparseTensor)
            else values[:, 0]
            for name, values in tf.io.parse_example(examples, spec).items()
        }
        query = [raw[row.name] for row in features.QUERY_FEATURES]
        embedded = functions[features.QUERY_SIGNATURE](*query)[features.QUERY_EMBEDDING]
        scores = tf.matmul(embedded, tf.constant(world.embeddings), transpose_b=True)
        positions = tf.cast(titles.lookup(raw[features.MOVIE_TITLE]), tf.int32)
        found = tf.cast(ids.lookup(raw[features.EXCLUDE_ID]), tf.int32)
        excluded = ranking_metrics.marks(found, len(world.ids) + 1)[:, :-1]

        def unseen_rank(scores):
            ranks = ranking_metrics.ranks(tf.where(excluded, -float("inf"), scores), positions)
            own = tf.gather(excluded, positions, batch_dims=1)
            return tf.where(own, features.EXCLUDED_ROW, ranks)

        popular = unseen_rank(tf.broadcast_to(popularity, tf.shape(scores)))
        return {
            features.RANK_UNSEEN: unseen_rank(scores),
            features.POPULARITY_RANK_UNSEEN: popular,
            features.ITEM_ITEM_RANK_UNSEEN: tf.fill(tf.shape(popular), features.NO_RANK),
        }

    return judge


def write_rating(function: Any, model: tf.Module, folder: pathlib.Path) -> None:
    """Write `ranking.tflite` and its quantised variant: a rating function that takes int32."""
    with tempfile.TemporaryDirectory() as scratch:
        tf.saved_model.save(model, scratch, signatures={features.RATING_SIGNATURE: function})
        exact, quantized = tflite.convert(scratch, features.RATING_SIGNATURE)
    (folder / features.RANKING_TFLITE).write_bytes(exact)
    (folder / features.quantized(features.RANKING_TFLITE)).write_bytes(quantized)


class _Embed(tf.Module):
    """As the planted `query` signature, with tables in memory."""

    def __init__(self, world: Any) -> None:
        super().__init__()
        self._users, self._titles = table(world.users), table(world.titles)
        nothing = np.zeros((1, world.user_vectors.shape[1]), np.float32)
        self._vectors = tf.Variable(np.concatenate([world.user_vectors, nothing]))
        self._candidates = tf.Variable(np.concatenate([world.embeddings, nothing]))
        self._sizes = len(world.users), len(world.titles)

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        users = self._users.lookup(raw[features.USER_ID])
        titles = self._titles.lookup(raw[features.HISTORY_TITLE])
        known, is_candidate = users < self._sizes[0], titles < self._sizes[1]
        count = tf.reduce_sum(tf.cast(is_candidate, tf.float32), axis=1, keepdims=True)
        cold_start = tf.reduce_sum(tf.gather(self._candidates, titles), axis=1) / tf.maximum(count, 1.0)
        return tf.where(known[:, None], tf.gather(self._vectors, users), cold_start)


def table(words: list[str]) -> tf.lookup.StaticHashTable:
    """Positions of words in a list; its length for others."""
    words = list(dict.fromkeys(words))
    rows = tf.range(len(words), dtype=tf.int64)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(words), rows), len(words)
    )


def write_retrieval(
    world: Any, folder: pathlib.Path, changed: Callable[[np.ndarray], np.ndarray] = lambda vectors: vectors
) -> None:
    """Write `retrieval.tflite` and its quantised variant; `changed` plants a difference of the vectors."""
    titles, ids = (np.array([text.encode() for text in words], object) for words in (world.titles, world.ids))
    export = tflite.Retrieval(_Embed(world), titles, ids, tf.constant(changed(world.embeddings)))
    tflite.write(export, str(folder), features.RETRIEVAL_TFLITE)
