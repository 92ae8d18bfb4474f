"""Hand-joined Examples against protobuf's own."""

import pytest
import tensorflow as tf

from components.movielens_example_gen import examples
from components.movielens_example_gen.catalogue import Movie
from components.movielens_example_gen.users import User


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
