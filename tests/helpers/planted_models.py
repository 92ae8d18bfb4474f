"""Models with a planted answer, honouring modules/features.py's signatures: no trainer is needed to test
what comes after one.

Users and candidates have known vectors, so what exact search finds is a matter of NumPy. The vocabularies
are files, as Transform's are, since files are what a composite of SavedModels could lose.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from modules import features
from tests.helpers import planted_exports

NUM_CANDIDATES = 300
DIM = 8
# Ratings in train by user; the last but one has seen more than half, the last all but three.
SEEN_COUNTS = [3 * user for user in range(38)] + [170, NUM_CANDIDATES - 3]
QUERY_SPEC = {
    features.USER_ID: tf.TensorSpec([None], tf.string, features.USER_ID),
    features.TIMESTAMP: tf.TensorSpec([None], tf.int64, features.TIMESTAMP),
    features.USER_GENDER: tf.TensorSpec([None], tf.string, features.USER_GENDER),
    features.USER_AGE: tf.TensorSpec([None], tf.int64, features.USER_AGE),
    features.USER_OCCUPATION: tf.TensorSpec([None], tf.string, features.USER_OCCUPATION),
    features.HISTORY_TITLE: tf.TensorSpec([None, None], tf.string, features.HISTORY_TITLE),
    features.HISTORY_RATING: tf.TensorSpec([None, None], tf.float32, features.HISTORY_RATING),
    features.HISTORY_TIMESTAMP: tf.TensorSpec([None, None], tf.int64, features.HISTORY_TIMESTAMP),
}
# A history in a request: title, stars, seconds of each rating; latest first.
History = Sequence[tuple[str, float, int]]


@dataclasses.dataclass
class World:
    """The planted truth.

    Attributes:
      titles, ids: `[n]` text; popularity: `[n]`; embeddings: `[n, d]`.
      users: `[u]` text; user_vectors: `[u, d]`; seen: positions per user.
    """

    titles: list[str]
    ids: list[str]
    popularity: np.ndarray
    embeddings: np.ndarray
    users: list[str]
    user_vectors: np.ndarray
    seen: list[np.ndarray]


def make_world(num_candidates: int = NUM_CANDIDATES) -> World:
    """Draw a world. Titles hold accents, commas and quotes, as real ones do."""
    rng = np.random.default_rng(0)
    titles = [f'Léon, or "Film" {row} (1994)' for row in range(num_candidates)]
    return World(
        titles=titles,
        ids=[str(1000 + row) for row in range(num_candidates)],
        popularity=rng.permutation(num_candidates),
        embeddings=rng.normal(size=(num_candidates, DIM)).astype(np.float32),
        users=[str(user + 1) for user in range(len(SEEN_COUNTS))],
        user_vectors=rng.normal(size=(len(SEEN_COUNTS), DIM)).astype(np.float32),
        seen=[
            rng.choice(num_candidates, min(count, num_candidates - 1), replace=False) for count in SEEN_COUNTS
        ],
    )


class _Planted(tf.Module):
    """All signatures over one world; each model saves those that it should have."""

    def __init__(
        self, world: World, vocabulary: str, shift: float = 0.0, history_weight: float = 0.01
    ) -> None:
        super().__init__()
        self._users = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                vocabulary,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            len(world.users),
        )
        self._rating_users = planted_exports.table(world.users)
        self.positions, self.ids = planted_exports.table(world.titles), planted_exports.table(world.ids)
        nothing = np.zeros((1, world.user_vectors.shape[1]), np.float32)
        self._vectors = tf.Variable(np.concatenate([world.user_vectors, nothing]))
        self._candidate_vectors = tf.Variable(np.concatenate([world.embeddings, nothing]))
        width = max(len(row) for row in world.seen)
        padded = [np.pad(row, (0, width - len(row)), constant_values=-1) for row in world.seen]
        self._seen = tf.Variable(np.array([*padded, np.full(width, -1)], np.int32))
        self._world = world
        rng = np.random.default_rng(1)
        self._user_bias = tf.constant(rng.normal(size=len(world.users) + 1).astype(np.float32))
        self._title_bias = tf.constant(rng.normal(size=len(world.titles) + 1).astype(np.float32))
        self._shift, self._history_weight = shift, history_weight

    @tf.function(input_signature=list(QUERY_SPEC.values()))
    def query(self, user_id, timestamp, user_gender, user_age, user_occupation, *history):
        """Users of the world have vectors; a cold-start user has the mean of the history's, 0 without one."""
        del timestamp, user_gender, user_age, user_occupation
        user = self._users.lookup(user_id)
        positions, is_candidate = self._found(history[0])
        total = tf.reduce_sum(tf.gather(self._candidate_vectors, positions), axis=1)
        count = tf.reduce_sum(tf.cast(is_candidate, tf.float32), axis=1, keepdims=True)
        cold_start = tf.math.divide_no_nan(total, count)
        known = user < len(self._world.users)
        return {
            features.QUERY_EMBEDDING: tf.where(known[:, None], tf.gather(self._vectors, user), cold_start)
        }

    def _found(self, history_title):
        """Positions of a history's titles, beyond the last for other titles; and which are candidates."""
        positions = self.positions.lookup(history_title)
        return positions, positions < len(self._world.titles)

    @tf.function(input_signature=[])
    def candidates(self):
        return {
            features.MOVIE_TITLE: tf.constant(self._world.titles),
            features.MOVIE_ID: tf.constant(self._world.ids),
            features.CANDIDATE_POPULARITY: tf.constant(self._world.popularity, tf.int64),
            features.CANDIDATE_EMBEDDING: tf.constant(self._world.embeddings),
        }

    @tf.function(input_signature=[QUERY_SPEC[features.USER_ID], QUERY_SPEC[features.HISTORY_TITLE]])
    def seen(self, user_id, history_title):
        row = self._users.lookup(user_id)
        positions, is_candidate = self._found(history_title)
        positions = tf.cast(tf.where(is_candidate, positions, -1), tf.int32)
        in_train = row < len(self._world.users)
        return {
            features.SEEN: tf.concat([tf.gather(self._seen, row), positions], axis=1),
            features.USER_KNOWN: tf.logical_or(in_train, tf.reduce_any(is_candidate, axis=1)),
        }

    def _rate(self, *query_and_title):
        *query, movie_title = query_and_title
        title_bias = tf.gather(self._title_bias, self.positions.lookup(movie_title))
        return {features.PREDICTED_RATING: self._rating_of_query(*query) + title_bias}

    def _rating_of_query(self, user_id, timestamp, user_gender, user_age, user_occupation, *history):
        history_title, history_rating, history_timestamp = history
        terms = history_rating - 1e-10 * tf.cast(history_timestamp, tf.float32)
        rating = (
            3.0
            + tf.gather(self._user_bias, self._rating_users.lookup(user_id))
            + 0.01 * tf.cast(user_age, tf.float32)
            + 1e-10 * tf.cast(timestamp, tf.float32)
            + tf.where(tf.equal(user_gender, "F"), 0.1, 0.0)
            + tf.where(tf.equal(user_occupation, "artist"), 0.2, 0.0)
            + self._history_weight * tf.reduce_sum(tf.where(tf.equal(history_title, ""), 0.0, terms), axis=1)
        )
        return rating + self._shift

    @tf.function(
        input_signature=[*QUERY_SPEC.values(), tf.TensorSpec([None, None], tf.string, features.MOVIE_TITLE)]
    )
    def rate_titles(self, *query_and_titles):
        *query, movie_title = query_and_titles
        title_bias = tf.gather(self._title_bias, self.positions.lookup(movie_title))
        return {features.PREDICTED_RATING: self._rating_of_query(*query)[:, None] + title_bias}

    @tf.function(input_signature=list(QUERY_SPEC.values()))
    def rating_query(self, *query):
        """The rating as an inner product: the title's bias once, and what is the query's."""
        of_query = self._rating_of_query(*query)
        return {features.QUERY_EMBEDDING: tf.stack([tf.ones_like(of_query), of_query], axis=1)}

    @tf.function(input_signature=[])
    def rating_candidates(self):
        biases = self._title_bias[:-1]
        return {
            features.MOVIE_TITLE: tf.constant(self._world.titles),
            features.CANDIDATE_EMBEDDING: tf.stack([biases, tf.ones_like(biases)], axis=1),
            features.RATING_RANGE: tf.constant([-100.0, 100.0]),
        }

    def rate(self, integers: tf.DType = tf.int64):
        """The rating signature; TFLite's takes narrower integers than the SavedModel's, whole histories."""
        width = None if integers == tf.int64 else features.HISTORY_LENGTH
        spec = [
            tf.TensorSpec(
                [None, width][: entry.shape.rank],
                integers if entry.dtype == tf.int64 else entry.dtype,
                entry.name,
            )
            for entry in QUERY_SPEC.values()
        ]
        title = tf.TensorSpec([None], tf.string, features.MOVIE_TITLE)
        return tf.function(self._rate, input_signature=[*spec, title])


