"""Titles, genres, years; merging and renaming. And the users' side features."""

import pytest

from components.movielens_example_gen.parsing.catalogue import Movie, build_catalogue, parse_movie, title_year
from components.movielens_example_gen.parsing.parse import Fault
from components.movielens_example_gen.parsing.users import User, parse_user
from components.movielens_example_gen.sources import releases
from modules import features


def _film(movie_id: str, title: str, genres: tuple[str, ...] = ("Drama",)) -> Movie:
    return Movie(movie_id, title, genres, title_year(title))


def _item(title: str, date: str, *genres: str) -> list[str]:
    flags = ["1" if genre in genres else "0" for genre in releases.ML_100K_GENRES]
    return ["7", title, date, "", "", *flags]


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", 1995),
        ("2001: A Space Odyssey (1968)", 1968),
        ("Time Film III (1995) (V)", 1995),
        ("Film (1999) of a Film (2003)", 2003),
        ("Series, The (2006–2010)", 2006),
        ("Series, The (2006- )", 2006),
        ("Number 1995", features.UNKNOWN_YEAR),
        ("Film (12345)", features.UNKNOWN_YEAR),
        ("Film (2100)", 2100),
        ("Film (2101)", features.UNKNOWN_YEAR),
        ("Film (1999) (9999)", 1999),
    ],
)
def test_year_of_a_title(title, year):
    assert title_year(title) == year


def test_ml_100k_genres_are_flags_and_the_release_date_stands_in_for_the_year():
    release = releases.RELEASES["ml-100k"]
    movie = parse_movie(_item("Film", "22-Mar-1996", "Comedy", "War"), release)
    assert movie == Movie("7", "Film", ("Comedy", "War"), 1996)
    assert parse_movie(_item("Film (1994)", "22-Mar-1996"), release) == Movie(
        "7", "Film (1994)", ("unknown",), 1994
    )
    assert parse_movie(_item("Film", "22-Mar-9996"), release).year == features.UNKNOWN_YEAR
    assert parse_movie(_item("unknown", "", "unknown"), release) == Movie("7", "unknown", ("unknown",), 0)


def test_no_genres_are_the_unknown_genre():
    release = releases.RELEASES["ml-25m"]
    assert parse_movie(["7", "Film", "(no genres listed)"], release).genres == (features.UNKNOWN,)
    assert parse_movie(["7", "Film", ""], release).genres == (features.UNKNOWN,)
    assert parse_movie(["7", "Film", "Drama|IMAX|Drama"], release).genres == ("Drama", "IMAX")


def test_a_movie_needs_an_id_and_a_title():
    release = releases.RELEASES["ml-25m"]
    assert parse_movie(["", "Film", "Drama"], release) == Fault("empty_id", "the movie id is empty")
    assert parse_movie(["7", "", "Drama"], release) == Fault("title", "the title is empty")


def test_ids_of_one_title_are_merged_and_the_lowest_stands_for_them():
    films = [_film("268", "Twice (1997)"), _film("9", "Once (1990)"), _film("30", "Twice (1997)", ("War",))]
    catalogue = build_catalogue(films, merge_titles=True)
    assert [(film.movie_id, film.title) for film in catalogue.candidates] == [
        ("9", "Once (1990)"),
        ("30", "Twice (1997)"),
    ]
    assert catalogue.candidates[1].genres == ("War",)
    assert dict(zip(catalogue.ids, catalogue.candidate_of, strict=True)) == {"9": 0, "30": 1, "268": 1}
    assert (catalogue.merged, catalogue.renamed) == (1, 0)


def test_films_of_one_title_stay_two_and_keep_their_names_when_films_are_appended():
    films = [_film("64997", "War (2005)"), _film("34048", "War (2005)")]
    before = build_catalogue(films, merge_titles=False)
    assert [film.title for film in before.candidates] == ["War (2005)", "War (2005) [64997]"]
    assert (before.merged, before.renamed) == (0, 1)
    after = build_catalogue([*films, _film("99999", "War (2005)")], merge_titles=False)
    assert after.candidates[:2] == before.candidates
    assert after.candidates[2].title == "War (2005) [99999]"


def test_a_renamed_title_shows_a_year_that_only_another_column_has():
    namesakes = [Movie("1", "Emma", ("Drama",), 1996), Movie("2", "Emma", ("Drama",), 2020)]
    assert build_catalogue(namesakes, merge_titles=False).candidates[1].title == "Emma (2020) [2]"


def test_titles_are_unique_even_against_a_title_that_looks_renamed():
    films = [_film("1", "A"), _film("5", "A"), _film("9", "A [5]"), _film("10", "A [5]")]
    titles = [film.title for film in build_catalogue(films, merge_titles=False).candidates]
    assert len(set(titles)) == 4


@pytest.mark.parametrize(
    ("release", "fields", "user"),
    [
        ("ml-100k", ["1", "24", "M", "technician", "85711"], User("1", "M", 24, "technician")),
        ("ml-1m", ["1", "F", "1", "10", "48067"], User("1", "F", 1, "K-12 student")),
        ("ml-1m", ["2", "M", "56", "0", "48067"], User("2", "M", 56, "other")),
        ("ml-1m", ["3.0", "M", "25.0", "10.0", "48067"], User("3", "M", 25, "K-12 student")),
        ("custom", ["u", "", "", ""], User("u")),
        ("custom", ["u", "unknown", "120", "baker"], User("u", "unknown", 120, "baker")),
    ],
)
def test_reads_users(release, fields, user):
    assert parse_user(fields, releases.RELEASES[release]) == user


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (["", "F", "1", "10", "0"], "empty_id"),
        (["1", "F", "old", "10", "0"], "age"),
        (["1", "F", "130", "10", "0"], "age"),
        (["1", "f", "18", "10", "0"], "gender"),
        (["1", "other", "18", "10", "0"], "gender"),
        (["1", "F", "18", "21", "0"], "occupation"),
        (["1", "F", "18", "00099", "0"], "occupation"),
        (["1", "F", "18", "writer", "0"], "occupation"),
    ],
)
def test_names_the_fault_of_bad_users(fields, kind):
    assert parse_user(fields, releases.RELEASES["ml-1m"]).kind == kind


def test_the_published_occupations_are_all_there():
    names = releases.ML_1M_OCCUPATIONS
    assert len(names) == 21 and (names[4], names[12], names[20]) == (
        "college/grad student",
        "programmer",
        "writer",
    )
