"""SASRec with cross-entropy, which knows the time of a query. TensorFlow is imported to fit it.

Causal self-attention to a user's latest titles: Kang and McAuley, Self-Attentive Sequential Recommendation
(ICDM 2018), with a softmax over all titles for every query (Klenitskiy and Vasilev, Turning Dross Into Gold
Loss, RecSys 2023) and attention that is biased by time (Li et al., TiSASRec, WSDM 2020; Zhai et al., HSTU,
ICML 2024). NumPy lays out the windows here; the network is in `sasrec_network.py`.
"""

from __future__ import annotations

import numpy as np

from benchmarks import splits
from benchmarks.protocol import Ratings
from benchmarks.rivals.models import Recommender
from benchmarks.splits import Queries
from components.movielens_example_gen.parsing.catalogue import title_year
from modules import features

# Columns of a window beside those that modules.data.sequences counts; int32.
TITLE, RATING, SECOND, USER, BUCKET = "title", "rating", "second", "user", "bucket"
_TIME_BUCKETS = 1000
_SCORED = 256


class SasRec(Recommender):
    """The fitted model."""

    cold_start = True
    scores_rated = False

    def __init__(self, train: Ratings, seed: int, epochs: int, learning_rate: float, dropout: float):
        from benchmarks.rivals import sasrec_network  # TensorFlow, which reads its environment.

        self._first, self._last = int(train.times.min()), int(train.times.max())
        self._stars = np.unique(train.ratings)
        self._in_train = np.bincount(train.users, minlength=len(train.user_ids)) > 0
        self._network = sasrec_network.fit(
            self.columns(splits.by_user(train)),
            title_features(train),
            {USER: len(train.user_ids) + 1, BUCKET: _TIME_BUCKETS + 1, RATING: len(self._stars)},
            seed,
            epochs,
            learning_rate,
            dropout,
        )

    def columns(self, rows: Ratings) -> dict[str, np.ndarray]:
        """Compute the columns of rows by user, then time.

        Returns:
          `[rows]` int32 each: indices of title, rating, user and bucket of time, of the latter two from 1, 0
          outside train; seconds since the first row of train; what modules.data.sequences counts.
        """
        from modules.data import sequences  # TensorFlow too.

        span = self._last - self._first + 1
        seconds = rows.times - self._first
        columns = {
            TITLE: rows.titles,
            RATING: np.minimum(np.searchsorted(self._stars, rows.ratings), len(self._stars) - 1),
            SECOND: seconds,
            USER: np.where(self._in_train[rows.users], rows.users + 1, 0),
            BUCKET: np.where((seconds >= 0) & (seconds < span), 1 + seconds * _TIME_BUCKETS // span, 0),
        }
        return {
            **{name: values.astype(np.int32) for name, values in columns.items()},
            **sequences.counts(rows.users, rows.times),
        }

    def windows(self, queries: Queries, block: slice) -> dict[str, np.ndarray]:
        """Put each query of a block, without title and rating, behind the context that it knows.

        Returns:
          `[block, CONTEXT + 1]` by column.
        """
        from modules.data.sequences import CONTEXT, EARLIER, ORDER, SINCE

        causal, pool = queries.causal(), self.columns(queries.pool)
        stops = causal.stops[block]
        known = (stops - causal.starts[block]).astype(np.int32)
        own = self.columns(queries.rows.take(np.arange(len(queries))[block]))
        none = np.zeros_like(known)
        since = np.where(known > 0, own[SECOND] - pool[SECOND][np.maximum(stops - 1, 0)], 0)
        own |= {TITLE: none, RATING: none, ORDER: known, EARLIER: known, SINCE: since}
        # Rows of other users, too, which the network does not attend to.
        context = (stops[:, np.newaxis] + np.arange(-CONTEXT, 0)) % len(queries.pool)
        return {
            name: np.concatenate([values[context], own[name][:, np.newaxis]], axis=1)
            for name, values in pool.items()
        }

    def scores(self, queries: Queries, block: slice) -> np.ndarray:
        """Multiply the queries' embeddings with the titles'."""
        windows = self.windows(queries, block)
        parts = range(0, len(windows[TITLE]), _SCORED)
        return np.concatenate(
            [
                self._network.scores({name: v[start : start + _SCORED] for name, v in windows.items()})
                for start in parts
            ]
        )


def title_features(ratings: Ratings) -> np.ndarray:
    """Return genres, together 1, and the bucket of the year of each title: `[titles, features]` float32."""
    genres = ratings.genres / np.maximum(ratings.genres.sum(axis=1, keepdims=True), 1)
    years = np.searchsorted(features.YEAR_BOUNDARIES, [*map(title_year, ratings.title_names)], side="right")
    return np.hstack([genres, np.eye(len(features.YEAR_BOUNDARIES) + 1)[years]]).astype(np.float32)
