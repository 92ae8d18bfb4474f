"""SASRec with cross-entropy, which knows the moment that it is asked at. TensorFlow is imported to fit it.

Causal self-attention over a user's latest titles: Kang and McAuley, Self-Attentive Sequential Recommendation
(ICDM 2018), with a full softmax at each position (Klenitskiy and Vasilev, Turning Dross Into Gold Loss,
RecSys 2023) and attention that is biased by time (Li et al., TiSASRec, WSDM 2020; Zhai et al., HSTU, ICML
2024). A moment that something is asked at has a position of its own beside the titles, as in the two streams
of XLNet, because it may not see titles of its own second. NumPy lays out the sequences here, the network is
in `sasrec_network.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.protocol import Ratings
from benchmarks.splits import Queries
from components.movielens_example_gen.parsing.catalogue import title_year
from modules import features

LENGTH = 100
_TIME_BUCKETS = 1000
_BATCH = 16
_SCORED = 256


class Sequences(NamedTuple):
    """Titles in order of time, and the moments that something is asked at; all int32.

    Attributes:
      titles, ratings, times: `[n, length]` indices, and seconds since the first of train; 0 after the end.
      known: `[n, length]` number of the sequence's titles that are strictly earlier than each title.
      users: `[n]` index from 1; 0 for a user without train rows.
      asked: `[n, m]` the moments, in seconds.
      buckets: `[n, m]` index of the moment from 1; 0 for one outside train.
      asked_known: `[n, m]` number of the titles that are strictly earlier than the moment: all that it sees.
    """

    titles: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    known: np.ndarray
    users: np.ndarray
    asked: np.ndarray
    buckets: np.ndarray
    asked_known: np.ndarray

    def take(self, rows: np.ndarray | slice) -> Sequences:
        """Return some of the sequences."""
        return Sequences(*(values[rows] for values in self))


class Layout:
    """Turns rows into sequences, with what it learned of train."""

    def __init__(self, train: Ratings):
        self._first, self._last = int(train.times.min()), int(train.times.max())
        self._stars = np.unique(train.ratings)
        self._is_known = np.bincount(train.users, minlength=len(train.user_ids)) > 0
        self.sizes = {
            "users": len(train.user_ids) + 1,
            "buckets": _TIME_BUCKETS + 1,
            "ratings": len(self._stars),
        }

    def training(self, train: Ratings) -> tuple[Sequences, np.ndarray, np.ndarray]:
        """Cut each user's rows into windows that overlap by half, each row being asked for once.

        Returns:
          The windows, whose moments are those of their titles; `[n, length]` whether the title is asked for
          there, and which it is.
        """
        pool = train.take(np.lexsort((train.times, train.users)))
        starts = np.searchsorted(pool.users, np.unique(pool.users))
        half = LENGTH // 2
        begins, ends, whole = [], [], []
        for start, stop in zip(starts, [*starts[1:], len(pool)], strict=True):
            for begin in range(start, max(stop - half, start + 1), half):
                begins.append(begin)
                ends.append(min(begin + LENGTH, stop))
                whole.append(begin == start)
        sequences = self._lay_out(pool, np.array(begins), np.array(ends), pool.users[begins])
        sequences = sequences._replace(
            asked=sequences.times,
            buckets=self._buckets(sequences.times),
            asked_known=sequences.known,
        )
        column = np.arange(sequences.titles.shape[1])
        wanted = column < (np.array(ends) - begins)[:, None]
        wanted &= np.array(whole)[:, None] | (column >= half)
        return sequences, wanted, sequences.titles

    def asking(self, queries: Queries, block: slice) -> Sequences:
        """Lay out what the queries of a block know strictly before their second, and their moments."""
        causal = queries.causal()
        stops = causal.stops[block]
        starts = np.maximum(causal.starts[block], stops - LENGTH)
        rows = queries.rows.take(np.arange(len(queries))[block])
        asked = self._seconds(rows.times)[:, None]
        return self._lay_out(queries.pool, starts, stops, rows.users)._replace(
            asked=asked, buckets=self._buckets(asked), asked_known=(stops - starts).astype(np.int32)[:, None]
        )

    def _lay_out(self, pool: Ratings, starts: np.ndarray, stops: np.ndarray, users: np.ndarray) -> Sequences:
        sizes = stops - starts
        column = np.arange(max(1, sizes.max()))
        there = column < sizes[:, None]
        rows = np.where(there, starts[:, None] + column, 0)
        times = np.where(there, self._seconds(pool.times[rows]), 0)
        # The first column of each second; ascending times, so that the greatest so far is the latest change.
        changes = np.concatenate([np.ones((len(rows), 1), bool), times[:, 1:] != times[:, :-1]], axis=1)
        empty = np.zeros((len(rows), 0), np.int32)
        return Sequences(
            titles=np.where(there, pool.titles[rows], 0).astype(np.int32),
            ratings=np.where(there, np.searchsorted(self._stars, pool.ratings[rows]), 0).astype(np.int32),
            times=times.astype(np.int32),
            known=np.maximum.accumulate(np.where(changes, column, 0), axis=1).astype(np.int32),
            users=np.where(self._is_known[users], users + 1, 0).astype(np.int32),
            asked=empty,
            buckets=empty,
            asked_known=empty,
        )

    def _seconds(self, times: np.ndarray) -> np.ndarray:
        return (times - self._first).astype(np.int32)

    def _buckets(self, seconds: np.ndarray) -> np.ndarray:
        span = self._last - self._first + 1
        inside = (seconds >= 0) & (seconds < span)
        buckets = 1 + seconds.astype(np.int64) * _TIME_BUCKETS // span
        return np.where(inside, buckets, 0).astype(np.int32)


def title_sides(ratings: Ratings) -> np.ndarray:
    """Return the genres of each title, of unit sum, and the bucket of its year: `[titles, sides]` float32."""
    genres = ratings.genres / np.maximum(ratings.genres.sum(axis=1, keepdims=True), 1)
    years = np.searchsorted(features.YEAR_BOUNDARIES, [*map(title_year, ratings.title_names)], side="right")
    return np.hstack([genres, np.eye(len(features.YEAR_BOUNDARIES) + 1)[years]]).astype(np.float32)


class SasRec:
    """The fitted model."""

    cold_start = True

    def __init__(self, train: Ratings, seed: int, epochs: int, learning_rate: float, dropout: float):
        from benchmarks.rivals.sasrec_network import Network, fit

        self._layout = Layout(train)
        self._network = Network(self._layout.sizes, title_sides(train), seed, dropout)
        fit(self._network, *self._layout.training(train), epochs, learning_rate, _BATCH, seed)

    def scores(self, queries: Queries, block: slice) -> np.ndarray:
        """Multiply what is asked for with the titles' embeddings."""
        sequences = self._layout.asking(queries, block)
        parts = range(0, len(sequences.users), _SCORED)
        return np.concatenate(
            [self._network.scores(sequences.take(slice(start, start + _SCORED))) for start in parts]
        )
