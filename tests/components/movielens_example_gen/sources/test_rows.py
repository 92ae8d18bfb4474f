"""Rows of Parquet and CSV files as Hive, Impala and pandas write them, to the executor's Examples."""

from __future__ import annotations

import pathlib

import pyarrow

from common import parquet
from components.movielens_example_gen.config import DataConfig, SplitConfig

TIME = SplitConfig(method="time", eval_share=0.5)
CONFIG = DataConfig(release="custom", split=TIME, max_bad_share=0.6)
START = 1_260_759_144
RATINGS = {
    "userId": ["u1", "ü2", "u1", "ü2", "u1"],
    "movieId": ["31", "31", "7", "7", "9"],
    "rating": [4.0, 3.5, 2.0, 1.0, 5.0],
    "timestamp": [START + i for i in range(5)],
}
MOVIES = {
    "movieId": ["31", "7", "9"],
    "title": ["Amélie (2001)", "B (1990)", "C"],
    "genres": ["Drama", "", "X|Y"],
}
USERS = {
    "userId": ["u1", "ü2"],
    "gender": ["F", None],
    "age": [33, None],
    "occupation": ["writer", "künstler"],
}


def as_binary(columns: dict[str, list]) -> pyarrow.Table:
    """Make a table whose text has no annotation of UTF-8, as Hive and Impala write it."""
    return pyarrow.table(
        {
            name: [value.encode() if isinstance(value, str) else value for value in values]
            for name, values in columns.items()
        }
    )


def write(folder: pathlib.Path, **tables: pyarrow.Table) -> pathlib.Path:
    folder.mkdir()
    for name, table in tables.items():
        parquet.write_table(table, folder / f"{name}.parquet", row_group_size=2)
    return folder


def test_text_without_the_annotation_of_utf_8_is_text(tmp_path, run_executor):
    tables = {"ratings": RATINGS, "movies": MOVIES, "users": USERS}
    text = write(tmp_path / "text", **{name: pyarrow.table(columns) for name, columns in tables.items()})
    binary = write(tmp_path / "binary", **{name: as_binary(columns) for name, columns in tables.items()})
    expected, outcome = run_executor(text, CONFIG, "a"), run_executor(binary, CONFIG, "b")
    assert outcome.rows == expected.rows and outcome.bad == []
    assert {row["user_id"][0] for row in outcome.rows["train"] + outcome.rows["eval"]} == {"u1", "ü2"}
    assert [film["movie_genres"] for film in outcome.rows["catalogue"]] == [
        ["unknown"],
        ["X", "Y"],
        ["Drama"],
    ]


def test_bytes_that_are_no_text_are_quarantined(tmp_path, run_executor):
    ratings, movies = as_binary(RATINGS).to_pydict(), as_binary(MOVIES).to_pydict()
    ratings["userId"][2], ratings["movieId"][3] = b"u\xff", b"7\0"
    movies["genres"][2] = [b"X", b"\xe9"]
    movies["genres"][:2] = [[b"Drama"], []]
    base = write(tmp_path / "in", ratings=pyarrow.table(ratings), movies=pyarrow.table(movies))
    outcome = run_executor(base, CONFIG)
    assert [(bad["file"], bad["line"], bad["reason"], bad["row"]) for bad in outcome.bad] == [
        ("movies.parquet", 3, "genres is not UTF-8", "9,C,X|\\xe9"),
        ("ratings.parquet", 3, "userId is not UTF-8", f"u\\xff,7,2,{START + 2}"),
        ("ratings.parquet", 4, "movieId holds NUL", f"ü2,7\0,1,{START + 3}"),
        ("ratings.parquet", 5, "movie id '9' is not in the catalogue", f"u1,9,5,{START + 4}"),
    ]
    assert outcome.counts["bad_ratings_bytes"] == 2 and outcome.counts["bad_movies_bytes"] == 1
