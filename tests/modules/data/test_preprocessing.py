"""Transform itself on six rows, against values worked out by hand."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from modules import features, training
from modules.data import dataset, history
from tests.helpers import planted_ratings

pytestmark = pytest.mark.slow("runs Transform")

FIRST = 880_000_000
A, B, C = "Heat, the (1995)", "The End (1980)", "The Été (1931)"
ELEVEN = [f"Genre {number}" for number in range(10)] + ["Drama"]


def row(user, gender, age, occupation, title, year, genres, seconds) -> dict:
    return {
        features.USER_ID: user,
        features.USER_GENDER: gender,
        features.USER_AGE: age,
        features.USER_OCCUPATION: occupation,
        features.MOVIE_ID: "1",
        features.MOVIE_TITLE: title,
        features.MOVIE_YEAR: year,
        features.MOVIE_GENRES: genres,
        features.TIMESTAMP: FIRST + seconds,
        features.RATING: 3.5,
        features.USER_ACTIVITY: "light",
        features.TITLE_POPULARITY: "tail",
        features.VISIT: features.SAME_SITTING,
        **{feature.name: [] for feature in features.HISTORY_FEATURES},
    }


def with_history(row: dict, *history: tuple[str, float, int]) -> dict:
    """A row with a history of (title, rating, seconds before the row)."""
    titles, ratings, gaps = zip(*history, strict=True)
    return {
        **row,
        features.HISTORY_TITLE: titles,
        features.HISTORY_RATING: ratings,
        features.HISTORY_TIMESTAMP: [row[features.TIMESTAMP] - gap for gap in gaps],
    }


# Three, two and one of each term, so that vocabularies by frequency have one order only.
TRAIN = [
    row("a", "F", 25, "artist", A, 1995, ["Crime", "Drama"], 0),
    row("a", "F", 25, "artist", A, 1995, ["Crime", "Drama"], 0),
    row("a", "F", 25, "artist", A, 1995, ["Crime", "Drama"], 0),
    row("b", "M", 17, "writer", B, 1980, ["Comedy", "Drama"], 1999),
    row("b", "M", 17, "writer", B, 1980, ["Comedy", "Drama"], 1999),
    row("c", "unknown", -1, "other", C, 1931, ["Drama", "War"], 1999),
]
EVAL_ROWS = [
    row("a", "F", 25, "artist", A, 1995, ["Crime", "Drama"], 0),
    row("b", "M", 17, "writer", B, 1980, ["Comedy", "Drama"], 1),
    row("c", "unknown", -1, "other", C, 1931, ["Drama", "War"], 2),
    # Nothing of this row is known.
    row("d", "X", 56, "diver", "Heat 2: Été, End (2030)", 0, ["Noir"], 1998),
    row("", "", 0, "", "", 2031, [], -5),
    row("a", "F", 55, "artist", A, 1929, ELEVEN, 5000),
]
LONG = features.HISTORY_LENGTH + 5
EVAL_ROWS[0] = with_history(EVAL_ROWS[0], (B, 4.0, 1), (A, 2.5, 59), ("Unheard Of (1990)", 5.0, 60))
# Not in order; of its own second; later; a year ago.
EVAL_ROWS[1] = with_history(
    EVAL_ROWS[1], (C, 1.0, 3600), (B, 2.0, 0), (A, 3.0, -7), (A, 0.0, 10), (B, 5.0, 366 * 86400)
)
EVAL_ROWS[2] = with_history(EVAL_ROWS[2], *((B, 3.0, second) for second in range(LONG, 0, -1)))
EVAL = [{**row, features.RATING: 0.5 * (position + 1)} for position, row in enumerate(EVAL_ROWS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("transform")


@pytest.fixture(scope="module")
def transformed(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """What Transform wrote of EVAL, in its order."""
    patterns = planted_ratings.transform({"train": TRAIN, "eval": EVAL}, folder)
    transform = planted_ratings.load_transform(folder)
    length = features.HISTORY_LENGTH
    (batch,) = dataset.ratings([patterns["eval"]], transform, history_length=length)
    # Each row of EVAL has a rating of its own.
    order = np.argsort(batch[features.RATING][:, 0])
    return {name: column.numpy()[order] for name, column in batch.items()}


def padded(*members: list, width: int) -> list[list]:
    return [row + [0] * (width - len(row)) for row in members]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # By frequency in train: a, b, c. Every other term, the empty one too, is 3.
        (features.USER_ID, [0, 1, 2, 3, 3, 0]),
        (features.USER_GENDER, [0, 1, 2, 3, 3, 0]),
        (features.USER_OCCUPATION, [0, 1, 2, 3, 3, 0]),
        (features.MOVIE_TITLE, [0, 1, 2, 3, 3, 0]),
        # How many of 0, 18, 25, 35, 45, 50, 56 are reached: 25 reaches three, 17 one, -1 none.
        (features.USER_AGE, [3, 1, 0, 7, 1, 6]),
        # Of 1, 1930, 1940, 1950, 1960, 1970, 1975, 1980, 1985, 1990, 1992, 1994, 1996, ..., 2030:
        # 1995 reaches twelve, 1980 eight, 1931 two, 0 none, 2031 all 30, 1929 one.
        (features.MOVIE_YEAR, [12, 8, 2, 0, 30, 1]),
        # 2,000 seconds in 1,000 buckets are two seconds each; earlier ones are in the first, later in none.
        (features.TIMESTAMP_BUCKET, [0, 0, 1, 999, 0, 1000]),
    ],
)
def test_one_index(transformed: dict[str, np.ndarray], name: str, expected: list[int]) -> None:
    assert transformed[name].dtype == np.int64
    assert transformed[name].tolist() == [[value] for value in expected]


def test_genres_are_a_padded_set(transformed: dict[str, np.ndarray]) -> None:
    # Of train's rows 6 are Drama, 3 Crime, 2 Comedy and 1 War: 1, 2, 3 and 4. Others are 5. Of eleven genres
    # the eleventh, which is Drama, finds no column.
    expected = padded([2, 1], [3, 1], [1, 4], [5], [], [5] * 10, width=10)
    assert transformed[features.MOVIE_GENRES].tolist() == expected


def test_title_tokens_are_a_padded_set_of_words_without_the_year(transformed: dict[str, np.ndarray]) -> None:
    # Of train's titles 6 hold "the", 3 "heat", 2 "end" and 1 "été": 1, 2, 3 and 4. Another word, "2", is 5.
    expected = padded([2, 1], [1, 3], [1, 4], [2, 5, 4, 3], [], [2, 1], width=16)
    assert transformed[features.TITLE_TOKENS].tolist() == expected


def test_the_normalised_time_tells_seconds_apart(transformed: dict[str, np.ndarray]) -> None:
    # Half of train is at second 0 and half at second 1999: mean 999.5, standard deviation 999.5.
    seconds = np.array([0, 1, 2, 1998, -5, 5000])
    received = transformed[features.TIMESTAMP_NORMALIZED]
    assert received.dtype == np.float32
    np.testing.assert_allclose(received[:, 0], (seconds - 999.5) / 999.5, rtol=1e-5)
    assert np.diff(received[:3, 0]) == pytest.approx(1 / 999.5, rel=1e-3)


def test_a_history_is_what_was_strictly_before_latest_first(transformed: dict[str, np.ndarray]) -> None:
    titles, ratings, ages = (
        transformed[name] for name in (features.HISTORY_TITLE, features.HISTORY_RATING, features.HISTORY_AGE)
    )
    assert (titles.dtype, ratings.dtype, ages.dtype) == (np.int64, np.float32, np.int64)
    # Titles as above and one more: A is 1, B is 2, C is 3, any other 4.
    length = features.HISTORY_LENGTH
    assert titles[0].tolist() == padded([2, 1, 4], width=length)[0]
    assert ratings[0].tolist() == padded([4.0, 2.5, 5.0], width=length)[0]
    assert ages[0].tolist() == padded([1, 59, 60], width=length)[0]
    # A rating of 0 is a rating.
    assert titles[1].tolist() == padded([1, 3, 2], width=length)[0]
    assert ratings[1].tolist() == padded([0.0, 1.0, 5.0], width=length)[0]
    assert ages[1].tolist() == padded([10, 3600, 366 * 86400], width=length)[0]
    # The latest of too many, put in order.
    assert (titles[2] == 2).all()
    assert ages[2].tolist() == [*range(1, length + 1)]
    assert not titles[3:].any()
    assert not ages[3:].any()


def test_rating_timestamp_and_title_are_not_changed(transformed: dict[str, np.ndarray]) -> None:
    assert transformed[features.TIMESTAMP][:, 0].tolist() == [row[features.TIMESTAMP] for row in EVAL]
    assert transformed[features.RATING].tolist() == [[0.5], [1.0], [1.5], [2.0], [2.5], [3.0]]
    assert [title.decode() for title in transformed[features.CANDIDATE_KEY][:, 0]] == [
        row[features.MOVIE_TITLE] for row in EVAL
    ]


def test_nothing_else_is_written(transformed: dict[str, np.ndarray]) -> None:
    names = [feature.name for feature in features.TRANSFORMED_FEATURES]
    passed = [features.RATING, features.TIMESTAMP, features.CANDIDATE_KEY]
    assert sorted(transformed) == sorted([*names, *features.HISTORY_COLUMNS, *passed])


def test_the_sizes_of_tables_leave_room_for_every_index(transformed, folder: pathlib.Path) -> None:
    sizes = training.feature_sizes(planted_ratings.load_transform(folder))
    assert sizes == {
        # Three terms and one index for all others.
        features.USER_ID: 4,
        features.USER_GENDER: 4,
        features.USER_OCCUPATION: 4,
        features.MOVIE_TITLE: 4,
        # Seven boundaries, thirty boundaries; a thousand buckets and what is later.
        features.USER_AGE: 8,
        features.MOVIE_YEAR: 31,
        features.TIMESTAMP_BUCKET: 1001,
        # Four terms, all others, and the padding.
        features.MOVIE_GENRES: 6,
        features.TITLE_TOKENS: 6,
    }
    for name, size in sizes.items():
        assert transformed[name].max() < size, name


def test_a_capped_vocabulary_keeps_the_most_frequent_terms(tmp_path: pathlib.Path) -> None:
    caps = {features.USER_ID: 2, features.MOVIE_TITLE: 1, features.TITLE_TOKENS: 2, features.MOVIE_GENRES: 3}
    patterns = planted_ratings.transform({"train": TRAIN, "eval": EVAL}, tmp_path, caps)
    transform = planted_ratings.load_transform(tmp_path)
    (batch,) = dataset.ratings([patterns["eval"]], transform)
    columns = {
        name: column.numpy()[np.argsort(batch[features.RATING][:, 0])] for name, column in batch.items()
    }
    # Of users a and b, of titles A; "the" and "heat"; Drama, Crime and Comedy. Any other is one more.
    assert columns[features.USER_ID][:, 0].tolist() == [0, 1, 2, 2, 2, 0]
    assert columns[features.MOVIE_TITLE][:, 0].tolist() == [0, 1, 1, 1, 1, 0]
    assert columns[features.TITLE_TOKENS][1, :3].tolist() == [1, 3, 0]
    assert columns[features.MOVIE_GENRES][2, :3].tolist() == [1, 4, 0]
    assert columns[features.HISTORY_TITLE][0, :4].tolist() == [2, 1, 2, 0]
    sizes = training.feature_sizes(transform)
    assert (sizes[features.USER_ID], sizes[features.MOVIE_TITLE], sizes[features.TITLE_TOKENS]) == (3, 2, 4)
    assert sizes[features.USER_OCCUPATION] == 4


def test_the_layer_that_serves_computes_what_was_trained_on(transformed, folder: pathlib.Path) -> None:
    layer = planted_ratings.load_transform(folder).transform_features_layer()
    spec = dataset.raw_feature_spec(features.QUERY_FEATURES + features.CANDIDATE_FEATURES)
    records = tf.constant([planted_ratings.serialized(row) for row in EVAL])
    served = history.dense(layer(tf.io.parse_example(records, spec)))
    for name in served:
        np.testing.assert_array_equal(served[name], transformed[name], name)
    assert {feature.name for feature in features.TRANSFORMED_FEATURES} < set(served)
