"""The gate of the composite: what it may not do, done on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher import recommend_check, recommender, signatures
from components.index_pusher.gates import Refusal
from components.index_pusher.index import Index, Plan
from components.index_pusher.queries import read_queries
from modules import features
from tests import planted_models


@pytest.fixture(scope="module")
def parts(planted) -> dict[str, Any]:
    retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
    return {
        "retrieval": retrieval,
        "ranking": signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING),
        "candidates": signatures.read_candidates(retrieval),
        "queries": read_queries(planted.sources.queries_dir, 1_000),
    }


def check(parts: dict[str, Any], broken: recommender.Recommender, path: str) -> float:
    recommender.save(broken, path)
    return recommend_check.check_recommend(
        path, parts["retrieval"], parts["candidates"], parts["queries"], 50
    )


def composite(parts: dict[str, Any], plan: Plan = Plan("exact")) -> recommender.Recommender:  # noqa: B008
    index = Index(parts["candidates"].embeddings, plan, 50)
    return recommender.Recommender(parts["retrieval"], parts["ranking"], index, parts["candidates"])


def test_a_sound_composite_passes(parts, tmp_path) -> None:
    assert check(parts, composite(parts), str(tmp_path)) == 1.0


def test_a_coarse_index_shows_in_the_recommendations(parts, tmp_path) -> None:
    narrow = Plan("partitioned", leaves=6, leaves_to_search=2, reordering=300)
    assert 0.2 < check(parts, composite(parts, narrow), str(tmp_path)) < 0.99


def test_recommending_seen_titles_is_refused(parts, tmp_path, monkeypatch) -> None:
    def keep_all(positions, scores, seen, k):
        return positions[:, :k], scores[:, :k], tf.fill([tf.shape(positions)[0]], k)

    monkeypatch.setattr(recommender, "best_unseen", keep_all)
    with pytest.raises(Refusal, match="the recommendations for user .* (already rated|remain)"):
        check(parts, composite(parts), str(tmp_path))


def test_recommending_told_titles_is_refused(parts, tmp_path, monkeypatch) -> None:
    """By a composite that overlooks what is told; user 1, who comes first, has nothing in train."""
    best_unseen = recommender.best_unseen
    in_train = max(planted_models.SEEN_COUNTS)

    def only_train(positions, scores, seen, k):
        return best_unseen(positions, scores, seen[:, :in_train], k)

    assert (parts["queries"]["history_title"][0] != b"").sum() == 7
    monkeypatch.setattr(recommender, "best_unseen", only_train)
    with pytest.raises(Refusal, match="for user 1 hold a title that the user has already rated"):
        check(parts, composite(parts), str(tmp_path))


def test_the_stranger_tells_of_nothing_whoever_comes_first(parts) -> None:
    """Told titles would have the stranger served by the model, and popularity never asked."""
    queries = parts["queries"]
    asked = recommend_check.with_stranger(queries)
    assert set(asked) == {row.name for row in features.QUERY_FEATURES}
    assert queries["history_title"][0, 0] and queries["user_id"][0] == b"1"
    assert asked["user_id"][-1] == recommend_check.STRANGER
    for name, absent in (("history_title", b""), ("history_rating", 0), ("history_timestamp", 0)):
        assert asked[name][-1].tolist() == [absent] * features.HISTORY_LENGTH
        np.testing.assert_array_equal(asked[name][:-1], queries[name])


def test_a_stranger_served_by_the_model_is_refused(parts, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recommender, "BY_POPULARITY", recommender.BY_MODEL)
    broken = composite(parts)
    recommender.save(broken, str(tmp_path))
    monkeypatch.undo()
    with pytest.raises(Refusal, match="user no such user came by model, not by popularity"):
        recommend_check.check_recommend(
            str(tmp_path), parts["retrieval"], parts["candidates"], parts["queries"], 50
        )


def test_too_few_after_the_exclusion_is_refused(parts, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recommender.Recommender, "_ranked", _without_overfetch)
    with pytest.raises(Refusal, match=r"for user \d+ number \d+ where 50 of the 50 asked for remain"):
        check(parts, composite(parts), str(tmp_path))


def test_another_order_of_popularity_is_refused(parts, tmp_path) -> None:
    broken = composite(parts)
    broken._by_popularity.assign(tf.reverse(broken._by_popularity, [0]))
    with pytest.raises(Refusal, match="user no such user are not the most popular titles"):
        check(parts, broken, str(tmp_path))


def test_scores_that_are_not_the_models_are_refused(parts, tmp_path, monkeypatch) -> None:
    search = Index.search

    def shifted(self, queries, k):
        positions, scores = search(self, queries, k)
        return positions, scores + 0.01

    monkeypatch.setattr(Index, "search", shifted)
    with pytest.raises(Refusal, match="user 1 carry scores that are not the model's"):
        check(parts, composite(parts), str(tmp_path))


def test_ratings_that_are_nan_are_refused(parts, tmp_path, monkeypatch) -> None:
    ratings = recommender.Recommender._ratings
    monkeypatch.setattr(
        recommender.Recommender,
        "_ratings",
        lambda self, query, titles: ratings(self, query, titles) * np.nan,
    )
    with pytest.raises(Refusal, match="predicted ratings that are NaN or infinite"):
        check(parts, composite(parts), str(tmp_path))


def _without_overfetch(self, query, seen, known, k):
    embeddings = signatures.call(self._retrieval.signatures["query"], query)["query_embedding"]
    positions, scores = self._index.exact(embeddings, k)
    popular = self._by_popularity[:k]
    return tf.where(known[:, None], positions, popular[None]), tf.where(
        known[:, None], scores, tf.gather(self._popularity, popular)[None]
    )
