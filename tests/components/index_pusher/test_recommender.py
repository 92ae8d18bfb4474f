"""The pushed composite, loaded as a server would: exclusion, strangers, depth, and what the gate refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher import index_gate, recommend_check, recommender, signatures
from components.index_pusher.gates import Refusal
from components.index_pusher.index import Index, Plan
from components.index_pusher.queries import read_queries
from modules import features
from tests import planted_models


@pytest.fixture(scope="module")
def serve(pushed) -> Any:
    path = pushed.destination / "current" / "recommend"
    return tf.saved_model.load(str(path)).signatures["serving_default"]


def ask(serve: Any, users: list[str], k: int) -> dict[str, np.ndarray]:
    size = len(users)
    answer = serve(
        user_id=tf.constant(users, tf.string),
        timestamp=tf.fill([size], tf.constant(880_000_000, tf.int64)),
        user_gender=tf.fill([size], "unknown"),
        user_age=tf.fill([size], tf.constant(-1, tf.int64)),
        user_occupation=tf.fill([size], "unknown"),
        k=tf.constant(k),
    )
    return {name: tensor.numpy() for name, tensor in answer.items()}


def expected_rows(world: planted_models.World, user: int, k: int) -> list[int]:
    scores = world.embeddings @ world.user_vectors[user]
    scores[world.seen[user]] = -np.inf
    return np.argsort(-scores)[: min(k, len(scores) - len(world.seen[user]))].tolist()


def test_a_request_carries_the_query_features_and_k(serve) -> None:
    inputs = {
        name: (spec.dtype, spec.shape.rank) for name, spec in serve.structured_input_signature[1].items()
    }
    assert inputs.pop("k") == (tf.int32, 0)
    types = {features.Dtype.BYTES: tf.string, features.Dtype.INT: tf.int64, features.Dtype.FLOAT: tf.float32}
    assert inputs == {row.name: (types[row.dtype], 1) for row in features.QUERY_FEATURES}


@pytest.mark.parametrize("k", [1, 10, 100, 300])
def test_every_user_gets_the_exact_best_of_the_unseen(pushed, serve, k: int) -> None:
    """User 39 has seen more than half of the catalogue, user 40 all but three: k remain where k exist."""
    world = pushed.planted.world
    answer = ask(serve, world.users, k)
    assert set(answer["served_by"]) == {b"model"}
    for user in range(len(world.users)):
        rows = expected_rows(world, user, k)
        assert answer["num_returned"][user] == len(rows) == min(k, 300 - len(world.seen[user]))
        titles = [title.decode() for title in answer["movie_title"][user]]
        assert titles[: len(rows)] == [world.titles[row] for row in rows]
        assert answer["movie_id"][user][: len(rows)].tolist() == [world.ids[row].encode() for row in rows]
        scores = world.embeddings[rows] @ world.user_vectors[user]
        np.testing.assert_allclose(answer["score"][user][: len(rows)], scores, atol=1e-5)
        assert not {world.titles[row] for row in world.seen[user]} & set(titles)
        assert set(titles[len(rows) :]) <= {""}, "columns after the last title are empty"


def test_padding_is_empty_finite_and_last(pushed, serve) -> None:
    answer = ask(serve, ["40"], 5)
    assert answer["num_returned"].tolist() == [3]
    assert answer["movie_title"].shape == (1, 5)
    assert answer["movie_id"][0, 3:].tolist() == [b"", b""]
    assert answer["score"][0, 3:].tolist() == [recommender.PADDING_SCORE] * 2
    assert np.isfinite(answer["score"]).all() and json.dumps(answer["score"].tolist())
    assert answer["predicted_rating"][0, 3:].tolist() == [0.0, 0.0]


def test_a_stranger_gets_the_most_popular_beside_users_who_do_not(pushed, serve) -> None:
    world = pushed.planted.world
    answer = ask(serve, ["nobody", "40", ""], 4)
    assert answer["served_by"].tolist() == [b"popularity", b"model", b"popularity"]
    best = np.argsort(-world.popularity)[:4]
    for stranger in (0, 2):
        assert [title.decode() for title in answer["movie_title"][stranger]] == [
            world.titles[row] for row in best
        ]
        assert answer["score"][stranger].tolist() == [299, 298, 297, 296]
    assert answer["num_returned"].tolist() == [4, 3, 4]
    assert np.isfinite(answer["predicted_rating"]).all()


def test_predicted_ratings_are_those_of_the_ranking_model(pushed, serve) -> None:
    rate = tf.saved_model.load(str(pushed.destination / "current" / "ranking")).signatures["rate"]
    answer = ask(serve, ["7", "nobody"], 20)
    for row, user in enumerate(["7", "nobody"]):
        alone = rate(
            user_id=tf.fill([20], user),
            timestamp=tf.fill([20], tf.constant(880_000_000, tf.int64)),
            user_gender=tf.fill([20], "unknown"),
            user_age=tf.fill([20], tf.constant(-1, tf.int64)),
            user_occupation=tf.fill([20], "unknown"),
            movie_title=tf.constant(answer["movie_title"][row]),
        )["predicted_rating"]
        np.testing.assert_allclose(answer["predicted_rating"][row], alone, atol=1e-6)
    assert np.ptp(answer["predicted_rating"]) > 0.5


def test_more_than_the_catalogue_gives_the_catalogue(serve) -> None:
    answer = ask(serve, ["1"], 10_000)
    assert answer["movie_title"].shape == (1, 300)
    assert answer["num_returned"].tolist() == [300]


def test_no_user_gives_no_row(serve) -> None:
    assert ask(serve, [], 10)["movie_title"].shape == (0, 10)


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_an_error_in_words(serve, k: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="k must be at least 1"):
        ask(serve, ["1"], k)


def test_the_composite_stands_alone_in_a_fresh_process(pushed) -> None:
    """The models it was made of, and the project, are out of reach; ScaNN alone registers its operations."""
    code = """
