"""What a request leaves out of its user, and what it says: both contracts hold an answer against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from modules import features
from modules.hyperparameters import TrainingConfig
from tests.contracts.suite.planted_run import PlantedRun
from tests.contracts.suite.rows import without_user_features
from tests.helpers.planted_ratings import Row


def check_sides(config: TrainingConfig, run: PlantedRun, call: Callable[[Sequence[Row]], np.ndarray]) -> None:
    """A known user's own side features stand in for absent ones; what a request says is believed."""
    rows = run.world.eval
    np.testing.assert_allclose(call(without_user_features(rows)), call(rows), rtol=1e-5, atol=1e-6)
    lie = {"F": "M", "M": "F"}
    otherwise = [{**row, features.USER_GENDER: lie[row[features.USER_GENDER]]} for row in rows]
    differs = not np.allclose(call(otherwise), call(rows), rtol=1e-5, atol=1e-6)
    assert differs == (features.USER_GENDER in config.query_features)
    # Rows of eval come after all of train, so their histories are what the bundle's table has of the users.
    assert all(len(row[features.HISTORY_TITLE]) >= features.TRAIN_HISTORY_LENGTH for row in rows)
    others = [{**row, **_history(other)} for row, other in zip(rows, reversed(rows), strict=True)]
    assert (not np.allclose(call(others), call(rows), rtol=1e-5, atol=1e-6)) == bool(config.history)
    # Ratings of the future in a request have no effect.
    future = [_with_future(row) for row in rows]
    np.testing.assert_allclose(call(future), call(rows), rtol=1e-5, atol=1e-6)


def _history(row: Row) -> dict:
    return {feature.name: row[feature.name] for feature in features.HISTORY_FEATURES}


def _with_future(row: Row) -> dict:
    """The row with a rating of its own second and a later one before its others."""
    later = {
        features.HISTORY_TITLE: [row[features.MOVIE_TITLE]] * 2,
        features.HISTORY_RATING: [5.0, 1.0],
        features.HISTORY_TIMESTAMP: [row[features.TIMESTAMP] + 5, row[features.TIMESTAMP]],
    }
    return {**row, **{name: [*later[name], *row[name]] for name in later}}
