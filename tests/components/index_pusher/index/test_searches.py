"""The index against brute force, and each way in which ScaNN fails silently."""

from __future__ import annotations

import numpy as np
import pydantic
import pytest
import tensorflow as tf

from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index import selection
from components.index_pusher.index.searches import Index, Plan, plan, widen
from tests.components.index_pusher.index import exact_search
from tests.conftest import needs_scann


def drawn(rows: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def two_clusters(each: int) -> np.ndarray:
    """Candidates in two far corners, the first `each` in one, so that two leaves part them."""
    corners = np.repeat(np.array([[9, 0], [0, 9]], np.float32), each, axis=0)
    return corners + 0.1 * drawn(2 * each, 2)


def test_the_kind_of_index_follows_the_size_of_the_catalogue() -> None:
    sizes = {1: "exact", 1_664: "exact", 19_999: "exact", 20_000: "hashed", 99_999: "hashed"}
    assert {size: plan(IndexConfig(), size).kind for size in sizes} == sizes
    assert plan(IndexConfig(), 100_000).kind == "partitioned"


def test_given_parameters_are_not_changed() -> None:
    config = IndexConfig(num_leaves=40, num_leaves_to_search=10, num_reordering_candidates=200)
    chosen = plan(config, 1_664)
    assert chosen == Plan("partitioned", leaves=40, leaves_to_search=10, reordering=200)
    assert widen(chosen, config, 1_664) is None


def test_more_leaves_than_candidates_are_refused_in_words() -> None:
    with pytest.raises(Refusal, match="40 leaves are configured, and the catalogue has 39 candidates"):
        plan(IndexConfig(num_leaves=40), 39)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"num_leaves_to_search": 3}, "needs num_leaves"),
        ({"num_leaves": 3, "num_leaves_to_search": 4}, "received 4 of 3"),
        ({"min_recal": 0.9}, "Extra inputs are not permitted"),
        ({"min_recall": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(fields: dict, words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        IndexConfig(**fields)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 100, 101, 400])
def test_small_catalogues_are_searched_exactly(size: int) -> None:
    candidates, queries = drawn(size), drawn(30, seed=1)
    index, measured = selection.build(candidates, queries, IndexConfig())
    assert measured.recall == 1.0
    assert len(measured.settings) == 1 and "exact" in measured.chosen_because
    positions, _ = index.search(tf.constant(queries), tf.constant(size))
    expected, _ = exact_search.best(queries, candidates, size)
    np.testing.assert_array_equal(positions.numpy(), expected)


@needs_scann
def test_the_measured_recall_is_the_share_of_the_exact_best() -> None:
    candidates, queries, k = drawn(3_000), drawn(200, seed=1), 50
    index = Index(candidates, Plan("partitioned", leaves=30, leaves_to_search=8, reordering=300), k)
    measured = selection.measure_recall(index, queries, k)
    positions, _ = index.approximate(tf.constant(queries), tf.constant(k))
    exact = np.argsort(-(queries @ candidates.T), axis=1)[:, :k]
    shares = [len(set(found) & set(best)) / k for found, best in zip(positions.numpy(), exact, strict=True)]
    assert 0.3 < np.mean(shares) < 0.99, "an index that misses something, or the test shows nothing"
    assert measured == pytest.approx(np.mean(shares), abs=1e-9)


def test_a_tie_with_the_last_of_the_best_is_no_miss() -> None:
    scores = np.array([[5.0, 3.0, 3.0, 1.0]])
    assert selection.recall(np.array([[0, 2]]), scores) == 1.0  # 0 and 1, or 0 and 2: both are exact
    assert selection.recall(np.array([[0, 3]]), scores) == 0.5
    assert selection.recall(np.array([[3, 2]]), scores) == 0.5


@needs_scann
def test_a_search_that_was_set_by_hand_is_not_widened() -> None:
    candidates, queries = drawn(3_000), drawn(200, seed=1)
    config = IndexConfig(recall_k=50, num_leaves=30, num_leaves_to_search=8, num_reordering_candidates=300)
    index, measured = selection.build(candidates, queries, config)
    assert (index.plan.leaves_to_search, index.plan.reordering) == (8, 300)
    assert 0.3 < measured.recall < 0.99
    figures = selection.figures(index, measured, 3_000)
    assert figures["index_recall"] == measured.recall
    assert len(figures["index_settings"]) == 1 and "should reach 0.995" in figures["index_chosen_because"]


@needs_scann
def test_a_search_too_narrow_is_widened_until_it_reaches_the_recall() -> None:
    candidates, queries = drawn(3_000), drawn(200, seed=1)
    config = IndexConfig(recall_k=50, num_leaves=30)
    index, measured = selection.build(candidates, queries, config)
    assert plan(config, 3_000).leaves_to_search == 1
    assert index.plan.leaves_to_search > 8
    assert measured.recall >= 0.99
    assert measured.latency_ms > 0 and measured.brute_force_latency_ms > 0


@needs_scann
def test_every_setting_that_was_tried_is_recorded_and_why_the_last_one_was_taken() -> None:
    candidates, queries, config = drawn(3_000), drawn(200, seed=1), IndexConfig(recall_k=50, num_leaves=30)
    index, measured = selection.build(candidates, queries, config)
    figures = selection.figures(index, measured, 3_000)
    rows = figures["index_settings"]
    leaves = [row["leaves_to_search"] for row in rows]
    assert leaves == [min(30, 2**n) for n in range(len(rows))] and leaves[-1] == index.plan.leaves_to_search
    recalls = [row["recall"] for row in rows]
    assert max(recalls[:-1]) < 0.995 <= recalls[-1] and recalls == sorted(recalls)
    assert all(row["latency_ms"] > 0 for row in rows)
    assert selection.measure_recall(index, queries[:100], 50) == recalls[-1], "the half that chooses"
    assert figures["index_chosen_because"].startswith(f"the first of {len(rows)} settings whose recall")


@needs_scann
def test_a_deeper_search_searches_more_leaves() -> None:
    """ScaNN itself, without the fallback, finds all candidates if all are requested."""
    index = Index(drawn(3_000), Plan("partitioned", leaves=30, leaves_to_search=8, reordering=300), 50)
    positions, _ = index.approximate(tf.constant(drawn(3, seed=1)), tf.constant(3_000))
    assert np.sort(positions.numpy()).tolist() == [list(range(3_000))] * 3


@needs_scann
def test_fewer_columns_than_requested_are_refused_and_never_served() -> None:
    candidates = two_clusters(60)
    query = np.array([[1, 0.1]], np.float32)
    index = Index(candidates, Plan("partitioned", leaves=2, leaves_to_search=1, reordering=120), 100)
    with pytest.raises(Refusal, match="returned 60 candidates, and 100 of 120 were requested"):
        selection.measure_recall(index, query, 100)
    positions, scores = index.search(tf.constant(query), tf.constant(100))
    expected, expected_scores = exact_search.best(query, candidates, 100)
    np.testing.assert_array_equal(positions.numpy(), expected)
    np.testing.assert_allclose(scores.numpy(), expected_scores, rtol=1e-5)


@needs_scann
@pytest.mark.parametrize(
    "harm, falls_back",
    [
        (lambda positions, scores: (positions, scores), False),
        (lambda positions, scores: (positions, scores * [[np.nan], [1.0]]), True),
        (lambda positions, scores: (np.maximum(positions, np.sort(positions)[:, 1:2]), scores), True),
    ],
    ids=["sound", "NaN", "a candidate twice"],
)
def test_unsound_results_are_never_served(monkeypatch: pytest.MonkeyPatch, harm, falls_back: bool) -> None:
    candidates, queries = drawn(100), drawn(2, seed=1)
    best, scores = exact_search.best(queries, candidates, 10)
    worst_first = best[:, ::-1]
    found, found_scores = harm(worst_first, scores)
    received = tf.constant(found, tf.int32), tf.constant(found_scores, tf.float32)
    monkeypatch.setattr(Index, "approximate", lambda *_: received)
    positions, _ = Index(candidates, Plan("exact"), 10).search(tf.constant(queries), tf.constant(10))
    np.testing.assert_array_equal(positions.numpy(), best if falls_back else worst_first)


SCORES = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])


