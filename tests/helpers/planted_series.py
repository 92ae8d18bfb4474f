"""Made-up rows in the formats of releases: people watch the films of a series one after the other.

What was watched last predicts what comes next, which neither popularity nor an item-item model reads, and a
person's ratings by the person's taste in genres, which biases do not have.
"""

from __future__ import annotations

import dataclasses
import pathlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from components.movielens_example_gen.sources.releases import CUSTOM

USERS, FILMS = 120, 80
_RATINGS = range(20, 44)
_GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance")
# Share of ratings that go on with the series of the one before.
_FOLLOW = 0.85
_FIRST_SECOND = 960_000_000


@dataclasses.dataclass(frozen=True)
class _Film:
    id: int
    year: int
    genre: str


@dataclasses.dataclass(frozen=True)
class _Rating:
    user: int
    film: int
    stars: float
    second: int


def write(
    folder: pathlib.Path,
    release: str = "ml-1m",
    users: int = USERS,
    films: int = FILMS,
    most: int = 43,
) -> pathlib.Path:
    """Write the files of a release, always the same.

    Args:
      folder: to be made.
      release: whose names, format and scale the files have, but of ml-100k; `custom` is CSV with users.
      users, films: how many; a series has about 8 films.
      most: ratings of a user, at most.
    """
    folder.mkdir(parents=True)
    series = max(2, films // 8)
    genres = [_GENRES[film % series % len(_GENRES)] for film in range(films)]
    steps = 1 if release == "ml-1m" else 2
    ratings = list(_ratings(users, series, genres, min(most, films * 4 // 5), steps))
    catalogue = [_Film(film + 1, 1950 + film % 50, genre) for film, genre in enumerate(genres)]
    files = _FORMATS.get(release, _csv)(range(1, users + 1), catalogue, ratings)
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="latin-1")
    return folder


def _ratings(users: int, series: int, genres: Sequence[str], most: int, steps: int) -> Iterator[_Rating]:
    """Draw what is rated, in so many `steps` to a star."""
    draw = random.Random(0)
    quality = [draw.gauss(0, 0.4) for _ in genres]
    for user in range(1, users + 1):
        taste = {genre: draw.gauss(0, 0.9) for genre in _GENRES}
        left, last, second = list(range(len(genres))), None, _FIRST_SECOND + draw.randrange(10_000_000)
        seen: set[int] = set()
        for _ in range(min(draw.choice(_RATINGS), most)):
            goes_on: Iterable[int] = [] if last is None else range(last % series, len(genres), series)
            of_series = [film for film in goes_on if film not in seen]
            last = draw.choice(of_series if of_series and draw.random() < _FOLLOW else left)
            left.remove(last)
            seen.add(last)
            second += draw.choice((5, 300, 9_000, 90_000))
            stars = 3 + taste[genres[last]] + quality[last] + draw.gauss(0, 0.3)
            yield _Rating(user, last + 1, min(5.0, max(1.0, round(stars * steps) / steps)), second)


_Files = dict[str, list[str]]


def _ml_1m(users: Iterable[int], films: Iterable[_Film], ratings: Iterable[_Rating]) -> _Files:
    lines = [f"{user}::{_gender(user)}::25::{user % 21}::00000" for user in users]
    return {**_ml_10m(users, films, ratings), "users.dat": lines}


def _ml_10m(users: Iterable[int], films: Iterable[_Film], ratings: Iterable[_Rating]) -> _Files:
    return {
        "ratings.dat": [f"{r.user}::{r.film}::{r.stars:g}::{r.second}" for r in ratings],
        "movies.dat": [f"{film.id}::{_title(film)}::{film.genre}" for film in films],
    }


def _csv(users: Iterable[int], films: Iterable[_Film], ratings: Iterable[_Rating]) -> _Files:
    rows = [f"{r.user},{r.film},{r.stars:.1f},{r.second}" for r in ratings]
    titles = [f'{film.id},"{_title(film)}",{film.genre}|IMAX' for film in films]
    return {
        "ratings.csv": ["userId,movieId,rating,timestamp", *rows],
        "movies.csv": ["movieId,title,genres", *titles],
    }


def _custom(users: Iterable[int], films: Iterable[_Film], ratings: Iterable[_Rating]) -> _Files:
    lines = ["userId,gender,age,occupation", *(f"{user},{_gender(user)},25,writer" for user in users)]
    return {**_csv(users, films, ratings), "users.csv": lines}


def _title(film: _Film) -> str:
    return f"Film {film.id} ({film.year})"


def _gender(user: int) -> str:
    return "FM"[user % 2]


# Every other release is written as CSV.
_FORMATS: dict[str, Callable[..., _Files]] = {"ml-1m": _ml_1m, "ml-10m": _ml_10m, CUSTOM: _custom}
