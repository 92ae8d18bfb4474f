"""The pushed composite, loaded as a server would: exclusion, cold-start users, and depth."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher.composite import recommender
from modules import features
from tests.conftest import needs_scann
from tests.helpers import planted_models
from tests.helpers.planted_requests import exact_best, history_of, recommend, request, titles_of


@pytest.fixture(scope="module")
def serve(pushed) -> Any:
    path = pushed.destination / "current" / "recommend"
    return tf.saved_model.load(str(path)).signatures["serving_default"]


def expected_rows(world: planted_models.World, user: int, k: int) -> list[int]:
    return exact_best(world, world.user_vectors[user], world.seen[user].tolist(), k)


def test_a_request_has_the_query_features_and_k(serve) -> None:
    inputs = {
        name: (spec.dtype, spec.shape.rank) for name, spec in serve.structured_input_signature[1].items()
    }
    assert inputs.pop("k") == (tf.int32, 0)
    assert inputs.pop("exclude_title") == (tf.string, 2)
    types = {features.Dtype.BYTES: tf.string, features.Dtype.INT: tf.int64, features.Dtype.FLOAT: tf.float32}
    assert inputs == {row.name: (types[row.dtype], 1 + row.repeated) for row in features.QUERY_FEATURES}


@pytest.mark.parametrize("k", [1, 10, 100, 300])
def test_every_user_gets_the_exact_best_of_the_unseen(pushed, serve, k: int) -> None:
    """User 39 has seen more than half of the catalogue, user 40 all but three: k remain where k exist."""
    world = pushed.planted.world
    answer = recommend(serve, world.users, k)
    assert set(answer["served_by"]) == {b"model"}
    for user in range(len(world.users)):
        rows = expected_rows(world, user, k)
        assert answer["num_returned"][user] == len(rows) == min(k, 300 - len(world.seen[user]))
        titles = [title.decode() for title in answer["movie_title"][user]]
        given = [world.titles.index(title) for title in titles[: len(rows)]]
        assert len(set(given)) == len(rows)
        assert answer["movie_id"][user][: len(rows)].tolist() == [world.ids[row].encode() for row in given]
        # By scores: which of two that float32 can hardly tell apart comes first, the CPU decides.
        scores = world.embeddings @ world.user_vectors[user]
        np.testing.assert_allclose(scores[given], scores[rows], atol=1e-5)
        np.testing.assert_allclose(answer["score"][user][: len(rows)], scores[given], atol=1e-5)
        assert not {world.titles[row] for row in world.seen[user]} & set(titles)
        assert set(titles[len(rows) :]) <= {""}, "columns after the last title are empty"


def test_padding_is_empty_finite_and_last(pushed, serve) -> None:
    answer = recommend(serve, ["40"], 5)
    assert answer["num_returned"].tolist() == [3]
    assert answer["movie_title"].shape == (1, 5)
    assert answer["movie_id"][0, 3:].tolist() == [b"", b""]
    assert answer["score"][0, 3:].tolist() == [recommender.PADDING_SCORE] * 2
    assert np.isfinite(answer["score"]).all() and json.dumps(answer["score"].tolist())
    assert answer["predicted_rating"][0, 3:].tolist() == [0.0, 0.0]


def test_a_cold_start_user_gets_the_most_popular_beside_users_who_do_not(pushed, serve) -> None:
    world = pushed.planted.world
    answer = recommend(serve, ["nobody", "40", ""], 4)
    assert answer["served_by"].tolist() == [b"popularity", b"model", b"popularity"]
    best = np.argsort(-world.popularity)[:4]
    for row in (0, 2):
        assert [title.decode() for title in answer["movie_title"][row]] == [world.titles[row] for row in best]
        assert answer["score"][row].tolist() == [299, 298, 297, 296]
    assert answer["num_returned"].tolist() == [4, 3, 4]
    assert np.isfinite(answer["predicted_rating"]).all()


@pytest.mark.parametrize("rows", [[4], [250, 3, 17], list(range(40, 60)), list(range(100, 135))])
def test_a_cold_start_user_who_tells_of_titles_is_served_by_the_model(pushed, serve, rows: list[int]) -> None:
    """Also with a history that is longer than the model's."""
    world = pushed.planted.world
    answer = recommend(serve, ["nobody"], 30, [history_of(world, rows)])
    assert answer["served_by"].tolist() == [b"model"]
    vector = world.embeddings[rows].mean(axis=0)
    best = exact_best(world, vector, rows, 30)
    assert titles_of(answer, 0) == [world.titles[row] for row in best]
    assert not set(best) & set(rows)
    assert set(exact_best(world, vector, [], 30)) & set(rows), "or nothing had been there to exclude"
    np.testing.assert_allclose(answer["score"][0], world.embeddings[best] @ vector, atol=1e-5)


def test_what_is_no_candidate_makes_nobody_known_and_moves_nothing(pushed, serve) -> None:
    world = pushed.planted.world
    unheard = ("Unheard of (2031)", 5.0, 1)
    known = history_of(world, [8, 9])
    answer = recommend(serve, ["nobody", "nobody", "39"], 10, [[unheard], [unheard, *known], [unheard]])
    assert answer["served_by"].tolist() == [b"popularity", b"model", b"model"]
    assert titles_of(answer, 0) == [world.titles[row] for row in np.argsort(-world.popularity)[:10]]
    best = exact_best(world, world.embeddings[[8, 9]].mean(axis=0), [8, 9], 10)
    assert titles_of(answer, 1) == [world.titles[row] for row in best]
    assert titles_of(answer, 2) == [world.titles[row] for row in expected_rows(world, 38, 10)]


