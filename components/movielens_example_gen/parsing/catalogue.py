"""The movies file to the catalogue of candidates: pure, called in workers.

The candidate is the title. In ml-100k several ids with one title are one film: they are merged, and the
candidate has the lowest id. In every other release two ids with one title are two films: the lowest id keeps
the title, a later one is called "Title (Year) [id]". New films get greater ids, so names stay the same when
films are appended.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from components.movielens_example_gen.parsing.parse import BAD_TITLE, EMPTY_ID, Fault, whole
from components.movielens_example_gen.sources import releases
from modules import features

# "(1995)", and a series' "(2006-2010)" or "(2006-)": the first year counts.
_YEAR = re.compile(r"\((\d{4})(?:[-\u2013](?:\d{4})?)?\s*\)")
# The end of the range in pipeline/schema; a number beyond it is no year.
LATEST_YEAR = 2100
_NO_GENRES = "(no genres listed)"


class Movie(NamedTuple):
    """One film: a row of the movies file, or a candidate (then the title is unique)."""

    movie_id: str
    title: str
    genres: tuple[str, ...]
    year: int


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Candidates, and the map from a rating's movie id to its candidate.

    Attributes:
      candidates: by ascending id, titles unique.
      ids: every movie id of the file, ascending.
      candidate_of: for each of `ids` the index of its candidate.
      merged: ids that share another id's candidate.
      renamed: candidates whose title was made unique.
    """

    candidates: tuple[Movie, ...]
    ids: tuple[str, ...]
    candidate_of: tuple[int, ...]
    merged: int = 0
    renamed: int = 0


def parse_movie(fields: Sequence[str], release: releases.Release) -> Movie | Fault:
    """Read the wanted columns of one row of the movies file.

    >>> parse_movie(["29", "City of Lost Children, The (1995)", "Drama|Sci-Fi"], releases.RELEASES["ml-1m"])
    Movie(movie_id='29', title='City of Lost Children, The (1995)', genres=('Drama', 'Sci-Fi'), year=1995)
    """
    movie_id, title = whole(fields[0]), fields[1]
    if not movie_id:
        return Fault(EMPTY_ID, "the movie id is empty")
    if not title:
        return Fault(BAD_TITLE, "the title is empty")
    named = dict(zip(release.movies.columns, fields, strict=True))
    if "genres" in named:
        genres = [genre.strip() for genre in named["genres"].split("|")]
    else:
        genres = [genre for genre in releases.ML_100K_GENRES if whole(named[genre]) == "1"]
    genres = [genre for genre in genres if genre and genre != _NO_GENRES]
    year = title_year(title) or title_year(f"({named.get('release_date', '')[-4:]})")
    return Movie(movie_id, title, tuple(dict.fromkeys(genres)) or (features.UNKNOWN,), year)


def title_year(title: str) -> int:
    """Read the year from the last "(dddd)" up to LATEST_YEAR of a title, else features.UNKNOWN_YEAR.

    >>> title_year("2001: A Space Odyssey (1968)"), title_year("Solaris (Solyaris)")
    (1968, 0)
    """
    years = [year for year in map(int, _YEAR.findall(title)) if year <= LATEST_YEAR]
    return years[-1] if years else features.UNKNOWN_YEAR


def id_order(movie_id: str) -> tuple[int, int, str]:
    """Sort key of ids: numbers first, by value.

    >>> sorted(["10", "b", "9"], key=id_order)
    ['9', '10', 'b']
    """
    if movie_id.isascii() and movie_id.isdigit() and len(movie_id) < 20:
        return (0, int(movie_id), movie_id)
    return (1, 0, movie_id)


def build_catalogue(movies: Iterable[Movie], merge_titles: bool) -> Catalogue:
    """Make titles unique, by merging or by renaming.

    Args:
      movies: rows with distinct ids, in any order.
      merge_titles: as in `releases.Release`.

    >>> films = [Movie("5", "Emma (1996)", ("Drama",), 1996), Movie("9", "Emma (1996)", ("Comedy",), 1996)]
    >>> [film.title for film in build_catalogue(films, merge_titles=False).candidates]
    ['Emma (1996)', 'Emma (1996) [9]']
    >>> build_catalogue(films, merge_titles=True).candidate_of
    (0, 0)
    """
    candidates: list[Movie] = []
    index_of: dict[str, int] = {}
    ids, candidate_of, merged, renamed = [], [], 0, 0
    for movie in sorted(movies, key=lambda movie: id_order(movie.movie_id)):
        title = movie.title
        if title in index_of and merge_titles:
            merged += 1
        else:
            if title in index_of:
                renamed += 1
                if movie.year and not title_year(title):
                    title = f"{title} ({movie.year})"
                title = f"{title} [{movie.movie_id}]"
            while title in index_of:  # The file may itself hold a title of that form.
                title = f"{title} [{movie.movie_id}]"
            index_of[title] = len(candidates)
            candidates.append(movie._replace(title=title))
        ids.append(movie.movie_id)
        candidate_of.append(index_of[title])
    return Catalogue(tuple(candidates), tuple(ids), tuple(candidate_of), merged, renamed)
