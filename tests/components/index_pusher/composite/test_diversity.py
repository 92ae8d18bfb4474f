"""Maximal marginal relevance on planted scores and genres, and in the composite."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher.bundle import _load
from components.index_pusher.composite import recommender
from components.index_pusher.composite.diversity import POOL, Diversity, maximal_marginal_relevance
from components.index_pusher.composite.order import Order
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index.searches import BruteForce
from modules import features
from tests.helpers.planted_requests import request

COMEDY, DRAMA, BOTH, NOTHING = [1, 0], [0, 1], [1, 1], [0, 0]
# A genre of eight for each title, and for some none.
GENRES = np.eye(9, 8, dtype=bool)[np.random.default_rng(5).integers(0, 9, 300)]


def chosen(scores: list, genres: list, weight: float, k: int, real: list | None = None) -> list[int]:
    order = maximal_marginal_relevance(
        tf.constant([scores], tf.float32),
        tf.constant([real or [True] * len(scores)]),
        tf.constant(Diversity.of(weight, np.array(genres, bool)).genres[np.newaxis].astype(np.float32)),
        tf.constant([weight]),
        tf.constant(k),
    )
    assert order.shape == (1, k)
    return order.numpy()[0].tolist()


def test_a_choice_weighs_its_score_against_its_likeness_to_earlier_ones() -> None:
    """By hand, at weight 0.4. Scores become 1, 0.9, 0.8, 0.3, 0; two of one genre are alike by 1, by 1/2 one
    with a title of both. After the first: 0.54 - 0.4, 0.48 - 0.2, 0.18, 0, so the third, then
    0.54 - 0.4, 0.18 - 0.2, 0; then -0.02 and 0."""
    scores, genres = [20, 19, 18, 13, 10], [COMEDY, COMEDY, BOTH, DRAMA, NOTHING]
    assert chosen(scores, genres, 0.4, 5) == [0, 2, 1, 4, 3]
    assert chosen(scores, genres, 0.4, 2) == [0, 2]
    assert chosen(scores, genres, 0.0, 5) == [0, 1, 2, 3, 4]


def test_titles_without_genres_are_alike() -> None:
    assert chosen([5, 4, 3, 2, 1], [NOTHING] * 3 + [COMEDY, DRAMA], 0.9, 3) == [0, 3, 4]


def test_what_is_no_title_comes_last_and_scales_nothing() -> None:
    scores = [20, 19, 18, 13, 10, recommender.PADDING_SCORE, recommender.PADDING_SCORE]
    genres = [COMEDY, COMEDY, BOTH, DRAMA, NOTHING, BOTH, BOTH]
    assert chosen(scores, genres, 0.4, 7, [True] * 5 + [False] * 2) == [0, 2, 1, 4, 3, 5, 6]


@pytest.fixture(scope="module")
def order(planted) -> Order:
    return _load(planted.sources).order


def answers(order: Order, weight: float, users: list[str], k: int, exclude: int = 0) -> dict[str, np.ndarray]:
    """Ask a composite of these models; each request excludes the catalogue's first titles."""
    order.diversity = Diversity.of(weight, GENRES) if weight else None
    composite = recommender.Recommender(order, BruteForce(order.candidates.embeddings))
    columns = [request(users)[row.name] for row in features.QUERY_FEATURES]
    excluded = tf.constant([order.catalogue.titles[:exclude].tolist()] * len(users), tf.string)
    excluded = tf.reshape(excluded, [len(users), exclude])
    answer = composite.recommend(tf.constant(k), excluded, *columns)
    return {name: tensor.numpy() for name, tensor in answer.items()}


def positions(order: Order, answer: dict[str, np.ndarray], row: int) -> list[int]:
    found = {title: position for position, title in enumerate(order.catalogue.titles)}
    return [found[title] for title in answer["movie_title"][row] if title]


USERS = ["1", "7", "39", "40", "nobody"]


def test_the_ten_have_more_genres_and_are_of_the_best_fifty(order: Order) -> None:
    """But those of a request that popularity serves; its score, and a user with three titles left, too."""
    plain, diverse = (answers(order, weight, USERS, 10) for weight in (0.0, 0.6))
    fifty = answers(order, 0.0, USERS, POOL)
    for row in range(3):
        one, other = (positions(order, answer, row) for answer in (plain, diverse))
        assert one[0] == other[0] and one != other
        assert set(other) <= set(positions(order, fifty, row))
        assert GENRES[other].any(axis=0).sum() == 8 > GENRES[one].any(axis=0).sum()
        scores = dict(zip(positions(order, fifty, row), fifty["score"][row], strict=True))
        np.testing.assert_allclose(diverse["score"][row], [scores[position] for position in other], rtol=1e-6)
    assert diverse["num_returned"].tolist() == [10, 10, 10, 3, 10]
    assert set(positions(order, diverse, 3)) == set(positions(order, plain, 3))
    for name in plain:
        np.testing.assert_array_equal(plain[name][4], diverse[name][4])


def test_titles_of_the_same_genres_stay_in_the_order_of_scores(order: Order) -> None:
    answer = answers(order, 0.6, ["7"], POOL)
    found = positions(order, answer, 0)
    by_genres: dict[bytes, list[float]] = {}
    for position, score in zip(found, answer["score"][0], strict=True):
        by_genres.setdefault(GENRES[position].tobytes(), []).append(score)
    assert max(map(len, by_genres.values())) > 2
    for scores in by_genres.values():
        assert scores == sorted(scores, reverse=True)


def test_a_shorter_list_is_the_beginning_of_a_longer_one(order: Order) -> None:
    """Beyond the pool the order is that of the scores; seen and excluded titles are no part of it."""
    short, long = (answers(order, 0.6, USERS, k, exclude=60) for k in (10, 120))
    plain = answers(order, 0.0, USERS, 120, exclude=60)
    for row in range(len(USERS)):
        assert positions(order, short, row) == positions(order, long, row)[:10]
        assert positions(order, long, row)[POOL:] == positions(order, plain, row)[POOL:]
        assert set(positions(order, long, row)) == set(positions(order, plain, row))
        assert min(positions(order, long, row)) >= 60


def test_the_genres_are_those_of_train(planted) -> None:
    config = IndexConfig(diversity=0.25)
    made = _load(dataclasses.replace(planted.sources, config=config)).order.diversity
    assert made is not None and made.weight == 0.25
    seen = np.unique(np.concatenate(planted.world.seen))
    assert made.genres.sum(axis=1).tolist() == [2 if row in seen else 1 for row in range(300)]
    assert made.genres[:, -1].sum() == 300 - len(seen)
    with pytest.raises(
        Refusal, match=r"index.diversity is 0.25, and no title of train has genres: set it to 0"
    ):
        _load(dataclasses.replace(planted.sources, config=config, split_dirs={}))
