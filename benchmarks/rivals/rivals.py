"""The interface of the quality benchmark's baselines, and the table of them.

A model recommends (`scores`) or rates (`rate`). It is fitted to the train rows; a query also gives it the
rows of its user that `splits.Queries` lets the query know. If a query knows no row of its user, the most
popular titles are recommended, as a service would, but by a model that has scores for such a user too.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from benchmarks import splits
from benchmarks.protocol import Ratings
from benchmarks.rivals import baselines, models, sasrec
from benchmarks.rivals.fm_features import EARLIER, TENURE, USER_DAY
from benchmarks.rivals.models import Rater, Recommender
from benchmarks.splits import Queries
from modules import features
from pipeline.source_digest import source_digest

# The extra's distributions, and what they are imported as.
LIBRARIES = {"implicit": "implicit", "scikit-surprise": "surprise", "myfm": "myfm"}


@dataclasses.dataclass(frozen=True)
class Rival:
    """One baseline.

    Attributes:
      name: in the table.
      library: the distribution that it comes from; None for our own.
      fit: called with the train rows, a seed, and the settings by name.
      grid: what `python -m benchmarks.rivals.search` compares: every combination.
      settings: what it chose.
      follows: whether it reads what a query knows of its user, and so can follow one whom it did not see in
        training; the others answer alike whatever a query knows.
      sequential: whether it learns from the order of rows: the search then divides train by time, and changes
        one value at a time, since a fit takes minutes.
    """

    name: str
    library: str | None
    fit: Callable[..., Recommender | Rater]
    grid: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    follows: bool = False
    sequential: bool = False

    def description(self) -> dict[str, Any]:
        """Return the settings, code and versions that its figures depend on, beside the data.

        Raises:
          PackageNotFoundError: its library is not installed.
        """
        version = f"{self.library} {metadata.version(self.library)}" if self.library else "ours"
        return {"library": version, "code": source_digest(self.fit.__module__), **self.settings}

    def candidates(self) -> list[dict[str, Any]]:
        """Combine the grid; of a sequential model, change one value of what is in force at a time."""
        if self.sequential:
            changes = [{name: value} for name, values in self.grid.items() for value in values]
            others = [{**self.settings, **change} for change in changes]
            return [dict(self.settings), *(other for other in others if other != self.settings)]
        return [
            dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())
        ]


def columns(model: Recommender | Rater, train: Ratings, queries: Queries) -> dict[str, np.ndarray]:
    """Ask a model about every row.

    Returns:
      `[rows]` each, as `served.columns` has them of a model of ours: features.RATING, USER_ID (bytes),
      TIMESTAMP and VISIT (bytes) of the row, and either PREDICTED_RATING or RANK_UNSEEN (without the titles
      that are no candidates) and, of a model that scores rated titles too, RANK.
    """
    rows = queries.rows
    result = {
        features.RATING: rows.ratings,
        features.USER_ID: rows.user_ids[rows.users].astype(bytes),
        features.TIMESTAMP: rows.times,
        features.VISIT: splits.visits(queries).astype(bytes),
    }
    if isinstance(model, Rater):
        predicted = np.clip(model.rate(queries), train.ratings.min(), train.ratings.max())
        return {**result, features.PREDICTED_RATING: predicted}
    popular = models.popularity(train)
    kinds = (features.RANK, features.RANK_UNSEEN) if model.scores_rated else (features.RANK_UNSEEN,)
    ranks: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    for block in queries.blocks:
        scores = model.scores(queries, block).astype(np.float64)
        if not model.cold_start:
            scores[queries.starts[block] == queries.stops[block]] = popular
        each, titles = np.arange(len(scores)), rows.titles[block]
        if model.scores_rated:
            ranks[features.RANK].append(baselines.ranks(scores, each, titles))
        numbers, positions = queries.excluded(block)
        scores[numbers, queries.pool.titles[positions]] = -np.inf
        ranks[features.RANK_UNSEEN].append(baselines.ranks(scores, each, titles))
    return {**result, **{name: np.concatenate(values) for name, values in ranks.items()}}


_FM_GRID: dict[str, Sequence[Any]] = {"rank": (4, 8, 16), "iterations": (300,)}

RIVALS = (
    Rival("popularity", None, models.Popularity),
    Rival(
        "user and title biases",
        None,
        models.Biases,
        {"user_weight": (2.0, 5.0, 10.0), "title_weight": (1.0, 3.0, 5.0)},
        {"user_weight": 10.0, "title_weight": 3.0},
        follows=True,
    ),
    Rival(
        "iALS",
        "implicit",
        models.ImplicitAls,
        {
            "factors": (16, 32, 64, 128),
            "regularization": (3.0, 10.0, 30.0, 100.0),
            "alpha": (1.0, 2.0, 4.0, 8.0),
            "iterations": (15, 30),
        },
        {"factors": 32, "regularization": 30.0, "alpha": 4.0, "iterations": 15},
        follows=True,
    ),
    Rival(
        "item-kNN, BM25",
        "implicit",
        models.bm25_neighbours,
        {"neighbours": (50, 200, 800), "k1": (1.2, 3.0, 10.0), "b": (0.25, 0.5, 0.75, 1.0)},
        {"neighbours": 800, "k1": 1.2, "b": 1.0},
        follows=True,
    ),
    Rival(
        "item-kNN, cosine",
        "implicit",
        models.cosine_neighbours,
        {"neighbours": (20, 50, 100, 200, 400, 800)},
        {"neighbours": 50},
        follows=True,
    ),
    Rival(
        "EASE",
        None,
        models.Ease,
        {"penalty": (50.0, 100.0, 200.0, 300.0, 500.0, 1000.0, 2000.0)},
        {"penalty": 300.0},
        follows=True,
    ),
    Rival(
        "SASRec, cross-entropy",
        "tensorflow",
        sasrec.SasRec,
        {"epochs": (12, 16, 24), "learning_rate": (0.002, 0.004, 0.008), "dropout": (0.2, 0.3, 0.4)},
        {"epochs": 16, "learning_rate": 0.004, "dropout": 0.3},
        follows=True,
        sequential=True,
    ),
    Rival(
        "SVD",
        "scikit-surprise",
        models.svd,
        {
            "n_factors": (50, 200),
            "n_epochs": (60, 90),
            "lr_all": (0.005, 0.01),
            "reg_all": (0.08, 0.1, 0.12, 0.15),
        },
        {"n_factors": 200, "n_epochs": 90, "lr_all": 0.01, "reg_all": 0.12},
    ),
    Rival(
        "SVD++",
        "scikit-surprise",
        models.svd_plus_plus,
        {
            "n_factors": (20, 50),
            "n_epochs": (20, 40, 60),
            "lr_all": (0.007,),
            "reg_all": (0.05, 0.1, 0.12),
        },
        {"n_factors": 50, "n_epochs": 60, "lr_all": 0.007, "reg_all": 0.12},
    ),
    Rival(
        "FM, ids",
        "myfm",
        models.BayesianFm,
        {"parts": ((),), **_FM_GRID},
        {"parts": (), "rank": 4, "iterations": 300},
    ),
    Rival(
        "FM, ids, user-day, tenure",
        "myfm",
        models.BayesianFm,
        {"parts": ((USER_DAY, TENURE),), **_FM_GRID},
        {"parts": (USER_DAY, TENURE), "rank": 8, "iterations": 300},
        follows=True,
    ),
    Rival(
        "FM, ids, user-day, tenure, earlier titles",
        "myfm",
        models.BayesianFm,
        {"parts": ((USER_DAY, TENURE, EARLIER),), **_FM_GRID},
        {"parts": (USER_DAY, TENURE, EARLIER), "rank": 8, "iterations": 300},
        follows=True,
    ),
)