@pytest.mark.parametrize(
    "positions, scores, words",
    [
        ([[0], [3]], [[4.0], [4.0]], "returned 1 candidates, and 2 of 4"),
        ([[0, 1], [3, 2]], [[4.0, np.nan], [4.0, 3.0]], "NaN or infinite scores for 1 of 2"),
        ([[0, 1], [3, 4]], [[4.0, 3.0], [4.0, 3.0]], "outside the catalogue of 4"),
        ([[0, 0], [3, 2]], [[4.0, 4.0], [4.0, 3.0]], "a candidate twice for 1 of 2"),
        ([[0, 1], [3, 2]], [[4.0, 3.1], [4.0, 3.0]], "not the inner products for 1 of 2"),
    ],
)
def test_unsound_results_are_refused(positions: list, scores: list, words: str) -> None:
    selection.check_found(np.array([[0, 1], [3, 2]]), np.array([[4.0, 3.0], [4.0, 3.0]]), SCORES, 2)
    with pytest.raises(Refusal, match=words):
        selection.check_found(np.array(positions), np.array(scores), SCORES, 2)


@needs_scann
def test_without_reordering_scann_scores_are_approximate_and_so_refused() -> None:
    """TFRS's layer on its defaults: it was seen to return NaN, and never the inner products."""
    import tensorflow_recommenders as tfrs

    candidates, queries = drawn(1_000), drawn(20, seed=1)
    layer = tfrs.layers.factorized_top_k.ScaNN(k=10, num_leaves=10, num_leaves_to_search=10).index(candidates)
    scores, positions = layer(tf.constant(queries))
    with pytest.raises(Refusal, match="the index returned (NaN|scores that are not the inner products)"):
        selection.check_found(positions.numpy(), scores.numpy(), queries @ candidates.T, 10)
