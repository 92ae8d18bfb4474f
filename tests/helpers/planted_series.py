"""Made-up rows in ml-1m's own format: people watch the films of a series one after the other.

What was watched last predicts what comes next, which neither popularity nor an item-item model reads, and a
person's ratings by the person's taste in genres, which biases do not have.
"""

from __future__ import annotations

import pathlib
import random

USERS, FILMS, SERIES = 120, 80, 10
_RATINGS = range(20, 44)
_GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance")
_FIRST_SECOND = 960_000_000


def write(folder: pathlib.Path, follow: float = 0.85) -> pathlib.Path:
    """Write `ratings.dat`, `movies.dat` and `users.dat`, always the same.

    Args:
      folder: to be made.
      follow: share of ratings that go on with the series of the one before; 0 leaves nothing to learn of what
        comes next.
    """
    folder.mkdir(parents=True)
    draw = random.Random(0)
    quality = [draw.gauss(0, 0.4) for _ in range(FILMS)]
    rows = []
    for user in range(1, USERS + 1):
        taste = [draw.gauss(0, 0.9) for _ in _GENRES]
        left, series, second = list(range(FILMS)), -1, _FIRST_SECOND + draw.randrange(10_000_000)
        for _ in range(draw.choice(_RATINGS)):
            of_series = [film for film in left if film % SERIES == series]
            film = draw.choice(of_series if of_series and draw.random() < follow else left)
            left.remove(film)
            series, second = film % SERIES, second + draw.choice((5, 300, 9_000, 90_000))
            stars = 3 + taste[_genre(film)] + quality[film] + draw.gauss(0, 0.3)
            rows.append((user, film + 1, min(5, max(1, round(stars))), second))
    lines = {
        "ratings.dat": ["::".join(map(str, row)) for row in rows],
        "movies.dat": [
            f"{film + 1}::Film {film + 1} ({1950 + film % 50})::{_GENRES[_genre(film)]}"
            for film in range(FILMS)
        ],
        "users.dat": [f"{user}::{'FM'[user % 2]}::25::{user % 21}::00000" for user in range(1, USERS + 1)],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n", encoding="latin-1")
    return folder


def _genre(film: int) -> int:
    return film % SERIES % len(_GENRES)
