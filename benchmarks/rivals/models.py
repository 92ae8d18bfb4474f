"""The baselines' models: popularity, biases, EASE in NumPy; what is wrapped of implicit, surprise and myfm.

The libraries are an extra of the benchmarks (requirements/benchmarks.in), imported where a model is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse
from threadpoolctl import threadpool_limits

from benchmarks.protocol import Ratings
from benchmarks.rivals import baselines
from benchmarks.rivals.fm_features import FmFeatures
from benchmarks.splits import Queries
from modules.data.baselines import popularity_scores, shrunk_mean


@runtime_checkable
class Recommender(Protocol):
    """Scores titles.

    Attributes:
      cold_start: whether it has scores for a query that knows no rating of its user.
      scores_rated: whether the titles that a user has rated have scores; training may have masked them.
    """

    cold_start: bool = False
    scores_rated: bool = True

    def scores(self, queries: Queries, block: slice) -> np.ndarray:
        """Score every title for each query of a block: `[block, titles]`, the highest best."""


@runtime_checkable
class Rater(Protocol):
    """Predicts ratings."""

    def rate(self, queries: Queries) -> np.ndarray:
        """Predict each query's rating: `[rows]`."""


def popularity(train: Ratings) -> np.ndarray:
    """Score each title by its rank by number of ratings: `[titles]`."""
    return popularity_scores(np.bincount(train.titles, minlength=len(train.title_names)))


class Popularity(Recommender):
    """The titles with the most ratings, for every user."""

    cold_start = True

    def __init__(self, train: Ratings, seed: int):
        self._scores = popularity(train)

    def scores(self, queries: Queries, block: slice) -> np.ndarray:
        """Give every query the same scores."""
        return np.broadcast_to(self._scores, (len(queries.starts[block]), len(self._scores)))


class Biases:
    """The mean rating plus what the title, and what is known of the user, deviates from it."""

    def __init__(self, train: Ratings, seed: int, user_weight: float, title_weight: float):
        self._mean, _, self._titles = baselines.bias_terms(train, user_weight, title_weight)
        self._user_weight = user_weight

    def rate(self, queries: Queries) -> np.ndarray:
        """Add up the terms; the user's is that of the ratings that the query knows."""
        result = np.empty(len(queries))
        for block in queries.blocks:
            numbers, positions = queries.known(block)
            rest = queries.pool.ratings[positions] - self._mean - self._titles[queries.pool.titles[positions]]
            size = len(queries.starts[block])
            result[block] = shrunk_mean(rest, numbers, size, self._user_weight)
        return self._mean + result + self._titles[queries.rows.titles]


def _known_titles(queries: Queries, block: slice) -> scipy.sparse.csr_matrix:
    """Return the titles that each query of a block knows, as ones: `[block, titles]`."""
    numbers, positions = queries.known(block)
    shape = (len(queries.starts[block]), len(queries.rows.title_names))
    cells = (numbers, queries.pool.titles[positions])
    matrix = scipy.sparse.csr_matrix((np.ones(len(numbers), np.float32), cells), shape)
    matrix.data[:] = 1  # A title with two ids may have been rated twice.
    return matrix


def _interactions(train: Ratings) -> scipy.sparse.csr_matrix:
    shape = (len(train.user_ids), len(train.title_names))
    matrix = scipy.sparse.csr_matrix((np.ones(len(train), np.float32), (train.users, train.titles)), shape)
    matrix.data[:] = 1
    return matrix


class ImplicitAls(Recommender):
    """implicit's alternating least squares; a query's vector is solved from what the query knows."""

    def __init__(self, train: Ratings, seed: int, **settings: Any):
        from implicit.cpu.als import AlternatingLeastSquares

        # implicit has threads of its own, and asks for this.
        with threadpool_limits(1, "blas"):
            self._model = AlternatingLeastSquares(random_state=seed, **settings)
            self._model.fit(_interactions(train), show_progress=False)

    def scores(self, queries: Queries, block: slice) -> np.ndarray:
        """Multiply the queries' vectors with the titles'."""
        known = _known_titles(queries, block)
        return self._model.recalculate_user(np.arange(known.shape[0]), known) @ self._model.item_factors.T


