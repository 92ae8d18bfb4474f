"""Rows as columns of Arrow, and the serialised tf.train.Examples that tfx_bsl's encoder makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.movielens_example_gen.parsing.catalogue import Movie
from components.movielens_example_gen.parsing.users import User
from modules import features

# By feature name: a list in each row, of one value if the feature is not repeated.
Columns = dict[str, pa.ListArray]

_TYPES = {
    features.Dtype.BYTES: pa.binary(),
    features.Dtype.INT: pa.int64(),
    features.Dtype.FLOAT: pa.float32(),
}
_FEATURES = {feature.name: feature for feature in features.RATING_ROW}


def columns(values: Mapping[str, Sequence | np.ndarray]) -> Columns:
    """Make columns of the values of rows.

    Args:
      values: by feature name a value for each row; for a repeated feature a sequence of values.

    >>> columns({"movie_id": ["7", "8"], "movie_genres": [["Drama"], []]})["movie_genres"].to_pylist()
    [[b'Drama'], []]
    """
    result = {}
    for name, column in values.items():
        dtype = _TYPES[_FEATURES[name].dtype]
        if _FEATURES[name].repeated:
            result[name] = pa.array(column, pa.list_(dtype))
        else:
            result[name] = lists(pa.array(column, dtype), np.arange(len(column) + 1))
    return result


def lists(values: pa.Array, bounds: np.ndarray) -> pa.ListArray:
    """Cut values into lists.

    Args:
      values: those of all rows, one after the other.
      bounds: `[n + 1]` start of each row, then the end of the last one.
    """
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), values)


def select(rows: Columns, indices: np.ndarray) -> Columns:
    """Return some of the rows, as often as their indices occur."""
    return {name: column.take(pa.array(indices)) for name, column in rows.items()}


def movie_columns(movies: Sequence[Movie]) -> Columns:
    """Make the columns of films: features.CATALOGUE_ROW."""
    return columns(
        {
            features.MOVIE_ID: [movie.movie_id for movie in movies],
            features.MOVIE_TITLE: [movie.title for movie in movies],
            features.MOVIE_GENRES: [movie.genres for movie in movies],
            features.MOVIE_YEAR: [movie.year for movie in movies],
        }
    )


def user_columns(users: Sequence[User], activities: Sequence[str]) -> Columns:
    """Make the columns of users, with the slices of their activity."""
    return columns(
        {
            features.USER_ID: [user.user_id for user in users],
            features.USER_GENDER: [user.gender for user in users],
            features.USER_AGE: [user.age for user in users],
            features.USER_OCCUPATION: [user.occupation for user in users],
            features.USER_ACTIVITY: activities,
        }
    )


def serialised(rows: Columns) -> list[bytes]:
    """Serialise an Example for each row.

    An empty list is written as an empty list, not left out: an empty history is known, not missing. The
    features of an Example have no order, so the bytes of equal rows may differ.

    >>> import tensorflow as tf
    >>> (row,) = serialised(columns({"history_rating": [[3.5, 4]]}))
    >>> tf.train.Example.FromString(row).features.feature["history_rating"].float_list.value
    [3.5, 4.0]
    """
    return RecordBatchToExamplesEncoder().encode(pa.RecordBatch.from_pydict(rows))
