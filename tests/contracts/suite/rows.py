"""Rows of the planted ratings as inputs of signatures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modules import features
from tests.contracts.suite.fresh_process import Ends
from tests.contracts.suite.planted_run import Columns
from tests.helpers import planted_ratings
from tests.helpers.planted_ratings import Row

_ABSENT = {
    features.USER_GENDER: features.UNKNOWN,
    features.USER_AGE: features.UNKNOWN_AGE,
    features.USER_OCCUPATION: features.UNKNOWN,
    **{feature.name: [] for feature in features.HISTORY_FEATURES},
}
QUERY_INPUTS: Ends = {
    features.USER_ID: ("string", (None,)),
    features.TIMESTAMP: ("int64", (None,)),
    features.USER_GENDER: ("string", (None,)),
    features.USER_AGE: ("int64", (None,)),
    features.USER_OCCUPATION: ("string", (None,)),
    features.HISTORY_TITLE: ("string", (None, None)),
    features.HISTORY_RATING: ("float32", (None, None)),
    features.HISTORY_TIMESTAMP: ("int64", (None, None)),
}
_REPEATED = {feature.name: feature for feature in features.HISTORY_FEATURES}


def columns(rows: Sequence[Row], *more: str) -> Columns:
    """Rows as raw tensors: the features of a query, and others that are named; text as bytes."""
    values_of = {name: [row[name] for row in rows] for name in (*QUERY_INPUTS, *more)}
    return {
        name: _padded(values, _REPEATED[name])
        if name in _REPEATED
        else np.array([value.encode() for value in values], object)
        if isinstance(values[0], str)
        else np.array(values, np.int64)
        for name, values in values_of.items()
    }


def _padded(lists: Sequence[Sequence], feature: features.RawFeature) -> np.ndarray:
    def plain(value: str | int | float) -> bytes | int | float:
        return value.encode() if isinstance(value, str) else value

    shape = (len(lists), max(features.HISTORY_LENGTH, *map(len, lists)))
    dtype = object if feature.dtype is features.Dtype.BYTES else feature.dtype.value
    result = np.full(shape, plain(feature.default), dtype)
    for row, values in zip(result, lists, strict=True):
        row[: len(values)] = [plain(value) for value in values]
    return result


def cold_start_rows() -> list[Row]:
    """A user or a film that train does not have, and both; with and without the user's features."""
    known = planted_ratings.rating(0, 1)
    unrated = {**known, features.MOVIE_TITLE: planted_ratings.UNRATED_TITLES[0]}
    films = [known, unrated, {**known, features.MOVIE_TITLE: "No Such Film (1999)"}]
    cold_start = [{**row, features.USER_ID: planted_ratings.COLD_START_USER} for row in films]
    return [*films[1:], *cold_start, *without_user_features(cold_start)]


def without_user_features(rows: Sequence[Row]) -> list[Row]:
    """Rows that say nothing of the user but the id."""
    return [{**row, **_ABSENT} for row in rows]
