"""The composite against exact search: what it may not do, done on purpose."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher.composite import recommender, signatures
from components.index_pusher.composite.diversity import Diversity
from components.index_pusher.composite.order import Order
from components.index_pusher.config import BlendConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index.queries import with_cold_start_users
from components.index_pusher.index.searches import BruteForce, Index, Plan
from components.index_pusher.proof import model_process, recommend_check
from components.index_pusher.proof.recommend_check import Agreement, Oracle
from modules import features
from tests.conftest import needs_scann
from tests.helpers import planted_models
from tests.helpers.planted_queries import read_queries

pytestmark = pytest.mark.slow("traces a composite in each test")

BLEND = BlendConfig(rating_weight=1.5, pool=80)


@pytest.fixture(scope="module")
def parts(planted) -> Order:
    retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
    ranking = signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING)
    return Order(retrieval, ranking)


@pytest.fixture(scope="module")
def dense(parts: Order, planted, tmp_path_factory: pytest.TempPathFactory) -> Order:
    """The same models, of which the ranking model has no vectors."""
    folder = tmp_path_factory.mktemp("dense") / "ranking"
    path = planted_models.write_model(planted.world, folder, planted_models.DENSE_RANKING, tflite=False)
    ranking = signatures.load(path, "ranking", planted_models.DENSE_RANKING)
    return Order(parts.retrieval, ranking, BLEND)


@pytest.fixture(scope="module")
def queries(planted) -> dict[str, np.ndarray]:
    return with_cold_start_users(read_queries(planted.sources.queries_dir, 1_000))


@pytest.fixture(scope="module")
def oracle(parts, queries) -> Oracle:
    return recommend_check.oracle(parts, queries, 50)


def saved_answers(built: recommender.Recommender, path: str, expected: Oracle) -> dict[str, np.ndarray]:
    recommender.save(built, path)
    return model_process.run_saved_model(path, features.SERVING_SIGNATURE, dict(expected.request))


def answers(built: recommender.Recommender, expected: Oracle) -> dict[str, np.ndarray]:
    """Ask a composite as it is: to save and load it would take several times as long."""
    names = ("k", "exclude_title", *(row.name for row in features.QUERY_FEATURES))
    answer = built.recommend(*(tf.constant(expected.request[name]) for name in names))
    return {name: tensor.numpy() for name, tensor in answer.items()}


def check(oracle: Oracle, built: recommender.Recommender) -> Agreement:
    return recommend_check.check("recommend", answers(built, oracle), oracle)


def composite(order: Order, plan: Plan | None = None) -> recommender.Recommender:
    embeddings = order.candidates.embeddings
    return recommender.Recommender(order, Index(embeddings, plan, 50) if plan else BruteForce(embeddings))


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan("exact"), marks=needs_scann),
        pytest.param(Plan("partitioned", leaves=6, leaves_to_search=6, reordering=300), marks=needs_scann),
        None,
    ],
    ids=["ScaNN", "ScaNN with partitions", "brute force"],
)
def test_a_sound_composite_passes(parts, oracle, tmp_path, plan: Plan | None) -> None:
    received = saved_answers(composite(parts, plan), str(tmp_path), oracle)
    agreement = recommend_check.check("recommend", received, oracle)
    assert (agreement.recall, agreement.misplaced) == (1.0, 0)
    assert 0 <= agreement.score_difference < 1e-5


def share_of_plain(received: dict[str, np.ndarray], parts: Order, weighted: Oracle) -> float:
    """How many of a user's best by retrieval alone, among the titles that are left, were received."""
    left = np.isfinite(weighted.exact)
    query = {row.name: weighted.request[row.name] for row in features.QUERY_FEATURES}
    plain = np.where(left, parts.embed(query) @ parts.catalogue.embeddings.T, -np.inf)
    best = parts.catalogue.titles[np.argsort(-plain, axis=1)[:, : weighted.k]]
    rows = np.flatnonzero(weighted.known & (left.sum(axis=1) >= weighted.k))
    found = [len(set(best[row]) & set(received[features.MOVIE_TITLE][row])) for row in rows]
    return float(np.mean(found)) / weighted.k


@pytest.mark.parametrize("kind", ["one search", "a pool"])
def test_a_weighted_sum_is_compared_with_its_own_order(parts, dense, queries, tmp_path, kind: str) -> None:
    order = dense if kind == "a pool" else Order(parts.retrieval, parts.ranking, BLEND)
    assert order.is_one_search == (kind == "one search")
    weighted = recommend_check.oracle(order, queries, 50)
    received = saved_answers(composite(order), str(tmp_path), weighted)
    agreement = recommend_check.check("recommend", received, weighted)
    assert (agreement.recall, agreement.misplaced) == (1.0, 0)
    assert share_of_plain(received, parts, weighted) < 0.95, "the weight changes the order"


GENRES = np.random.default_rng(3).random((300, 6)) < 0.3


@pytest.mark.parametrize("k", [10, 80])
def test_a_diverse_order_is_compared_with_marginal_relevance(parts, dense, queries, k: int) -> None:
    """Of one search and of a pool; not with the order by score, nor with that of another weight."""
    for order in (Order(parts.retrieval, parts.ranking), Order(dense.retrieval, dense.ranking, BLEND)):
        order.diversity = Diversity.of(0.5, GENRES)
        expected = recommend_check.oracle(order, queries, k)
        agreement = check(expected, composite(order))
        assert (agreement.recall, agreement.misplaced) == (1.0, 0)
    other = Order(dense.retrieval, dense.ranking, BLEND)
    for weight in (0.0, 0.3):
        other.diversity = Diversity.of(weight, GENRES)
        agreement = check(expected, composite(other))
        assert agreement.recall == 1.0 and agreement.misplaced > 2 * len(expected.known)


