"""Rows of Parquet and CSV files as Hive, Impala and pandas write them, to the executor's Examples."""

from __future__ import annotations

import pathlib

import pyarrow
import pytest

from common import parquet
from common.errors import DataError
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


@pytest.mark.parametrize("decimals", [".0", ".00"])
def test_whole_numbers_that_pandas_wrote_with_decimals_are_whole(tmp_path, run_executor, decimals):
    header = "userId,movieId,rating,timestamp\n"
    rows = [(user, film, START + user) for user in (1, 2, 30) for film in (31, 70)]
    movies = ["movieId,title,genres", "31,A (1990),Drama", "70,B (1991),Comedy"]
    users = ["userId,gender,age,occupation", "1,F,33,writer"]
    for name, end in (("whole", ""), ("decimal", decimals)):
        folder = tmp_path / name
        folder.mkdir()
        lines = [f"{user}{end},{film}{end},4.0,{time}{end}\n" for user, film, time in rows]
        (folder / "ratings.csv").write_text(header + "".join(lines) + f"30{end},,4.0,7{end}\n")
        films = [line.replace(",", f"{end},", 1) for line in movies[1:]]
        (folder / "movies.csv").write_text("\n".join([movies[0], *films]))
        (folder / "users.csv").write_text(f"{users[0]}\n1{end},F,33{end},writer\n2{end},,,\n")
    whole = run_executor(tmp_path / "whole", CONFIG, "a")
    decimal = run_executor(tmp_path / "decimal", CONFIG, "b")
    assert decimal.rows == whole.rows
    assert decimal.counts == whole.counts and decimal.counts["ratings_kept"] == 6
    assert [bad["reason"] for bad in decimal.bad] == ["the movie id is empty"]


def test_flags_and_codes_of_the_releases_may_have_decimals_too(tmp_path, run_executor):
    (tmp_path / "u.data").write_bytes(b"1.0\t7.0\t4\t880000000.0\n2.0\t7.0\t4\t880000001.0\n")
    flags = "|".join(["0.0"] * 5 + ["1.0"] + ["0.0"] * 13)
    (tmp_path / "u.item").write_text(f"7.0|A 2.0|01-Jan-1990||u|{flags}\n")
    (tmp_path / "u.user").write_text("1.0|33.0|F|writer|00000\n2.0|34.0|F|writer|00000\n")
    outcome = run_executor(tmp_path, DataConfig(split=TIME))
    (film,) = outcome.rows["catalogue"]
    assert (film["movie_id"], film["movie_title"], film["movie_genres"]) == (["7"], ["A 2.0"], ["Comedy"])
    assert [(row["user_id"], row["user_age"]) for row in outcome.rows["train"]] == [(["1"], [33])]


@pytest.mark.parametrize(
    ("factor", "unit"), [(10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")]
)
def test_times_in_another_unit_are_said_in_one_sentence(write_ml_100k, run_executor, factor, unit):
    base = write_ml_100k()
    rows = [line.rsplit(b"\t", 1) for line in (base / "u.data").read_bytes().splitlines()]
    (base / "u.data").write_bytes(b"".join(b"%s\t%d\n" % (row, int(time) * factor) for row, time in rows))
    with pytest.raises(
        DataError, match=f"27 of 27 ratings .100 %.. The times of 27 ratings are {unit}: divide "
    ):
        run_executor(base, DataConfig())


@pytest.mark.parametrize("time", [2**31, 2_200_000_000, 0, -1, -880_000_000])
def test_times_that_no_model_can_hold_are_quarantined(write_ml_100k, run_executor, time):
    base = write_ml_100k(extra=b"1\t2\t3\t%d\n1\t2\t3\t%d\n" % (time, 2**31 - 1))
    outcome = run_executor(base, DataConfig(split=SplitConfig(eval_share=0.5), max_bad_share=0.5))
    assert [(bad["line"], bad["reason"]) for bad in outcome.bad] == [
        (
            28,
            f"timestamp '{time}' must be whole seconds since 1970, from 1 and below 2147483648 "
            "(January 2038, where 32-bit seconds end)",
        )
    ]
    latest = max(row["timestamp"][0] for row in outcome.rows["train"] + outcome.rows["eval"])
    assert latest == 2**31 - 1
