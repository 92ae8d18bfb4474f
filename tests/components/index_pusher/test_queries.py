"""The draw of real queries from the eval split."""

from __future__ import annotations

import pathlib

import pytest

from components.index_pusher.gates import Refusal
from components.index_pusher.queries import read_queries
from tests import planted_models


def test_all_rows_come_back_in_order_where_the_split_is_small(planted) -> None:
    queries = read_queries(planted.sources.queries_dir, 1_000)
    assert [user.decode() for user in queries["user_id"][::5]] == planted.world.users
    titles = {title.encode() for title in planted.world.titles}
    assert len(queries["movie_title"]) == 200 and set(queries["movie_title"]) <= titles
    assert queries["user_age"][:5].tolist() == [21] * 5
    assert queries["user_gender"][0] == b"F"


def test_a_draw_is_uniform_over_the_split_repeatable_and_without_repeats(planted) -> None:
    first = read_queries(planted.sources.queries_dir, 60, seed=1)
    again = read_queries(planted.sources.queries_dir, 60, seed=1)
    other = read_queries(planted.sources.queries_dir, 60, seed=2)
    assert first["movie_title"].tolist() == again["movie_title"].tolist() != other["movie_title"].tolist()
    drawn = [int(user) for user in first["user_id"]]
    assert len(drawn) == 60 and drawn == sorted(drawn)
    assert max(drawn.count(user) for user in drawn) <= 5  # each user has five rows
    assert 10 <= sum(user <= 20 for user in drawn) <= 50, "half the users are the first twenty"


def test_side_features_that_the_release_lacks_are_unknown(tmp_path: pathlib.Path) -> None:
    import tensorflow as tf

    folder = tmp_path / "Split-eval"
    folder.mkdir()
    row = planted_models.rating("1", "A (1990)", 5)
    for name in ("user_gender", "user_age", "user_occupation"):
        del row.features.feature[name]
    with tf.io.TFRecordWriter(str(folder / "plain")) as writer:
        writer.write(row.SerializeToString())
    queries = read_queries(str(folder), 10)
    assert (queries["user_gender"][0], queries["user_age"][0]) == (b"unknown", -1)


def test_an_empty_split_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refusal, match="no rating to take queries from"):
        read_queries(str(tmp_path), 10)