RETRIEVAL = (features.QUERY_SIGNATURE, features.CANDIDATES_SIGNATURE, features.SEEN_SIGNATURE)
RANKING = (
    *(features.RATING_SIGNATURE, features.RATING_QUERY_SIGNATURE, features.RATING_CANDIDATES_SIGNATURE),
)
# Of a model whose head is dense layers.
DENSE_RANKING = (features.RATING_SIGNATURE, features.RATING_TITLES_SIGNATURE)


def write_model(
    world: World,
    model_dir: pathlib.Path,
    signatures: tuple[str, ...],
    tflite_shift: float = 0.0,
    history_weight: float = 0.01,
    tflite: bool = True,
) -> str:
    """Write a model artifact as a Trainer would.

    Args:
      world: the planted truth.
      model_dir: where.
      signatures: RETRIEVAL, RANKING, DENSE_RANKING, or of both kinds.
      tflite_shift: added to the ratings of the TFLite export; 0 for an honest one.
      history_weight: what a star of the history adds to a rating, in stars.
      tflite: whether to write the TFLite exports, which takes as long as the rest.
    Returns:
      model_dir as text.
    """
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = pathlib.Path(scratch, "users.txt")
        vocabulary.write_text("".join(f"{user}\n" for user in world.users), encoding="utf-8")
        model = _Planted(world, str(vocabulary), history_weight=history_weight)
        functions = {
            features.QUERY_SIGNATURE: model.query,
            features.CANDIDATES_SIGNATURE: model.candidates,
            features.SEEN_SIGNATURE: model.seen,
            features.RATING_SIGNATURE: model.rate(),
            features.RATING_TITLES_SIGNATURE: model.rate_titles,
            features.RATING_QUERY_SIGNATURE: model.rating_query,
            features.RATING_CANDIDATES_SIGNATURE: model.rating_candidates,
        }
        chosen = {name: functions[name] for name in signatures}
        over_examples = {features.SERVING_SIGNATURE: planted_exports.over_examples(chosen)}
        if features.QUERY_SIGNATURE in signatures:
            over_examples[features.EVAL_SIGNATURE] = planted_exports.judging(
                chosen, world, model.positions, model.ids
            )
        tf.saved_model.save(
            model, str(model_dir / features.SERVING_DIR), signatures={**chosen, **over_examples}
        )
        if not tflite:
            return str(model_dir)
        folder = model_dir / features.TFLITE_DIR
        folder.mkdir(parents=True)
        if features.RATING_SIGNATURE in signatures:
            export = _Planted(world, str(vocabulary), tflite_shift, history_weight)
            planted_exports.write_rating(export.rate(tf.int32), export, folder)
        if features.QUERY_SIGNATURE in signatures:
            planted_exports.write_retrieval(world, folder)
    return str(model_dir)