class Neighbours(Recommender):
    """An item-item model of implicit's: a title's score is the sum of its similarities to the known ones."""

    def __init__(self, train: Ratings, model: Any):
        model.fit(_interactions(train), show_progress=False)
        self._similarity = model.similarity

    def scores(self, queries: Queries, block: slice) -> np.ndarray:
        """Sum the similarities."""
        return (_known_titles(queries, block) @ self._similarity).toarray()


def bm25_neighbours(train: Ratings, seed: int, neighbours: int, k1: float, b: float) -> Neighbours:
    """Fit implicit's item-item model with BM25's weights."""
    from implicit.nearest_neighbours import BM25Recommender

    return Neighbours(train, BM25Recommender(K=neighbours, K1=k1, B=b))


def cosine_neighbours(train: Ratings, seed: int, neighbours: int) -> Neighbours:
    """Fit implicit's item-item model with cosine similarities."""
    from implicit.nearest_neighbours import CosineRecommender

    return Neighbours(train, CosineRecommender(K=neighbours))


class Ease(Recommender):
    """A linear item-item model in closed form (Steck, WWW 2019), whole."""

    def __init__(self, train: Ratings, seed: int, penalty: float):
        rated = _interactions(train)
        gram = (rated.T @ rated).toarray().astype(np.float64)
        inverse = np.linalg.inv(gram + penalty * np.eye(len(gram)))
        # What makes each title's own weight 0, and the others the least squares.
        self._weights = np.eye(len(gram)) - inverse / np.diag(inverse)

    def scores(self, queries: Queries, block: slice) -> np.ndarray:
        """Sum the weights of the known titles."""
        return _known_titles(queries, block) @ self._weights


class Surprise:
    """A model of surprise's; what it answers depends on train alone."""

    def __init__(self, train: Ratings, algorithm: Any):
        import pandas as pd
        from surprise import Dataset, Reader

        scale = Reader(rating_scale=(train.ratings.min(), train.ratings.max()))
        rows = pd.DataFrame({"user": train.users, "title": train.titles, "rating": train.ratings})
        self._model = algorithm.fit(Dataset.load_from_df(rows, scale).build_full_trainset())

    def rate(self, queries: Queries) -> np.ndarray:
        """Predict; users and titles that train has not got have no part in the sum."""
        pairs = zip(queries.rows.users.tolist(), queries.rows.titles.tolist(), strict=True)
        return np.array([self._model.predict(user, title).est for user, title in pairs])


def svd(train: Ratings, seed: int, **settings: Any) -> Surprise:
    """Fit surprise's SVD."""
    from surprise import SVD

    return Surprise(train, SVD(random_state=seed, **settings))


def svd_plus_plus(train: Ratings, seed: int, **settings: Any) -> Surprise:
    """Fit surprise's SVD++."""
    from surprise import SVDpp

    return Surprise(train, SVDpp(random_state=seed, cache_ratings=True, **settings))


class BayesianFm:
    """myfm's factorisation machine, Gibbs-sampled."""

    def __init__(self, train: Ratings, seed: int, parts: Sequence[str], rank: int, iterations: int):
        from myfm import MyFMGibbsRegressor

        self._features = FmFeatures(train, parts)
        matrix, sizes = self._features.of_train()
        self._model = MyFMGibbsRegressor(rank=rank, random_seed=seed)
        # The first samples are of a chain that has not settled.
        kept = iterations - iterations // 5
        self._model.fit(matrix, train.ratings, n_iter=iterations, n_kept_samples=kept, group_shapes=sizes)

    def rate(self, queries: Queries) -> np.ndarray:
        """Average the predictions of the samples."""
        return self._model.predict(self._features.of(queries)[0])
