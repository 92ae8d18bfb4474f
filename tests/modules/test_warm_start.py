"""Parameters carried over from an earlier model, by what they stand for.

The models are real, what they are built from is made up: no Transform is needed for the sizes of tables.
"""

from __future__ import annotations

import pathlib
import types
import zipfile
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from modules import features, hyperparameters, multitask, retrieval, warm_start
from modules.data.dataset import Catalogue, Interactions
from modules.features import Encoding, Side
from modules.training import TrainingData
from modules.warm_start import Meaning

GENRES = ("Drama", "Comedy")


class World:
    """Who and what there is at one time, in the order of its vocabularies."""

    def __init__(self, users: Sequence[str], titles: Sequence[str], first: int, last: int):
        texts = {features.USER_ID: users, features.MOVIE_TITLE: titles, features.MOVIE_GENRES: GENRES}
        self.terms = {
            feature.name: np.array([text.encode() for text in texts.get(feature.name, ("a", "b", "c"))])
            for feature in features.TRANSFORMED_FEATURES
            if feature.encoding in (Encoding.VOCABULARY, Encoding.TERM_SET, Encoding.TOKEN_SET)
        }
        self.meaning = Meaning(self.terms, np.array([first, last]))
        sizes = {
            feature.name: len(self.terms[feature.name]) + 1 + feature.is_set
            if feature.name in self.terms
            else feature.width + 1
            if feature.encoding is Encoding.TIME_BUCKETS
            else len(feature.boundaries) + 1
            for feature in features.TRANSFORMED_FEATURES
            if feature.encoding is not Encoding.NORMALIZED
        }
        count = len(titles)
        transformed = {
            feature.name: np.zeros([count, feature.width if feature.is_set else 1], np.int64)
            for feature in features.TRANSFORMED_FEATURES
            if feature.side is Side.CANDIDATE
        }
        transformed[features.MOVIE_TITLE] = np.arange(count)[:, np.newaxis]
        rows = np.arange(max(count, len(users)))
        interactions = Interactions(
            rows % len(users),
            rows % count,
            np.ones(len(rows), np.float32),
            rows,
            3.0,
            (1.0, 5.0),
            {},
            len(users),
        )
        catalogue = Catalogue(self.terms[features.MOVIE_TITLE], self.terms[features.MOVIE_TITLE], transformed)
        self.data = TrainingData(None, None, catalogue, interactions, sizes, [], [])  # type: ignore[arg-type]

    def batch(self, user: str, title: str, timestamp: int, past: Sequence[str]) -> dict[str, tf.Tensor]:
        """One rating, transformed."""

        def index(name: str, text: str) -> int:
            return self.terms[name].tolist().index(text.encode())

        row = {feature.name: [0] * _width(feature) for feature in features.TRANSFORMED_FEATURES}
        row[features.USER_ID] = [index(features.USER_ID, user)]
        row[features.MOVIE_TITLE] = [index(features.MOVIE_TITLE, title)]
        row[features.MOVIE_GENRES][0] = index(features.MOVIE_GENRES, "Comedy") + 1
        first, last = self.meaning.time_range
        row[features.TIMESTAMP_BUCKET] = [int((timestamp - first) * 1000 // (last - first + 1))]
        padding = [0] * (features.TRAIN_HISTORY_LENGTH - len(past))
        row[features.HISTORY_TITLE] = [index(features.MOVIE_TITLE, text) + 1 for text in past] + padding
        row[features.HISTORY_AGE] = [3] * features.TRAIN_HISTORY_LENGTH
        batch = {name: tf.constant([values], tf.int64) for name, values in row.items()}
        batch[features.HISTORY_RATING] = tf.fill([1, features.TRAIN_HISTORY_LENGTH], 4.0)
        return {**batch, features.RATING: tf.constant([[4.0]])}

    def build(self, module: types.ModuleType, seed: int, **changes) -> tf.keras.Model:
        """Build a model whose every variable has a value of its own."""
        name = module.__name__.split(".")[-1]
        config = getattr(hyperparameters.default(), name)
        query = (*config.query_features, features.TIMESTAMP_BUCKET)
        changes = {"embedding_dim": 4, "query_features": tuple(dict.fromkeys(query)), **changes}
        if name == "retrieval":
            changes = {"members": 1, **changes}
        config = type(config).model_validate({**config.model_dump(), **changes})
        model = {"retrieval": retrieval.RetrievalModel, "multitask": multitask.MultitaskModel}[name](
            config, self.data
        )
        model.compute_loss(self.batch("u1", "Heat", self.meaning.time_range[0], []))
        draw = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            variable.assign(draw.normal(size=variable.shape))
        return model


def _width(feature: features.TransformedFeature) -> int:
    return feature.width if feature.is_set else 1


EARLY = World(["u1", "u2", "u3"], ["Heat", "Emma", "Jaws"], 1_000, 1_999)
# Another order, some new terms, one that is missing; two thirds of the time are the same.
LATER = World(["u3", "u9", "u1", "u8"], ["Brazil", "Jaws", "Heat", "Emma", "Alien"], 1_333, 2_332)

MODELS = pytest.mark.parametrize("module", [retrieval, multitask], ids=["retrieval", "multitask"])


def carried(module: types.ModuleType, folder: pathlib.Path) -> tuple[tf.keras.Model, tf.keras.Model]:
    """Return an earlier model, and a later one that began at its parameters."""
    old, new = EARLY.build(module, seed=1), LATER.build(module, seed=2)
    warm_start.save(old, EARLY.meaning, str(folder / features.SERVING_DIR))
    base = warm_start.load(str(folder / features.SERVING_DIR))
    assert base
    warm_start.assign(base, new, LATER.meaning, "model")
    return old, new


@MODELS
@pytest.mark.parametrize("timestamp", [1_400, 1_900])
def test_known_users_and_titles_get_the_same_scores_as_before(module, timestamp, tmp_path) -> None:
    old, new = carried(module, tmp_path)
    for user, title in (("u1", "Heat"), ("u3", "Jaws")):
        rating = (user, title, timestamp, ["Emma", "Jaws"])
        for tower in ("query_tower", "candidate_tower"):
            before = getattr(old, tower)(EARLY.batch(*rating)).numpy()
            after = getattr(new, tower)(LATER.batch(*rating)).numpy()
            np.testing.assert_allclose(after, before, rtol=1e-5)


@MODELS
def test_new_ids_begin_where_unknown_ones_were(module, tmp_path) -> None:
    old, new = carried(module, tmp_path)
    for tower, feature, terms in (
        ("query_tower", features.USER_ID, ("u8", "u9")),
        ("candidate_tower", features.MOVIE_TITLE, ("Alien", "Brazil")),
    ):
        before, after = (_table(getattr(model, tower), feature) for model in (old, new))
        index = LATER.terms[feature].tolist()
        for term in terms:
            np.testing.assert_array_equal(after[index.index(term.encode())], before[-1])
        np.testing.assert_array_equal(after[-1], before[-1])


def _table(tower: tf.keras.Model, feature: str) -> np.ndarray:
    [layer] = [layer for layer in tower.submodules if layer.name == feature]
    return layer.get_weights()[0]


@MODELS
def test_every_table_whose_rows_are_a_vocabulary_says_so(module) -> None:
    # Else a new order of terms would mix up its rows. Sizes that nothing else has:
    world = World([f"u{i}" for i in range(53)], ["Heat", *(f"Film {i}" for i in range(70))], 0, 99)
    model = world.build(module, seed=1)
    indexed = {
        variable.ref() for layer in model.submodules for variable, _ in getattr(layer, "indexed_tables", ())
    }
    vocabularies = {54, 72}
    tables = [variable for variable in model.trainable_variables if variable.shape[:1].as_list() != []]
    of_terms = [variable for variable in tables if variable.shape[0] in vocabularies]
    # The joint model's history has a table of its own.
    assert len(of_terms) == (3 if module is multitask else 2)
    assert all(variable.ref() in indexed for variable in of_terms)


@pytest.mark.parametrize("what", ["a longer embedding", "more buckets"])
def test_a_model_of_another_structure_is_left_alone(what: str, tmp_path) -> None:
    warm_start.save(EARLY.build(retrieval, seed=1), EARLY.meaning, str(tmp_path / features.SERVING_DIR))
    later = World(["u1", "u3"], ["Heat", "Jaws"], 1_000, 1_999)
    if what == "more buckets":
        later.data.sizes[features.TIMESTAMP_BUCKET] += 1  # type: ignore[index]
    new = later.build(retrieval, seed=2, **({"embedding_dim": 5} if what == "a longer embedding" else {}))
    before = [weight.copy() for weight in new.get_weights()]
    base = warm_start.load(str(tmp_path / features.SERVING_DIR))
    assert base
    warm_start.assign(base, new, later.meaning, "retrieval")
    for weight, was in zip(new.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)


def test_there_may_be_nothing_to_begin_at(tmp_path) -> None:
    assert warm_start.load(None) is None
    assert warm_start.load(str(tmp_path / features.SERVING_DIR)) is None


def test_the_file_holds_arrays_and_nothing_that_runs(tmp_path) -> None:
    warm_start.save(EARLY.build(retrieval, seed=1), EARLY.meaning, str(tmp_path / features.SERVING_DIR))
    file = warm_start.path(str(tmp_path / features.SERVING_DIR))
    assert all(name.endswith(".npy") for name in zipfile.ZipFile(file).namelist())
    with np.load(file, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays)
