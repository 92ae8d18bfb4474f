"""Made-up rows in ml-100k's own format, with a planted preference: users and films like their own parity.

And a configuration for them.
"""

from __future__ import annotations

import pathlib
import random

from pipeline import config as configuration

USERS, FILMS = 60, 150
_LIKED, _DISLIKED = 30, 12
_FIRST_SECOND = 874_724_710
_GENRES = 19

# Small and short, and gates that such models pass: for the machinery, not for quality.
_SMALL = {
    "embedding_dim": 4,
    "query_features": ["user_id"],
    "candidate_features": ["movie_title"],
    "history": None,
}
_GATES = {
    "must_beat_baselines": False,
    "retrieval": [{"metric": "top_100_categorical_accuracy", "bound": 0.01}],
    "ranking": [{"metric": "rmse", "bound": 9}],
    "multitask": [{"metric": "rmse", "bound": 9}],
}
_CHANGES = {
    "models": {
        "retrieval": {**_SMALL, "sequence": None, "cold_start": None},
        "ranking": {**_SMALL, "head": "factorization"},
        "multitask": _SMALL,
    },
    "gates": _GATES,
}


def write(folder: pathlib.Path) -> pathlib.Path:
    """Write `u.data`, `u.item` and `u.user`, always the same; a top-100 leaves films out."""
    folder.mkdir(parents=True)
    draw = random.Random(0)
    rows = []
    for user in range(1, USERS + 1):
        own = [film for film in range(1, FILMS + 1) if film % 2 == user % 2]
        other = [film for film in range(1, FILMS + 1) if film % 2 != user % 2]
        seen = draw.sample(own, _LIKED) + draw.sample(other, _DISLIKED)
        draw.shuffle(seen)
        for number, film in enumerate(seen):
            rating = draw.choice((4, 5)) if film % 2 == user % 2 else draw.choice((1, 2))
            rows.append((user, film, rating, _FIRST_SECOND + 50_000 * user + 97 * number))
    lines = ["\t".join(map(str, row)) for row in rows]
    (folder / "u.data").write_text("\n".join(lines) + "\n", encoding="latin-1")
    films = [
        f"{film}|Film {film} ({1950 + film % 40})|01-Jan-{1950 + film % 40}||http://example.org|{_flags(film)}"
        for film in range(1, FILMS + 1)
    ]
    (folder / "u.item").write_text("\n".join(films) + "\n", encoding="latin-1")
    users = [f"{user}|{20 + user // 2}|{'FM'[user // 2 % 2]}|writer|00000" for user in range(1, USERS + 1)]
    (folder / "u.user").write_text("\n".join(users) + "\n", encoding="latin-1")
    return folder


def _flags(film: int) -> str:
    return "|".join("1" if genre == 1 + film // 2 % (_GENRES - 1) else "0" for genre in range(_GENRES))


def config(epochs: int | None = None, **changes: object) -> configuration.Config:
    """Return the default preset with small models.

    Args:
      epochs: of each training; None for the preset's.
      changes: fields of the configuration to replace.
    """
    config = configuration.with_changes(configuration.default(), {**_CHANGES, **changes})
    if epochs is None:
        return config
    models = {name: {"epochs": epochs} for name, _ in config.models}
    return configuration.with_changes(config, {"models": models})
