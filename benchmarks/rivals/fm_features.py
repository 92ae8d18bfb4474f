"""The sparse features of the factorisation machine: ids, and parts that are causal.

A part is computed from the row's own second and from strictly earlier rows of the same user; nothing later
than a row has a part in it, in training neither.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse

from benchmarks.protocol import Ratings
from benchmarks.splits import STATIC, Queries, queries

# The user on the day (UTC) of the row: one term for each such pair of train.
USER_DAY = "user-day"
# Seconds since the user's first known row, and number of the user's known rows, in buckets.
TENURE = "tenure"
# The user's latest known titles, as a set of unit length: what SVD++ and its like learn from.
EARLIER = "earlier titles"

_DAY = 86_400
_SECONDS = (1, 60, 600, 3600, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY)
_ROWS = (1, 5, 10, 20, 50, 100, 200)
_LATEST = 50


class FmFeatures:
    """Turns rows into the sparse matrix that myfm reads."""

    def __init__(self, train: Ratings, parts: Sequence[str]):
        """Learn the terms.

        Args:
          train: the rows to learn from.
          parts: of USER_DAY, TENURE and EARLIER.
        """
        self._train = train
        self._parts = parts
        self._days = np.unique(_user_days(train))

    def of_train(self) -> tuple[scipy.sparse.csr_matrix, list[int]]:
        """Return the matrix of the train rows, and the width of each part of it."""
        return self.of(queries(self._train, self._train, STATIC))

    def of(self, requested: Queries) -> tuple[scipy.sparse.csr_matrix, list[int]]:
        """Return the matrix of rows, and the width of each part of it."""
        rows, causal = requested.rows, requested.causal()
        blocks = [_one_hot(rows.users, len(rows.user_ids)), _one_hot(rows.titles, len(rows.title_names))]
        if USER_DAY in self._parts:
            wanted = _user_days(rows)
            positions = np.minimum(np.searchsorted(self._days, wanted), len(self._days) - 1)
            blocks.append(
                _one_hot(
                    np.where(self._days[positions] == wanted, positions, len(self._days)), len(self._days)
                )
            )
        if TENURE in self._parts:
            known = causal.stops - causal.starts
            first = causal.pool.times[np.minimum(causal.starts, len(causal.pool) - 1)]
            since = np.where(known > 0, rows.times - first, 0)
            blocks += [_buckets(since, _SECONDS), _buckets(known, _ROWS)]
        if EARLIER in self._parts:
            blocks.append(_earlier(causal))
        return scipy.sparse.hstack(blocks).tocsr(), [block.shape[1] for block in blocks]


def _user_days(rows: Ratings) -> np.ndarray:
    return rows.users.astype(np.int64) << 32 | rows.times // _DAY


def _one_hot(indices: np.ndarray, width: int) -> scipy.sparse.csr_matrix:
    # An index past the last column is an unknown term: the row has nothing there.
    (known,) = np.nonzero(indices < width)
    return scipy.sparse.csr_matrix((np.ones(len(known)), (known, indices[known])), (len(indices), width))


def _buckets(values: np.ndarray, boundaries: Sequence[int]) -> scipy.sparse.csr_matrix:
    return _one_hot(np.searchsorted(boundaries, values, side="right"), len(boundaries) + 1)


def _earlier(causal: Queries) -> scipy.sparse.csr_matrix:
    starts = np.maximum(causal.starts, causal.stops - _LATEST)
    numbers, positions = dataclasses.replace(causal, starts=starts).known(slice(None))
    weights = 1 / np.sqrt((causal.stops - starts)[numbers])
    shape = (len(causal), len(causal.rows.title_names))
    return scipy.sparse.csr_matrix((weights, (numbers, causal.pool.titles[positions])), shape)