@pytest.mark.parametrize("user", [0, 6, 38])
def test_a_known_user_gets_titles_neither_of_train_nor_of_the_history(pushed, serve, user: int) -> None:
    """Tells of the ten best that are left after train, and of two that train holds as well, where it does."""
    world = pushed.planted.world
    beyond, train = expected_rows(world, user, 10), world.seen[user].tolist()
    answer = recommend(serve, [world.users[user]], 25, [history_of(world, beyond + train[:2])])
    assert answer["served_by"].tolist() == [b"model"]
    assert titles_of(answer, 0) == [world.titles[row] for row in expected_rows(world, user, 35)[10:]]


def test_a_known_user_who_tells_of_all_that_was_left_gets_nothing(pushed, serve) -> None:
    world = pushed.planted.world
    answer = recommend(serve, ["40"], 5, [history_of(world, expected_rows(world, 39, 5))])
    assert (answer["served_by"].tolist(), answer["num_returned"].tolist()) == ([b"model"], [0])
    assert answer["movie_title"].tolist() == [[b""] * 5]


def test_histories_of_any_length_in_one_batch_do_not_touch_each_other(pushed, serve) -> None:
    world = pushed.planted.world
    users = ["nobody", "39", "nobody", "7", "", "nobody"]
    histories = [
        history_of(world, rows) for rows in ([12], [], [], [1, 2, 3], list(range(200, 220)), [0, 299])
    ]
    together = recommend(serve, users, 15, histories)
    assert together["served_by"].tolist() == [b"model", b"model", b"popularity", *[b"model"] * 3]
    for row, user in enumerate(users):
        alone = recommend(serve, [user], 15, [histories[row]])
        assert titles_of(together, row) == titles_of(alone, 0) and len(titles_of(alone, 0)) == 15
        for name in ("score", "predicted_rating"):
            np.testing.assert_allclose(together[name][row], alone[name][0], atol=1e-5)


def test_excluded_titles_are_left_out_of_every_path_and_tell_nothing(pushed, serve) -> None:
    """The ten best of a user and of a cold-start user; a title that nobody has excludes nothing."""
    world = pushed.planted.world
    popular = np.argsort(-world.popularity)
    best = [world.titles[row] for row in expected_rows(world, 6, 30)]
    most = [world.titles[row] for row in popular[:30]]
    exclude = [best[:10], ["Unheard of (2031)", *most[:10]], []]
    answer = recommend(serve, ["7", "nobody", "7"], 15, exclude=exclude)
    assert answer["served_by"].tolist() == [b"model", b"popularity", b"model"]
    assert titles_of(answer, 0) == best[10:25]
    assert titles_of(answer, 1) == most[10:25]
    assert titles_of(answer, 2) == best[:15]


def test_a_user_whose_rest_is_excluded_gets_nothing(pushed, serve) -> None:
    world = pushed.planted.world
    rest = [world.titles[row] for row in expected_rows(world, 39, 5)]
    answer = recommend(serve, ["40", "40"], 5, exclude=[rest, rest[1:]])
    assert answer["num_returned"].tolist() == [0, 1]
    assert titles_of(answer, 1) == rest[:1]


def test_predicted_ratings_are_those_of_the_ranking_model(pushed, serve) -> None:
    rate = tf.saved_model.load(str(pushed.destination / "current" / "ranking")).signatures["rate"]
    histories = [history_of(pushed.planted.world, [3, 1, 2]), history_of(pushed.planted.world, [5])]
    answer = recommend(serve, ["7", "nobody"], 20, histories)
    for row, user in enumerate(["7", "nobody"]):
        titles = tf.constant(answer["movie_title"][row])
        alone = rate(**request([user] * 20, [histories[row]] * 20), movie_title=titles)["predicted_rating"]
        np.testing.assert_allclose(answer["predicted_rating"][row], alone, atol=1e-6)
        without_history = rate(**request([user] * 20), movie_title=titles)["predicted_rating"]
        assert (alone - without_history > 0.03).numpy().all(), "a title of the history adds 0.039 stars"
    assert np.ptp(answer["predicted_rating"]) > 0.5


def test_more_than_the_catalogue_gives_the_catalogue(serve) -> None:
    answer = recommend(serve, ["1"], 10_000)
    assert answer["movie_title"].shape == (1, 300)
    assert answer["num_returned"].tolist() == [300]


def test_no_user_gives_no_row(serve) -> None:
    assert recommend(serve, [], 10)["movie_title"].shape == (0, 10)


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_an_error_in_words(serve, k: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="k must be at least 1"):
        recommend(serve, ["1"], k)


@needs_scann
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
    history_title=tf.constant([[sys.argv[2]]]), history_rating=tf.constant([[4.0]]),
    history_timestamp=tf.constant([[3]], tf.int64), exclude_title=tf.constant([[""]]),
)
packages = {name.split(".")[0] for name in sys.modules}
assert not packages & {"components", "modules", "tensorflow_recommenders"}, packages
print(json.dumps([title.decode() for title in answer["movie_title"].numpy()[0]]))
"""
    path, world = str(pushed.destination / "current" / "recommend"), pushed.planted.world
    watched, *expected = [world.titles[row] for row in expected_rows(world, 38, 21)]
    process = subprocess.run(
        [sys.executable, "-I", "-c", code, path, watched], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == expected


class TestBestUnseen:
    def test_the_order_stays_and_the_remaining_titles_are_counted(self) -> None:
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
