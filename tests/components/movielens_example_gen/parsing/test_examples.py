"""Rows as tfx_bsl's encoder writes them, against messages of protobuf."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.movielens_example_gen.parsing import examples
from components.movielens_example_gen.parsing.catalogue import Movie
from components.movielens_example_gen.parsing.users import User
from modules import features

LONG = "Amélie " * 40 + "(2001)"
NEWEST = 4_102_444_799
# Of a user who is described and one who is not, of a film and one of which little is known.
FIRST: dict[str, list] = {
    "user_id": ["7"],
    "user_gender": ["F"],
    "user_age": [20],
    "user_occupation": ["writer"],
}
SECOND: dict[str, list] = {
    "user_id": ["8"],
    "user_gender": ["unknown"],
    "user_age": [-1],
    "user_occupation": ["unknown"],
}
FILM: dict[str, list] = {
    "movie_id": ["3"],
    "movie_title": [LONG],
    "movie_genres": ["Comedy", "Drama"],
    "movie_year": [2001],
}
BARE: dict[str, list] = {"movie_id": ["4"], "movie_title": [""], "movie_genres": [], "movie_year": [-1]}
EXPECTED: list[dict[str, list]] = [
    {
        **{**SECOND, **FILM, "user_activity": ["light"], "title_popularity": ["head"], "visit": ["first"]},
        **{"user_rating": [3.5], "timestamp": [0]},
        **{"history_title": [], "history_rating": [], "history_timestamp": [], "exclude_movie_id": []},
    },
    {
        **{**FIRST, **BARE, "user_activity": ["heavy"], "title_popularity": ["tail"], "visit": ["return"]},
        **{"user_rating": [0.5], "timestamp": [881_250_949]},
        **{"history_title": [""], "history_rating": [4.5], "history_timestamp": [127]},
        "exclude_movie_id": [LONG],
    },
    {
        **{**FIRST, **FILM, "user_activity": ["heavy"], "title_popularity": ["head"], "visit": ["first"]},
        **{"user_rating": [5.0], "timestamp": [NEWEST]},
        **{"history_title": [LONG, "", "B"], "history_rating": [1.0, 2.5, 5.0]},
        **{"history_timestamp": [16_384, 128, 0], "exclude_movie_id": ["B", ""]},
    },
]


def message(row: dict[str, list]) -> tf.train.Example:
    """Write a row with protobuf, empty lists too."""
    example = tf.train.Example()
    for name, values in row.items():
        (dtype,) = (feature.dtype for feature in features.RATING_ROW if feature.name == name)
        feature = example.features.feature[name]
        if dtype is features.Dtype.BYTES:
            feature.bytes_list.CopyFrom(tf.train.BytesList(value=[text.encode() for text in values]))
        elif dtype is features.Dtype.INT:
            feature.int64_list.CopyFrom(tf.train.Int64List(value=values))
        else:
            feature.float_list.CopyFrom(tf.train.FloatList(value=values))
    return example


def lists(name: str, dtype: pa.DataType) -> pa.ListArray:
    """Lay out a repeated feature of the expected rows, end to end."""
    values = [value for row in EXPECTED for value in row[name]]
    return examples.lists(pa.array(values, dtype), np.cumsum([0, *(len(row[name]) for row in EXPECTED)]))


def test_every_feature_of_a_row_is_what_protobuf_would_have_written() -> None:
    """Texts longer than a byte can say, numbers of one byte to ten; lists of none, one and several."""
    users = examples.user_columns([User("7", "F", 20, "writer"), User("8")], ["heavy", "light"])
    movies = examples.movie_columns([Movie("3", LONG, ("Comedy", "Drama"), 2001), Movie("4", "", (), -1)])
    movies |= examples.columns({"title_popularity": ["head", "tail"]})
    rows = {
        **examples.select(users, np.array([1, 0, 0])),
        **examples.select(movies, np.array([0, 1, 0])),
        **examples.columns({"user_rating": [3.5, 0.5, 5.0], "timestamp": [0, 881_250_949, NEWEST]}),
        **examples.columns({"visit": ["first", "return", "first"]}),
        "history_title": lists("history_title", pa.binary()),
        "history_rating": lists("history_rating", pa.float32()),
        "history_timestamp": lists("history_timestamp", pa.int64()),
        "exclude_movie_id": lists("exclude_movie_id", pa.binary()),
    }
    assert all(row.keys() == {feature.name for feature in features.RATING_ROW} for row in EXPECTED)
    written = [tf.train.Example.FromString(row) for row in examples.serialised(rows)]
    assert written == list(map(message, EXPECTED))
    # An empty list is there: for whoever reads it, the feature is present.
    kinds = [feature.WhichOneof("kind") for row in written for feature in row.features.feature.values()]
    assert None not in kinds


def test_what_rows_do_not_say_is_left_out() -> None:
    (row,) = examples.serialised(examples.columns({"user_id": ["7"], "history_title": [[]]}))
    assert tf.train.Example.FromString(row) == message({"user_id": ["7"], "history_title": []})


def test_no_rows_are_no_examples() -> None:
    assert examples.serialised(examples.movie_columns([])) == []
