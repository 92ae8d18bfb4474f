"""The TFLite files against their SavedModels, in a process without TensorFlow."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher.composite import signatures
from components.index_pusher.gates import Refusal
from components.index_pusher.index.queries import with_cold_start_users
from components.index_pusher.proof import tflite_check
from components.index_pusher.proof.parity_table import Row
from components.index_pusher.proof.processes import Job, run_tflite
from modules import features
from tests.helpers import planted_exports, planted_models
from tests.helpers.planted_queries import read_queries

pytestmark = pytest.mark.slow("starts a new interpreter in each test")


@pytest.fixture(scope="module")
def ranking(planted) -> Any:
    return signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING)


@pytest.fixture(scope="module")
def queries(planted) -> dict[str, np.ndarray]:
    return read_queries(planted.sources.queries_dir, 1_000)


def export(model_dir: str) -> str:
    return os.path.join(model_dir, features.TFLITE_DIR, features.RANKING_TFLITE)


def check_tflite(ranking: Any, path: str, queries: dict[str, np.ndarray]) -> Row:
    columns = with_cold_start_users(queries)
    return tflite_check.check_rating(ranking, answer_of(path, columns), columns)


def answer_of(path: str, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    (answer,) = run_tflite([Job(path, features.RATING_SIGNATURE, columns)])
    return answer


def test_a_file_that_differs_by_a_little_does_not_pass(planted, ranking, queries, tmp_path) -> None:
    other = planted_models.write_model(planted.world, tmp_path, planted_models.RANKING, tflite_shift=1e-3)
    row = check_tflite(ranking, export(other), queries)
    assert row.difference == pytest.approx(1e-3, rel=1e-2) and row.queries == 205
    assert not row.passes and check_tflite(ranking, export(planted.sources.ranking_dir), queries).passes


def test_a_file_that_returns_nan_does_not_pass(planted, ranking, queries, tmp_path: pathlib.Path) -> None:
    other = planted_models.write_model(
        planted.world, tmp_path, planted_models.RANKING, tflite_shift=float("nan")
    )
    assert not check_tflite(ranking, export(other), queries).passes


def test_of_two_files_in_one_process_the_broken_one_is_named(
    planted, queries, tmp_path: pathlib.Path
) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a flatbuffer at all")
    paths = (export(planted.sources.ranking_dir), str(broken))
    with pytest.raises(Refusal, match="does not run without TensorFlow: broken.tflite: ValueError: "):
        run_tflite([Job(path, features.RATING_SIGNATURE, queries) for path in paths])


def test_a_file_that_needs_tensorflow_kernels_is_refused(ranking, queries, tmp_path: pathlib.Path) -> None:
    """It runs in any process that has TensorFlow loaded, this one for instance."""
    spec = planted_models.QUERY_SPEC

    @tf.function(input_signature=[spec[features.USER_ID], spec[features.TIMESTAMP]])
    def rate(user_id, timestamp):
        hashed = tf.strings.to_hash_bucket_fast(user_id, 10)
        return {features.PREDICTED_RATING: tf.cast(hashed + timestamp, tf.float32)}

    module = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([rate.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    path = tmp_path / "select.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(Refusal, match="does not run without TensorFlow"):
        check_tflite(ranking, str(path), queries)


def test_cold_start_users_tell_of_whole_histories_or_of_none(queries) -> None:
    requests = with_cold_start_users(queries)
    assert {len(column) for column in requests.values()} == {len(queries["user_id"]) + 5}
    for row in features.HISTORY_FEATURES:
        given, column = queries[row.name], requests[row.name]
        assert column.dtype == given.dtype and column.shape[1] == features.HISTORY_LENGTH
        np.testing.assert_array_equal(column[:-5], given)
        np.testing.assert_array_equal(column[-5:-2], given[[0, 0, 0]])
    titles = requests["history_title"]
    assert (titles[-5:, :7] != b"").all(axis=1).tolist() == [True, True, True, False, False]
    for name, absent in (("history_title", b""), ("history_rating", 0), ("history_timestamp", 0)):
        assert requests[name][-2:].tolist() == [[absent] * features.HISTORY_LENGTH] * 2
    assert [user == b"no such user" for user in requests["user_id"][-5:]] == [True, False, True, False, True]
    assert queries["user_id"][0] == b"1" and queries["history_title"][0, 0] != b"", "the given are left alone"


def test_a_file_that_overlooks_the_history_does_not_pass(planted, ranking, queries, tmp_path) -> None:
    """By the rows with a history alone, so the histories do reach both."""
    bare = planted_models.write_model(planted.world, tmp_path, planted_models.RANKING, history_weight=0.0)
    columns = with_cold_start_users(queries)
    received = answer_of(export(bare), columns)
    assert not tflite_check.check_rating(ranking, received, columns).passes
    rated = signatures.batched(ranking.signatures[features.RATING_SIGNATURE], columns)
    difference = np.abs(tflite_check.stars(received) - tflite_check.stars(rated))
    has_history = columns["history_title"][:, 0] != b""
    assert has_history.sum() == 163
    np.testing.assert_array_equal(difference > 1e-5, has_history)


def test_a_timestamp_beyond_the_file_s_integers_is_refused_not_wrapped(planted, ranking, queries) -> None:
    late = {**queries, features.TIMESTAMP: queries[features.TIMESTAMP] + 2**32}
    with pytest.raises(Refusal, match="timestamp holds 51.*, which int32 cannot hold"):
        check_tflite(ranking, export(planted.sources.ranking_dir), late)


class TestRetrieval:
    """The file that searches."""

    @pytest.fixture(scope="class")
    def parts(self, planted, queries) -> tuple:
        retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
        candidates = signatures.read_candidates(retrieval)
        requests = with_cold_start_users(queries)
        embeddings = signatures.embed(retrieval, requests)
        request, exact = tflite_check.device_request(embeddings, candidates, requests)
        return candidates, request, exact

    @pytest.fixture(scope="class")
    def answer(self, planted, parts) -> dict[str, np.ndarray]:
        path = os.path.join(planted.sources.retrieval_dir, features.TFLITE_DIR, features.RETRIEVAL_TFLITE)
        (answer,) = run_tflite([Job(path, features.RETRIEVE_SIGNATURE, parts[1])])
        return answer

    def test_an_honest_file_finds_what_exact_search_finds(self, parts, answer) -> None:
        candidates, request, exact = parts
        row = tflite_check.check_retrieval(answer, exact, candidates)
        assert row.queries == 205 and 0 <= row.difference <= row.bound == 1e-5
        history = (request[features.HISTORY_TITLE] != b"").sum(axis=1)
        denied = (request[features.EXCLUDE_TITLE] != b"").sum(axis=1)
        assert history.max() == features.TRAIN_HISTORY_LENGTH
        assert denied[::2].min() == 5 and not denied[1::2].any()
        assert answer[features.NUM_RETURNED].tolist() == [100] * 205

    def test_a_catalogue_smaller_than_its_depth_is_counted_and_padded(self, tmp_path: pathlib.Path) -> None:
        world = planted_models.make_world(num_candidates=30)
        planted_exports.write_retrieval(world, tmp_path)
        request = _request(["1"], history=world.titles[:5], exclude=[*world.titles[3:8], "Unheard of (2031)"])
        (answer,) = run_tflite([Job(str(tmp_path / features.RETRIEVAL_TFLITE), "retrieve", request)])
        expected = np.argsort(-(world.embeddings @ world.user_vectors[0]))
        left = [world.titles[row].encode() for row in expected if row >= 8]
        assert answer[features.NUM_RETURNED].tolist() == [22]
        assert answer[features.MOVIE_TITLE].tolist() == [[*left, *[b""] * 8]]
        assert answer[features.MOVIE_ID][0, 22:].tolist() == [b""] * 8
        assert np.isfinite(answer[features.SCORE]).all()

    @pytest.mark.parametrize(
        "harm, words",
        [
            (
                lambda a: a[features.MOVIE_TITLE].__setitem__((0, 1), a[features.MOVIE_TITLE][0, 0]),
                "title twice",
            ),
            (
                lambda a: a[features.MOVIE_TITLE].__setitem__((2, 1), b"Unheard of (2031)"),
                r"file retrieval.tflite returned 'Unheard of \(2031\)', which is no candidate",
            ),
            (lambda a: a[features.MOVIE_ID].__setitem__((3, 0), b"7"), "ids that are not its titles'"),
            (lambda a: a[features.NUM_RETURNED].__setitem__(2, 99), "returned 99 titles where 100 remain"),
        ],
    )
    def test_a_wrong_answer_is_refused(self, parts, answer, harm, words: str) -> None:
        harmed = {name: column.copy() for name, column in answer.items()}
        harm(harmed)
        with pytest.raises(Refusal, match=words):
            tflite_check.check_retrieval(harmed, parts[2], parts[0])

    def test_excluded_titles_and_those_of_the_history_are_refused(self, parts, answer) -> None:
        candidates, request, exact = parts
        for name in (features.EXCLUDE_TITLE, features.HISTORY_TITLE):
            harmed = {key: column.copy() for key, column in answer.items()}
            harmed[features.MOVIE_TITLE][0, 9] = request[name][0, 0]
            with pytest.raises(Refusal, match="one of the request's history or exclusions"):
                tflite_check.check_retrieval(harmed, exact, candidates)

    def test_vectors_that_differ_by_a_little_do_not_pass(self, planted, parts, tmp_path) -> None:
        planted_exports.write_retrieval(planted.world, tmp_path, lambda vectors: vectors * np.float32(1.0001))
        path = str(tmp_path / features.RETRIEVAL_TFLITE)
        (answer,) = run_tflite([Job(path, features.RETRIEVE_SIGNATURE, parts[1])])
        row = tflite_check.check_retrieval(answer, parts[2], parts[0])
        assert row.difference == pytest.approx(1e-4, rel=0.05) and not row.passes

    def test_nan_does_not_pass(self, parts, answer) -> None:
        broken = {**answer, features.SCORE: np.full_like(answer[features.SCORE], np.nan)}
        assert not tflite_check.check_retrieval(broken, parts[2], parts[0]).passes


def _request(users: list[str], history: list[str], exclude: list[str]) -> dict[str, np.ndarray]:
    size = len(users)
    request = {row.name: np.array([row.default] * size) for row in features.QUERY_FEATURES}
    for row in features.HISTORY_FEATURES:
        request[row.name] = np.full((size, features.HISTORY_LENGTH), row.default)
    request[features.HISTORY_TITLE] = _padded(history, features.HISTORY_LENGTH, size)
    request[features.EXCLUDE_TITLE] = _padded(exclude, features.DEVICE_EXCLUDED, size)
    request[features.USER_ID] = np.array(users)
    return {
        name: np.array([value.encode() for value in column.ravel()], object).reshape(column.shape)
        if column.dtype.kind == "U"
        else column
        for name, column in request.items()
    }


def _padded(titles: list[str], width: int, size: int) -> np.ndarray:
    return np.array([[*titles, *[""] * (width - len(titles))]] * size)


def test_what_a_quantised_file_loses_is_counted_by_hand() -> None:
    """Errors 1 and 1 against 0 and 2: 1 against the root of 2. Three of four are found against one."""
    labels = np.array([3.0, 3.0])
    exact, other = np.array([4.0, 2.0]), np.array([3.0, 5.0])
    assert tflite_check.rmse_increase(other, exact, labels) == pytest.approx(2**0.5 - 1)
    assert tflite_check.rmse_increase(np.array([np.nan, 3.0]), exact, labels) == float("inf")
    rated = np.array([b"a", b"b", b"c", b"d"], object)
    found = {"movie_title": np.array([[b"a"], [b"b"], [b"c"], [b"x"]], object), "score": np.zeros((4, 1))}
    fewer = {"movie_title": np.array([[b"a", b"x"]] * 4, object), "score": np.zeros((4, 2))}
    assert tflite_check.hit_loss(fewer, found, rated, depth=2) == 0.5
    unsound = {**fewer, "score": np.full((4, 2), np.inf)}
    assert tflite_check.hit_loss(unsound, found, rated, depth=2) == float("inf")
    later = {"movie_title": found["movie_title"][:, [0, 0]], "score": np.zeros((4, 2))}
    later["movie_title"][:, 0] = b"y"
    assert tflite_check.hit_loss(later, found, rated, depth=2) == 0.0
    assert tflite_check.hit_loss(later, found, rated, depth=1) == 0.75
