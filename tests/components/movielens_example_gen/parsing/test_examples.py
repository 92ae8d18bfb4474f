"""Hand-joined Examples against protobuf's own."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from components.movielens_example_gen.parsing import examples
from components.movielens_example_gen.parsing.catalogue import Movie
from components.movielens_example_gen.parsing.users import User


@pytest.mark.parametrize("timestamp", [0, 1, 127, 128, 16_383, 16_384, 881_250_949, 2**35, 4_102_444_799])
def test_a_joined_row_is_what_protobuf_would_have_written(timestamp):
    row = examples.example(
        examples.user_entries(User("7", "F", -1, "writer"), "heavy"),
        examples.movie_entries(Movie("3", "Amélie " * 40 + "(2001)", ("Comedy", "Romance"), 2001)),
        examples.entries({"title_popularity": "head"}),
        examples.rating_entries(3.5, timestamp),
    )
    expected = tf.train.Example()
    texts = {
        **{"user_id": ["7"], "user_gender": ["F"], "user_occupation": ["writer"], "user_activity": ["heavy"]},
        **{"movie_id": ["3"], "movie_title": ["Amélie " * 40 + "(2001)"], "title_popularity": ["head"]},
        "movie_genres": ["Comedy", "Romance"],
    }
    for name, values in texts.items():
        expected.features.feature[name].bytes_list.value.extend(value.encode() for value in values)
    for name, number in (("user_age", -1), ("movie_year", 2001), ("timestamp", timestamp)):
        expected.features.feature[name].int64_list.value.append(number)
    expected.features.feature["user_rating"].float_list.value.append(3.5)
    assert tf.train.Example.FromString(row) == expected


@pytest.mark.parametrize(
    "titles", [[], ["Amélie " * 40 + "(2001)"], ["Emma (1996)", "", "Amélie (2001)"] * 30]
)
def test_a_joined_history_is_what_protobuf_would_have_written(titles):
    ratings = [0.5 * (i % 10 + 1) for i in range(len(titles))]
    seconds = [4_102_444_799 >> i % 30 for i in range(len(titles))]
    digits, bounds = examples.varints(np.array(seconds, np.int64))
    assert [digits[a:b] for a, b in itertools.pairwise(bounds)] == [examples.varint(each) for each in seconds]
    row = examples.example(
        examples.history_entries(
            b"".join(map(examples.text_value, titles)), np.array(ratings, "<f4").tobytes(), digits
        )
    )
    expected = tf.train.Example()
    feature = expected.features.feature
    feature["history_title"].bytes_list.CopyFrom(tf.train.BytesList(value=[each.encode() for each in titles]))
    feature["history_rating"].float_list.CopyFrom(tf.train.FloatList(value=ratings))
    feature["history_timestamp"].int64_list.CopyFrom(tf.train.Int64List(value=seconds))
    assert tf.train.Example.FromString(row) == expected
    # An empty list is there: for whoever reads it, the feature is present.
    kinds = [each.WhichOneof("kind") for each in tf.train.Example.FromString(row).features.feature.values()]
    assert sorted(kinds) == ["bytes_list", "float_list", "int64_list"]


def test_varints_of_few_digits_and_of_many():
    numbers = [0, 1, 127, 128, 16_383, 16_384, 2**28 - 1, 2**28, 2**35 - 1]
    digits, _ = examples.varints(np.array(numbers))
    assert digits == b"".join(map(examples.varint, numbers))
