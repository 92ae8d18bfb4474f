"""A few users, and the lists that they are recommended by this version and by the one before.

Asks composites of published bundles; all else in a report was recorded before.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from common.errors import first_line
from common.progress import progress
from components.index_pusher.bundle import RECOMMEND_EXACT
from components.index_pusher.served_list import asking, rows
from components.run_report.contents import Title, Viewer
from modules import features

# Shares of the users, by the number of their ratings in eval, at which one is taken.
_ACTIVITY = (0.1, 0.4, 0.7, 0.98)
_LATEST = 5
# Ratings of eval among whose users they are chosen.
_RATINGS = 5_000


def collect(split_dir: str, bundles: Mapping[int, str], show_ids: bool) -> list[Viewer]:
    """Choose users by their activity, and ask each version for their lists.

    Args:
      split_dir: folder of the ratings' eval split.
      bundles: paths of bundles by version; one that cannot be asked is left out, with a line of progress.
      show_ids: whether users are named by their ids.
    """
    ratings = rows.parse(rows.whole_users(split_dir, _RATINGS))
    latest = _latest_rows(ratings)
    users = {name: column[latest] for name, column in ratings.queries.items()}
    requests = asking.a_day_later(
        {row.name: users[row.name] for row in features.QUERY_FEATURES if row.name in users},
        users[features.TIMESTAMP],
    )
    lists = {version: found for version, path in bundles.items() if (found := _ask(version, path, requests))}
    key = secrets.token_bytes(16)
    return [
        Viewer(
            name=_text(user) if show_ids else hashed(user, key),
            rows=int((ratings.queries[features.USER_ID] == user).sum()),
            latest=_history(users, position),
            served={
                version: _served(found, position, _rated(ratings, user)) for version, found in lists.items()
            },
        )
        for position, user in enumerate(users[features.USER_ID])
    ]


def hashed(user: bytes, key: bytes) -> str:
    """Name a user by a hash, which cannot be undone by trying all ids unless the key is known.

    >>> hashed(b"42", b"key")
    'ef267b88'
    """
    return hashlib.blake2b(user, key=key, digest_size=4).hexdigest()


def _latest_rows(ratings: rows.Ratings) -> list[int]:
    """Choose users by their number of ratings; return each one's latest row, the least active user first."""
    found, counts = np.unique(ratings.queries[features.USER_ID].astype(object), return_counts=True)
    by_activity = found[np.argsort(counts, kind="stable")]
    chosen = dict.fromkeys(int(share * (len(found) - 1)) for share in _ACTIVITY)
    times = ratings.queries[features.TIMESTAMP]
    of_user = [np.flatnonzero(ratings.queries[features.USER_ID] == by_activity[index]) for index in chosen]
    return [int(own[np.argmax(times[own])]) for own in of_user]


def _ask(version: int, path: str, requests: Mapping[str, np.ndarray]) -> asking.Lists | None:
    try:
        # The one on exact search, which every TensorFlow loads.
        composite = asking.Composite(os.path.join(path, RECOMMEND_EXACT), needs_scann=False)
        return composite.ask(requests, np.zeros([len(requests[features.USER_ID]), 0], object))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        # An earlier release of this project may have published it.
        progress.warning("The report lacks the lists of version %d: %s", version, first_line(error))
        return None


def _history(users: Mapping[str, np.ndarray], position: int) -> list[Title]:
    """Return what a user rated last before a row, the latest first."""
    titles, ratings, times = (users[row.name][position] for row in features.HISTORY_FEATURES)
    latest = [index for index in np.argsort(-times, kind="stable") if titles[index]][:_LATEST]
    return [Title(title=_text(titles[index]), rated=float(ratings[index])) for index in latest]


def _rated(ratings: rows.Ratings, user: bytes) -> dict[bytes, float]:
    own = ratings.queries[features.USER_ID] == user
    return dict(
        zip(ratings.queries[features.MOVIE_TITLE][own], map(float, ratings.ratings[own]), strict=True)
    )


def _served(lists: asking.Lists, position: int, rated: Mapping[bytes, float]) -> list[Title]:
    columns: Sequence[np.ndarray] = (lists.titles[position], lists.scores[position], lists.ratings[position])
    return [
        Title(title=_text(title), score=float(score), predicted=float(predicted), rated=rated.get(title))
        for title, score, predicted in zip(*columns, strict=True)
        if title
    ]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