import json, sys
import scann
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answer = serve(
    user_id=tf.constant(["39"]), timestamp=tf.constant([5], tf.int64), user_gender=tf.constant(["F"]),
    user_age=tf.constant([30], tf.int64), user_occupation=tf.constant(["artist"]), k=tf.constant(20),
)
packages = {name.split(".")[0] for name in sys.modules}
assert not packages & {"components", "modules", "tensorflow_recommenders"}, packages
print(json.dumps([title.decode() for title in answer["movie_title"].numpy()[0]]))
"""
    path = str(pushed.destination / "current" / "recommend")
    process = subprocess.run(
        [sys.executable, "-I", "-c", code, path], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    world = pushed.planted.world
    assert json.loads(process.stdout) == [world.titles[row] for row in expected_rows(world, 38, 20)]


class TestBestUnseen:
    def test_order_is_kept_and_what_is_left_is_counted(self) -> None:
        positions = tf.constant([[5, 3, 9, 0], [1, 2, 3, 4]])
        scores = tf.constant([[4.0, 3.0, 2.0, 1.0], [8.0, 8.0, 8.0, 8.0]])
        seen = tf.constant([[0, 5, -1], [4, 2, 3]])
        found, best, returned = recommender.best_unseen(positions, scores, seen, 2)
        assert found[0].numpy().tolist() == [3, 9] and best[0].numpy().tolist() == [3.0, 2.0]
        assert found[1, 0] == 1
        assert returned.numpy().tolist() == [2, 1]

    def test_nobody_has_seen_anything(self) -> None:
        found, _, returned = recommender.best_unseen([[1, 0]], [[2.0, 1.0]], tf.zeros([1, 0], tf.int32), 2)
        assert found.numpy().tolist() == [[1, 0]] and returned.numpy().tolist() == [2]


class TestTheGate:
    """What the composite may not do, done on purpose."""

    @pytest.fixture(scope="class")
    def parts(self, planted) -> dict[str, Any]:
        retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
        return {
            "retrieval": retrieval,
            "ranking": signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING),
            "candidates": signatures.read_candidates(retrieval),
            "queries": read_queries(planted.sources.queries_dir, 1_000),
        }

    def check(self, parts: dict[str, Any], broken: recommender.Recommender, path: str) -> float:
        recommender.save(broken, path)
        return recommend_check.check_recommend(
            path, parts["retrieval"], parts["candidates"], parts["queries"], 50
        )

    def composite(self, parts: dict[str, Any], plan: Plan = Plan("exact")) -> recommender.Recommender:  # noqa: B008
        index = Index(parts["candidates"].embeddings, plan, 50)
        return recommender.Recommender(parts["retrieval"], parts["ranking"], index, parts["candidates"])

    def test_a_sound_composite_passes(self, parts, tmp_path) -> None:
        assert self.check(parts, self.composite(parts), str(tmp_path)) == 1.0

    def test_a_coarse_index_shows_in_the_recommendations(self, parts, tmp_path) -> None:
        narrow = Plan("partitioned", leaves=6, leaves_to_search=2, reordering=300)
        assert 0.2 < self.check(parts, self.composite(parts, narrow), str(tmp_path)) < 0.99

    def test_recommending_seen_titles_is_refused(self, parts, tmp_path, monkeypatch) -> None:
        def keep_all(positions, scores, seen, k):
            return positions[:, :k], scores[:, :k], tf.fill([tf.shape(positions)[0]], k)

        monkeypatch.setattr(recommender, "best_unseen", keep_all)
        with pytest.raises(Refusal, match="the recommendations for user .* (already rated|remain)"):
            self.check(parts, self.composite(parts), str(tmp_path))

    def test_too_few_after_the_exclusion_is_refused(self, parts, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(recommender.Recommender, "_ranked", _without_overfetch)
        with pytest.raises(Refusal, match=r"for user \d+ number \d+ where 50 of the 50 asked for remain"):
            self.check(parts, self.composite(parts), str(tmp_path))

    def test_another_order_of_popularity_is_refused(self, parts, tmp_path) -> None:
        composite = self.composite(parts)
        composite._by_popularity.assign(tf.reverse(composite._by_popularity, [0]))
        with pytest.raises(Refusal, match="user no such user are not the most popular titles"):
            self.check(parts, composite, str(tmp_path))

    def test_scores_that_are_not_the_models_are_refused(self, parts, tmp_path, monkeypatch) -> None:
        search = Index.search

        def shifted(self, queries, k):
            positions, scores = search(self, queries, k)
            return positions, scores + 0.01

        monkeypatch.setattr(Index, "search", shifted)
        with pytest.raises(Refusal, match="user 1 carry scores that are not the model's"):
            self.check(parts, self.composite(parts), str(tmp_path))

    def test_ratings_that_are_nan_are_refused(self, parts, tmp_path, monkeypatch) -> None:
        ratings = recommender.Recommender._ratings
        monkeypatch.setattr(
            recommender.Recommender,
            "_ratings",
            lambda self, query, titles: ratings(self, query, titles) * np.nan,
        )
        with pytest.raises(Refusal, match="predicted ratings that are NaN or infinite"):
            self.check(parts, self.composite(parts), str(tmp_path))


def _without_overfetch(self, query, seen, known, k):
    embeddings = signatures.call(self._retrieval.signatures["query"], query)["query_embedding"]
    positions, scores = self._index.exact(embeddings, k)
    popular = self._by_popularity[:k]
    return tf.where(known[:, None], positions, popular[None]), tf.where(
        known[:, None], scores, tf.gather(self._popularity, popular)[None]
    )


def test_the_oracle_agrees_with_the_planted_truth(planted) -> None:
    world = planted.world
    positions, _ = index_gate.brute_force(world.user_vectors, world.embeddings, 10)
    assert positions[0].tolist() == expected_rows(world, 0, 10)
