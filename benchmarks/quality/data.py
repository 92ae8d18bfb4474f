"""The data that models are evaluated on, and what their answers come to by group of rows."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks import figures, protocol, splits
from benchmarks.protocol import Ratings
from benchmarks.quality import results
from benchmarks.quality.results import Key
from benchmarks.splits import TIME, Split
from common.errors import DataError
from components.movielens_example_gen.sources.releases import Release
from modules import features


class Data(NamedTuple):
    """The data that models are evaluated on.

    Attributes:
      folder: of the release.
      release: which.
      ratings: all its rows.
      digest: the release, and what its files hold.
    """

    folder: pathlib.Path
    release: Release
    ratings: Ratings
    digest: str

    @classmethod
    def read(cls, folder: pathlib.Path, release: Release) -> Data:
        """Read a release."""
        digest = hashlib.sha256()
        for table in filter(None, (release.ratings, release.movies, release.users)):
            digest.update(hashlib.sha256((folder / table.names[0]).read_bytes()).digest())
        ratings = protocol.read(folder, release)
        return cls(folder, release, ratings, f"{release.name} {digest.hexdigest()[:16]}")

    def keys(self, split: Split, method: str, settings: Mapping[str, Any]) -> dict[str, Key]:
        """Name what is measured of a method on a split, by view."""
        return {
            view: Key(
                data=self.digest,
                protocol=split.protocol,
                split=split.name,
                view=view,
                seed=split.seed,
                method=method,
                settings=dict(settings),
            )
            for view in split.views
        }

    def measured(self, split: Split, columns: Mapping[str, np.ndarray]) -> dict[str, results.Measured]:
        """Work out the figures of each group of rows, from columns as `served.columns` has them.

        Raises:
          DataError: they are of other rows.
        """
        rows = len(columns[features.RATING])
        if rows != len(split.held_out):
            raise DataError(
                f"Our models and the baselines must be evaluated on the same {len(split.held_out)} rows; "
                f"the ExampleGen made {rows}. Rows of this copy are bad, or repeated."
            )
        groups = figures.visits(columns)
        if split.protocol == TIME:
            users = np.searchsorted(self.ratings.user_ids, columns[features.USER_ID].astype(str))
            train = self.ratings.take(split.train)
            groups |= splits.cold_start(self.ratings, train, users, columns[features.TIMESTAMP])
        return results.measured(figures.by_group(columns, groups))
