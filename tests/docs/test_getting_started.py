"""docs/getting-started.md, whose data have no bad row; commands there and in tutorials.md are commands."""

from __future__ import annotations

import csv
import pathlib
import re
import shlex
from collections.abc import Iterable
from typing import TypeVar

import pytest

import local_runner
import recommend
from components.movielens_example_gen.parsing import catalogue, parse
from components.movielens_example_gen.sources import releases
from tests.docs.blocks import DOCS, blocks

PAGE = "getting-started.md"
Row = TypeVar("Row", parse.Rating, catalogue.Movie)
CUSTOM = releases.RELEASES[releases.CUSTOM]


def good(rows: Iterable[Row | parse.Fault]) -> list[Row]:
    """Return rows of which none may be bad."""
    found = list(rows)
    assert [row for row in found if isinstance(row, parse.Fault)] == []
    return [row for row in found if not isinstance(row, parse.Fault)]


def ratings(text: str) -> list[parse.Rating]:
    """Read ratings as a run reads them."""
    header, *lines = text.encode().splitlines()
    layout, scale = parse.header_layout(CUSTOM.ratings, header), parse.scale_values(CUSTOM.scale)
    return good(parse.parse_rating(line, layout, scale) for line in lines)


def movies(text: str) -> list[catalogue.Movie]:
    """Read the films likewise."""
    header, *lines = csv.reader(text.splitlines())
    assert tuple(header) == CUSTOM.movies.columns
    return good(catalogue.parse_movie(fields, CUSTOM) for fields in lines)


def test_the_rows_that_are_shown_are_good() -> None:
    shown_ratings, shown_movies = blocks(PAGE, "csv")
    (rating,), (movie,) = ratings(shown_ratings), movies(shown_movies)
    assert rating == ("c7", "tt0114709", 4.5, 1_700_000_000)
    assert movie == catalogue.Movie("tt0114709", "Toy Story (1995)", ("Adventure", "Comedy"), 1995)


def test_what_turns_an_export_into_ratings_does(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "export.csv").write_text(
        "customer,film,stars_of_ten,rated_at\nc7,tt0114709,9,2023-11-14T22:13:20\n"
    )
    code, _ = blocks(PAGE, "python")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    (rating,) = ratings((tmp_path / "films" / "ratings.csv").read_text())
    assert rating == ("c7", "tt0114709", 4.5, 1_700_000_000)


def test_the_made_up_data_are_as_large_as_the_pages_say(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, code = blocks(PAGE, "python")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    rows = ratings((tmp_path / "films" / "ratings.csv").read_text())
    films = movies((tmp_path / "films" / "movies.csv").read_text())
    assert {row.movie for row in rows} <= {film.movie_id for film in films}
    text = (DOCS / "gates.md").read_text(encoding="utf-8")
    assert f"are {len(rows):,} ratings of {len({row.user for row in rows})} customers" in text
    assert f"for {len(films)} films" in text


COMMANDS = "".join(code for page in (PAGE, "tutorials.md") for code in blocks(page, "sh"))


@pytest.mark.parametrize("command", re.findall(r"^python (\w+\.py .*)$", COMMANDS, re.MULTILINE))
def test_the_commands_are_commands(command: str) -> None:
    script, *arguments = shlex.split(command)
    parse_flags = {"local_runner.py": local_runner.parse, "recommend.py": recommend.parse}[script]
    options = vars(parse_flags(arguments))
    assert all(str(options[name.replace("-", "_")]) for name in re.findall(r"--([a-z-]+)", command))