def write_queries(world: World, split_dir: pathlib.Path, per_user: int = 5) -> str:
    """Write an eval split as the ExampleGen would: gzipped TFRecords of ratings with histories.

    A user's rows have histories of 7, 14, TRAIN_HISTORY_LENGTH, 0 and 1 titles, in turn, also
    of titles not in train.
    """
    split_dir.mkdir(parents=True)
    rng = np.random.default_rng(2)
    lengths = (7, 14, features.TRAIN_HISTORY_LENGTH, 0, 1)
    with tf.io.TFRecordWriter(str(split_dir / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for user in world.users:
            for number, row in enumerate(rng.choice(len(world.titles), per_user)):
                films = rng.choice(len(world.titles), lengths[number % len(lengths)], replace=False)
                now = 880_000_000 + int(row)
                history = [
                    (world.titles[at], 1.0 + at % 5, now - 60 * ago) for ago, at in enumerate(films, 1)
                ]
                example = rating(user, world.titles[row], now, history)
                excluded = [world.ids[at].encode() for at in world.seen[world.users.index(user)]]
                example.features.feature[features.EXCLUDE_ID].bytes_list.value.extend(excluded)
                writer.write(example.SerializeToString())
    return str(split_dir)


def write_train(world: World, split_dir: pathlib.Path) -> str:
    """Write the train split that the users have rated `seen` in, an hour before the eval split begins."""
    split_dir.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split_dir / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for user, seen in zip(world.users, world.seen, strict=True):
            for row in seen:
                example = rating(user, world.titles[row], 879_996_400 - int(row))
                genres = [b"Comedy", b"Drama", b"War"][row % 2 : 2 + row % 2]
                example.features.feature[features.MOVIE_GENRES].bytes_list.value.extend(genres)
                writer.write(example.SerializeToString())
    return str(split_dir)


def rating(user: str, title: str, timestamp: int, history: History = ()) -> tf.train.Example:
    """One row as the ExampleGen writes it."""
    values = {
        features.USER_ID: [user],
        features.TIMESTAMP: [timestamp],
        features.USER_GENDER: ["F" if int(user) % 2 else "M"],
        features.USER_AGE: [20 + int(user)],
        features.USER_OCCUPATION: ["artist"],
        features.MOVIE_TITLE: [title],
        features.RATING: [1.0 + timestamp % 5],
        features.HISTORY_TITLE: [title for title, _, _ in history],
        features.HISTORY_RATING: [stars for _, stars, _ in history],
        features.HISTORY_TIMESTAMP: [seconds for _, _, seconds in history],
    }
    example = tf.train.Example()
    for row in features.RATING_ROW:
        if row.name in values:
            feature, entries = example.features.feature[row.name], values[row.name]
            if row.dtype is features.Dtype.BYTES:
                feature.bytes_list.value.extend(entry.encode() for entry in entries)
            elif row.dtype is features.Dtype.INT:
                feature.int64_list.value.extend(entries)
            else:
                feature.float_list.value.extend(entries)
    return example
