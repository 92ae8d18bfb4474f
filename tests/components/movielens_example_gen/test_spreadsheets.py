"""Files as spreadsheets write them: rows that hold nothing, other separators, marks of DOS."""

from __future__ import annotations

import pathlib

import pytest

from common.errors import DataError
from components.movielens_example_gen.beam import preparation
from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.sources import emptiness

HEADER = b"userId,movieId,rating,timestamp"
ROWS = [b"%d,%d,3.5,%d" % (user, film, 880_000_000 + user) for user in range(1, 11) for film in (1, 2)]
MOVIES = [b"movieId,title,genres", b"1,A (1990),Drama", b"2,B (1991),Comedy"]
USERS = [b"userId,gender,age,occupation", b"1,F,33,writer"]
CONFIG = DataConfig(release="custom", split=SplitConfig(eval_share=0.5))


@pytest.fixture
def write(tmp_path: pathlib.Path):
    def write(ratings: bytes, movies: bytes = b"\n".join(MOVIES), users: bytes = b"\n".join(USERS)):
        for name, content in (("ratings", ratings), ("movies", movies), ("users", users)):
            (tmp_path / f"{name}.csv").write_bytes(content)
        return tmp_path

    return write


@pytest.mark.parametrize("chunk_bytes", [8 << 20, 64])
@pytest.mark.parametrize(
    ("row", "end"),
    [
        (b"", b"\n"),
        (b"  ", b"\r\n"),
        (b",,,", b"\r\n"),
        (b'"","","",""', b"\n"),
        (b"", b"\r\n\x1a"),
        (b"", b"\x1a\x1a"),
        (b"", b"\n\x1a\r\n"),
    ],
)
def test_rows_that_hold_nothing_are_passed_over(write, run_executor, monkeypatch, row, end, chunk_bytes):
    monkeypatch.setattr(preparation, "CHUNK_BYTES", chunk_bytes)
    texts = [b"\r\n".join([*lines[:2], row, *lines[2:]]) + end for lines in ([HEADER, *ROWS], MOVIES, USERS)]
    outcome = run_executor(write(*texts), CONFIG)
    counts = [outcome.counts[f"{part}_read"] for part in ("ratings", "movies", "users")]
    assert (counts, outcome.bad) == ([20, 2, 1], [])
    assert [film["movie_genres"] for film in outcome.rows["catalogue"]] == [["Drama"], ["Comedy"]]
    lasts = [row for row in outcome.rows["train"] + outcome.rows["eval"] if row["timestamp"] == [880_000_010]]
    assert len(lasts) == 2


def test_a_row_that_holds_nothing_has_a_number(write, run_executor):
    base = write(b"\n".join([HEADER, b"", *ROWS, b",,,", b"bad"]))
    outcome = run_executor(base, CONFIG.model_copy(update={"max_bad_share": 0.1}))
    assert [(bad["line"], bad["reason"]) for bad in outcome.bad] == [(24, "expected 4 columns, found 1")]


@pytest.mark.parametrize("release", ["ml-100k", "ml-1m"])
def test_blank_rows_are_skipped_without_a_header_too(write_ml_100k, run_executor, tmp_path, release):
    if release == "ml-100k":
        base = write_ml_100k(extra=b"\n\t\t\t\n", extra_item=b"\n" + b"|" * 23 + b"\n", extra_user=b"||||\n")
        assert run_executor(base, DataConfig(split=CONFIG.split)).bad == []
        return
    for name, text in (
        ("ratings", b"1::1::3::880000000\n::::::\n\n2::1::3::880000000\n\x1a"),
        ("movies", b"1::A (1990)::Drama\n::::\n"),
        ("users", b"1::F::1::10::48067\n\n"),
    ):
        (tmp_path / f"{name}.dat").write_bytes(text)
    config = DataConfig(release="ml-1m", split=SplitConfig(method="time", eval_share=0.5))
    with pytest.raises(DataError, match="eval has none of the 2 usable ratings"):
        run_executor(tmp_path, config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            b";",
            r"line 1 separates the columns by semicolons, .* must be separated by commas\. Save .*sep=';'",
        ),
        (b"\t", r"line 1 separates the columns by tabs, .* must be separated by commas\. Save .*sep='\\t'"),
        (b"\r", "lines must end with a line feed; they end with a carriage return alone"),
        ("utf-16", "must be UTF-8; it begins as UTF-16 does"),
    ],
)
@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_another_form_is_rejected_with_the_remedy(write, run_executor, name, text, words):
    base = write(b"\r\n".join([HEADER, *ROWS]))
    whole = (base / name).read_bytes().replace(b"\r\n", b"\n")
    if text == "utf-16":
        whole = whole.decode().encode("utf-16")
    else:
        whole = whole.replace(b"\n" if text == b"\r" else b",", text)
    (base / name).write_bytes(whole)
    with pytest.raises(DataError, match=rf"{name}: .*{words}") as caught:
        run_executor(base, CONFIG)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf", b"\n\n", b",,,\r\n", b"\x1a"])
def test_a_file_of_such_rows_holds_none(tmp_path, text):
    for header, before in ((False, b""), (True, HEADER + b"\n")):
        (tmp_path / "ratings.csv").write_bytes(before + text)
        with open(tmp_path / "ratings.csv", "rb") as file:
            assert not emptiness.has_rows(file, "ratings.csv", header)
