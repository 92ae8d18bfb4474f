"""The draw of real queries from the eval split."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from components.index_pusher.gates import Refusal
from modules import features
from tests.helpers import planted_models
from tests.helpers.planted_queries import read_queries


def test_all_rows_come_back_in_order_where_the_split_is_small(planted) -> None:
    queries = read_queries(planted.sources.queries_dir, 1_000)
    assert [user.decode() for user in queries["user_id"][::5]] == planted.world.users
    titles = {title.encode() for title in planted.world.titles}
    assert len(queries["movie_title"]) == 200 and set(queries["movie_title"]) <= titles
    assert queries["user_age"][:5].tolist() == [21] * 5
    assert queries["user_gender"][0] == b"F"


def test_a_draw_is_uniform_over_the_split_repeatable_and_without_repeats(planted) -> None:
    first, again = (read_queries(planted.sources.queries_dir, 60) for _ in range(2))
    assert first["movie_title"].tolist() == again["movie_title"].tolist()
    drawn = [int(user) for user in first["user_id"]]
    assert len(drawn) == 60 and drawn == sorted(drawn)
    assert max(drawn.count(user) for user in drawn) <= 5  # each user has five rows
    assert 10 <= sum(user <= 20 for user in drawn) <= 50, "half the users are the first twenty"


def test_side_features_that_the_release_lacks_are_unknown(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "Split-eval"
    folder.mkdir()
    row = planted_models.rating("1", "A (1990)", 5)
    for name in ("user_gender", "user_age", "user_occupation"):
        del row.features.feature[name]
    with tf.io.TFRecordWriter(str(folder / "plain")) as writer:
        writer.write(row.SerializeToString())
    queries = read_queries(str(folder), 10)
    assert (queries["user_gender"][0], queries["user_age"][0]) == (b"unknown", -1)


def test_histories_come_back_padded_to_one_length_latest_first(tmp_path: pathlib.Path) -> None:
    """Without the features, with empty lists, with some entries, and with as many as there may be."""
    full = [(f"Full {ago} (1990)", 0.5 * (1 + ago % 10), 900 - ago) for ago in range(features.HISTORY_LENGTH)]
    some = [("Léon (1994)", 4.5, 70), ("Zero stars (1990)", 0.0, 0)]
    absent, *rows = (
        planted_models.rating("1", "A (1990)", 1_000, history) for history in ([], [], some, full)
    )
    for row in features.HISTORY_FEATURES:
        del absent.features.feature[row.name]
    with tf.io.TFRecordWriter(str(tmp_path / "plain")) as writer:
        for row in (absent, *rows):
            writer.write(row.SerializeToString())
    queries = read_queries(str(tmp_path), 10)
    expected = [
        history + [("", 0.0, 0)] * (features.HISTORY_LENGTH - len(history))
        for history in ([], [], some, full)
    ]
    assert queries["history_title"].tolist() == [[t.encode() for t, _, _ in row] for row in expected]
    assert queries["history_rating"].tolist() == [[stars for _, stars, _ in row] for row in expected]
    assert queries["history_timestamp"].tolist() == [[seconds for _, _, seconds in row] for row in expected]
    assert queries["history_rating"].dtype == "float32" and queries["history_timestamp"].dtype == "int64"


def test_histories_keep_their_length_where_nobody_has_one(tmp_path: pathlib.Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "plain")) as writer:
        writer.write(planted_models.rating("1", "A (1990)", 5).SerializeToString())
    queries = read_queries(str(tmp_path), 10)
    shapes = {queries[row.name].shape for row in features.HISTORY_FEATURES}
    assert shapes == {(1, features.HISTORY_LENGTH)}


def test_an_empty_split_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refusal, match="no rating to take queries from"):
        read_queries(str(tmp_path), 10)
