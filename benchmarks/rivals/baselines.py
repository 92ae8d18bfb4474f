"""The pipeline's own baselines, popularity and biases, under the benchmarks' protocol. NumPy only.

`python -m benchmarks.rivals.baselines` compares the weights of the biases on train rows of MovieLens 100K.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from benchmarks import figures, protocol, table
from benchmarks.figures import Figures
from benchmarks.protocol import ML_100K, Ratings
from common.errors import DataError
from components.movielens_example_gen.config import SplitConfig
from components.movielens_example_gen.parsing.splits import hash_limit, row_hash
from modules import features
from modules.data import baselines
from modules.data.baselines import SWEEPS, TITLE_WEIGHT, USER_WEIGHT
from modules.data.baselines import shrunk_mean as shrunk_mean

_BLOCK = 4096
_PARTS = 8
# Weights of users, and of titles, that are compared.
_USER_WEIGHTS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_TITLE_WEIGHTS = (1.0, 2.0, 3.0, 4.0, 5.0)


def popularity(train: Ratings, held_out: Ratings) -> Figures:
    """Recommend to everybody what has the most ratings."""
    counts = np.bincount(train.titles, minlength=len(train.title_names))
    scores = np.broadcast_to(baselines.popularity_scores(counts), (len(train.user_ids), len(counts)))
    seen = np.zeros(scores.shape, bool)
    seen[train.users, train.titles] = True
    found = {
        name: ranks(candidates, held_out.users, held_out.titles)
        for name, candidates in (
            (features.RANK, scores),
            (features.RANK_UNSEEN, np.where(seen, -np.inf, scores)),
        )
    }
    return figures.of_columns({**found, features.RATING: held_out.ratings})


def ranks(scores: np.ndarray, users: np.ndarray, titles: np.ndarray) -> np.ndarray:
    """Count the titles that score at least as high as the rated one, as ranking_metrics.ranks does.

    Args:
      scores: `[users, titles]`, minus infinity where a title is no candidate.
      users, titles: `[rows]` whose rank of what.
    Returns:
      `[rows]` from 0, best; features.EXCLUDED_ROW where the rated title is no candidate.
    """
    own = scores[users, titles]
    result = np.empty(len(users))
    for start in range(0, len(users), _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = (scores[users[block]] >= own[block, None]).sum(axis=1) - 1
    return np.where(np.isneginf(own), features.EXCLUDED_ROW, result)


def bias_terms(
    train: Ratings, user_weight: float = USER_WEIGHT, title_weight: float = TITLE_WEIGHT, sweeps: int = SWEEPS
) -> tuple[float, np.ndarray, np.ndarray]:
    """Fit the mean rating, `[users]` and `[titles]` biases, see modules.data.baselines.biases."""
    fitted = baselines.biases(
        train.users,
        train.titles,
        train.ratings,
        len(train.user_ids),
        len(train.title_names),
        user_weight,
        title_weight,
        sweeps,
    )
    return fitted.mean, fitted.users, fitted.titles


def biases(
    train: Ratings,
    held_out: Ratings,
    user_weight: float = USER_WEIGHT,
    title_weight: float = TITLE_WEIGHT,
    sweeps: int = SWEEPS,
) -> Figures:
    """Predict the mean rating plus what the user and the title deviate from it."""
    mean, user_bias, title_bias = bias_terms(train, user_weight, title_weight, sweeps)
    predicted = mean + user_bias[held_out.users] + title_bias[held_out.titles]
    predicted = np.clip(predicted, train.ratings.min(), train.ratings.max())
    return Figures(rmse=figures.rmse(predicted, held_out.ratings))


def parts_of_train(folder: pathlib.Path) -> np.ndarray:
    """Divide the train rows of the hash split, as MovieLensExampleGen makes it, into eighths by another hash.

    Args:
      folder: of MovieLens 100K.
    Returns:
      `[rows]` the number of a row's eighth, in the order of the ratings file; -1 for eval rows.
    """
    split = SplitConfig()
    parts = []
    for user, movie, rating, seconds in protocol.table_rows(folder, ML_100K.ratings):
        of_split, of_part = (
            row_hash(user, movie, float(rating), int(seconds), seed)[0]
            for seed in (split.seed, split.seed + 1)
        )
        parts.append(-1 if of_split < hash_limit(split.eval_share) else of_part * _PARTS >> 64)
    return np.array(parts)


def compare(
    ratings: Ratings, parts: np.ndarray, user_weights: Sequence[float], title_weights: Sequence[float]
) -> np.ndarray:
    """Hold out each part in turn, and fit the biases to the others with every pair of weights.

    Args:
      ratings: all rows.
      parts: `[rows]` from 0; rows of a negative one are not read.
    Returns:
      `[user_weights, title_weights]` the root mean squared error of all rows that were held out.
    """
    squares = np.zeros((len(user_weights), len(title_weights)))
    for part in range(parts.max() + 1):
        train = ratings.take(np.flatnonzero((parts >= 0) & (parts != part)))
        held_out = ratings.take(np.flatnonzero(parts == part))
        errors = [
            biases(train, held_out, *pair).rmse for pair in itertools.product(user_weights, title_weights)
        ]
        squares += len(held_out) * np.square(np.reshape(np.array(errors, float), squares.shape))
    return np.sqrt(squares / np.sum(parts >= 0))


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rivals.baselines",
        description="Compare weights of the biases on the train rows of the hash split of MovieLens 100K.",
    )
    protocol.add_data_flag(parser)
    options = parser.parse_args()
    try:
        folder = protocol.find_data(options.data)
        ratings, parts = protocol.read(folder), parts_of_train(folder)
    except DataError as error:
        parser.error(str(error))
    errors = compare(ratings, parts, _USER_WEIGHTS, _TITLE_WEIGHTS)
    rows = [
        [f"{weight:g}", *(f"{error:.5f}" for error in of_weight)]
        for weight, of_weight in zip(_USER_WEIGHTS, errors, strict=True)
    ]
    print(table.markdown(["user weight", *(f"title weight {weight:g}" for weight in _TITLE_WEIGHTS)], rows))
    user, title = np.unravel_index(np.argmin(errors), errors.shape)
    print(
        f"\nleast error: user weight {_USER_WEIGHTS[user]:g}, title weight {_TITLE_WEIGHTS[title]:g}; ",
        end="",
    )
    print(f"in force: {USER_WEIGHT:g}, {TITLE_WEIGHT:g}")


if __name__ == "__main__":
    main()