def test_the_fifty_best_are_made_diverse_also_where_fewer_are_rated(dense, queries) -> None:
    order = Order(dense.retrieval, dense.ranking, BLEND.model_copy(update={"pool": 5}))
    order.diversity = Diversity.of(0.5, GENRES)
    short, long = (
        answers(composite(order), recommend_check.oracle(order, queries, k))["movie_title"] for k in (10, 40)
    )
    np.testing.assert_array_equal(short, long[:, :10])


def test_a_title_beyond_the_pool_of_a_diverse_order_is_missed(parts, queries, monkeypatch) -> None:
    search = BruteForce.search

    def from_the_hundredth(self, queries, k):
        positions, scores = search(self, queries, tf.constant(300))
        return tf.roll(positions, -99, 1)[:, :k], tf.roll(scores, -99, 1)[:, :k]

    order = Order(parts.retrieval, parts.ranking)
    order.diversity = Diversity.of(0.5, GENRES)
    expected = recommend_check.oracle(order, queries, 10)
    monkeypatch.setattr(BruteForce, "search", from_the_hundredth)
    agreement = check(expected, composite(order))
    assert agreement.recall < 0.9 and agreement.misplaced > 0


def test_recommending_excluded_titles_is_refused(parts, oracle, monkeypatch) -> None:
    """By a composite that overlooks what the request excludes: of the first user the best five."""
    seen_and_known = recommender.Recommender._seen_and_known

    def overlooking(self, query, exclude_title):
        return seen_and_known(self, query, exclude_title[:, :0])

    assert (oracle.request["exclude_title"] != b"").sum(axis=1).tolist()[:4] == [5, 0, 5, 0]
    monkeypatch.setattr(recommender.Recommender, "_seen_and_known", overlooking)
    with pytest.raises(Refusal, match="for user 1 hold a title .* or that the request excludes"):
        check(oracle, composite(parts))


def test_a_title_that_is_no_candidate_is_refused(parts, oracle) -> None:
    received = answers(composite(parts), oracle)
    received[features.MOVIE_TITLE][0, 3] = b"Unheard of (2031)"
    words = r"of recommend for user 1 hold 'Unheard of \(2031\)', which is no candidate"
    with pytest.raises(Refusal, match=words):
        recommend_check.check("recommend", received, oracle)


def test_recommending_seen_titles_is_refused(parts, oracle, monkeypatch) -> None:
    def keep_all(positions, scores, seen, k):
        return positions[:, :k], scores[:, :k], tf.fill([tf.shape(positions)[0]], k)

    monkeypatch.setattr(recommender, "best_unseen", keep_all)
    with pytest.raises(Refusal, match="the recommendations of recommend for user .* (already rated|remain)"):
        check(oracle, composite(parts))


def test_recommending_titles_of_the_history_is_refused(parts, oracle, monkeypatch) -> None:
    """The composite ignores the history; user 1, who comes first, has no row in train."""
    best_unseen = recommender.best_unseen
    in_train = max(planted_models.SEEN_COUNTS)

    def only_train(positions, scores, seen, k):
        return best_unseen(positions, scores, seen[:, :in_train], k)

    assert (oracle.request["history_title"][0] != b"").sum() == 7
    monkeypatch.setattr(recommender, "best_unseen", only_train)
    with pytest.raises(Refusal, match="for user 1 hold a title that the user has already rated"):
        check(oracle, composite(parts))


def test_a_cold_start_user_served_by_the_model_is_refused(parts, oracle, monkeypatch) -> None:
    monkeypatch.setattr(recommender, "BY_POPULARITY", recommender.BY_MODEL)
    broken = composite(parts)
    received = answers(broken, oracle)
    monkeypatch.undo()
    with pytest.raises(Refusal, match="user no such user came by model, not by popularity"):
        recommend_check.check("recommend", received, oracle)


def test_too_few_after_the_exclusion_is_refused(parts, oracle, monkeypatch) -> None:
    monkeypatch.setattr(recommender.Recommender, "_ranked", _without_overfetch)
    with pytest.raises(Refusal, match=r"for user \d+ number \d+, and 50 of the 50 requested titles remain"):
        check(oracle, composite(parts))


def test_another_order_of_popularity_is_refused(parts, oracle) -> None:
    broken = composite(parts)
    broken._by_popularity.assign(tf.reverse(broken._by_popularity, [0]))
    with pytest.raises(Refusal, match="user no such user are not the most popular titles"):
        check(oracle, broken)


def test_scores_that_are_not_the_models_are_refused(parts, oracle, monkeypatch) -> None:
    search = BruteForce.search

    def shifted(self, queries, k):
        positions, scores = search(self, queries, k)
        return positions, scores + 0.01

    monkeypatch.setattr(BruteForce, "search", shifted)
    with pytest.raises(Refusal, match="user 1 have scores that are not the model's"):
        check(oracle, composite(parts))


def test_ratings_that_are_nan_are_refused(parts, oracle, monkeypatch) -> None:
    ratings = recommender.Recommender._ratings
    monkeypatch.setattr(
        recommender.Recommender,
        "_ratings",
        lambda self, *arguments: ratings(self, *arguments) * np.nan,
    )
    with pytest.raises(Refusal, match="predicted ratings that are NaN or infinite"):
        check(oracle, composite(parts))


def _without_overfetch(self, vectors, seen, known, k):
    positions, scores = self.index.exact.search(vectors, k)
    popular = self._by_popularity[:k]
    return tf.where(known[:, None], positions, popular[None]), tf.where(
        known[:, None], scores, tf.gather(self._popularity, popular)[None]
    )
