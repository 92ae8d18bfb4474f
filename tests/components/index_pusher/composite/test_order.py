"""The order of recommendations on planted models, against NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher.composite import recommender, signatures
from components.index_pusher.composite.order import Order
from components.index_pusher.config import BlendConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index.searches import BruteForce
from modules import features
from modules.data import baselines
from modules.evaluation import ranking_metrics
from tests.helpers import planted_models
from tests.helpers.planted_requests import history_of, request

WEIGHT = 2.0


@pytest.fixture(scope="module")
def plain(planted) -> Order:
    retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
    ranking = signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING)
    return Order(retrieval, ranking)


@pytest.fixture(scope="module")
def weighted(plain: Order) -> Order:
    return Order(plain.retrieval, plain.ranking, BlendConfig(rating_weight=WEIGHT))


def ratings_of_all(order: Order, query: dict[str, tf.Tensor]) -> np.ndarray:
    columns = {name: column.numpy() for name, column in query.items()}
    size = len(columns[features.USER_ID])
    return signatures.rate_pairs(order.ranking, columns, np.tile(order.catalogue.titles, (size, 1)))


def test_at_no_weight_the_vectors_are_those_of_retrieval(plain: Order, planted) -> None:
    query = request(["7", "nobody"])
    assert plain.is_one_search and plain.candidates is plain.catalogue
    vectors, rating_vectors = plain.queries(query)
    np.testing.assert_array_equal(vectors, signatures.embed(plain.retrieval, _numpy(query)))
    assert rating_vectors is not None
    assert plain.ratings is not None
    products = rating_vectors.numpy() @ plain.ratings.embeddings.T
    np.testing.assert_allclose(products, ratings_of_all(plain, query), atol=1e-5)


def test_the_product_of_the_vectors_is_score_and_weighted_rating(weighted: Order, planted) -> None:
    query = request(["7", "39", "nobody"], [history_of(planted.world, [4, 5]), (), ()])
    catalogue = weighted.catalogue
    scores = signatures.embed(weighted.retrieval, _numpy(query)) @ catalogue.embeddings.T
    expected = scores + WEIGHT * ratings_of_all(weighted, query)
    vectors, _ = weighted.queries(query)
    np.testing.assert_allclose(vectors @ weighted.candidates.embeddings.T, expected, atol=1e-4)
    np.testing.assert_array_equal(vectors, weighted.embed(_numpy(query)))
    assert (weighted.candidates.titles == catalogue.titles).all()


def test_the_composite_shows_the_best_of_the_whole_catalogue(weighted: Order, planted) -> None:
    """Also one that retrieval alone has beyond the fiftieth place."""
    query = request(["1"])
    composite = recommender.Recommender(weighted, BruteForce(weighted.candidates.embeddings))
    columns = [query[row.name] for row in features.QUERY_FEATURES]
    answer = composite.recommend(tf.constant(10), tf.zeros([1, 0], tf.string), *columns)
    vectors = weighted.embed(_numpy(query))
    expected = (vectors @ weighted.candidates.embeddings.T)[0]
    best = np.argsort(-expected)[:10]
    assert answer["movie_title"].numpy()[0].tolist() == weighted.catalogue.titles[best].tolist()
    np.testing.assert_allclose(answer["score"].numpy()[0], expected[best], rtol=1e-5)
    np.testing.assert_array_equal(composite.query(*columns)["query_embedding"], vectors)
    rank = np.argsort(np.argsort(-(planted.world.embeddings @ planted.world.user_vectors[0])))
    assert rank[best].max() > 50


def test_popularity_serves_in_the_order_in_which_its_baseline_ranks(plain: Order) -> None:
    """Also where titles have equally many ratings, or a comparison of the two would not be fair."""
    order = Order(plain.retrieval, plain.ranking)
    order.candidates = dataclasses.replace(plain.catalogue, popularity=plain.catalogue.popularity // 20)
    composite = recommender.Recommender(order, BruteForce(order.candidates.embeddings))
    columns = [request(["nobody"])[row.name] for row in features.QUERY_FEATURES]
    answer = composite.recommend(tf.constant(300), tf.zeros([1, 0], tf.string), *columns)
    titles = answer["movie_title"].numpy()[0]
    positions = [order.candidates.titles.tolist().index(title) for title in titles]
    scores = tf.tile([baselines.popularity_scores(order.candidates.popularity)], [300, 1])
    ranks = ranking_metrics.ranks(scores, tf.constant(positions))
    assert ranks.numpy().tolist() == list(range(300))


def test_predicted_ratings_are_clipped_to_the_scale(weighted: Order) -> None:
    narrow = Order(weighted.retrieval, weighted.ranking, BlendConfig(rating_weight=WEIGHT))
    assert narrow.ratings is not None
    narrow.ratings = dataclasses.replace(narrow.ratings, lowest=1.0, highest=3.5)
    composite = recommender.Recommender(narrow, BruteForce(narrow.candidates.embeddings))
    columns = [request(["1"])[row.name] for row in features.QUERY_FEATURES]
    rated = composite.recommend(tf.constant(300), tf.zeros([1, 0], tf.string), *columns)["predicted_rating"]
    assert (rated.numpy().min(), rated.numpy().max()) == (1.0, 3.5)


def test_models_of_two_catalogues_are_refused(plain: Order, planted, tmp_path) -> None:
    world = dataclasses.replace(planted.world, titles=[*planted.world.titles[1:], "Another (1999)"])
    path = planted_models.write_model(world, tmp_path / "other", planted_models.RANKING, tflite=False)
    other = signatures.load(path, "ranking", planted_models.RANKING)
    with pytest.raises(Refusal, match="have different catalogues: train them in one run"):
        Order(plain.retrieval, other)


def test_a_model_that_cannot_rate_titles_is_named(plain: Order) -> None:
    with pytest.raises(Refusal, match="the multitask model lacks the signature rate_titles"):
        Order(plain.retrieval, plain.retrieval)


def _numpy(query: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: column.numpy() for name, column in query.items()}
