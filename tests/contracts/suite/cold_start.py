"""A retrieval model that was trained with cold-start users serves those whose request has side features."""

from __future__ import annotations

import numpy as np

from modules import features
from modules.hyperparameters import TrainingConfig
from tests.contracts.suite.planted_run import Trained
from tests.contracts.suite.rows import QUERY_INPUTS
from tests.helpers import planted_ratings

SIDE = (features.USER_GENDER, features.USER_AGE, features.USER_OCCUPATION)
_GIVEN = {features.USER_GENDER: b"F", features.USER_AGE: 30, features.USER_OCCUPATION: b"artist"}


class KnownColdStartUsers:
    """Part of the contract of a model that retrieves."""

    hyperparameters: TrainingConfig

    def side_features(self, trained: Trained) -> dict[str, bytes | int]:
        """Side features that the signature `seen` takes, with their values for unknown."""
        inputs = trained.signatures()[features.SEEN_SIGNATURE][0]
        assert inputs.items() <= QUERY_INPUTS.items()
        side = set(inputs) - {features.USER_ID, features.HISTORY_TITLE}
        defaults = {row.name: row.default for row in features.QUERY_FEATURES if row.name in side}
        return {n: d.encode() if isinstance(d, str) else int(d) for n, d in defaults.items()}

    def test_a_described_user_is_known_to_a_model_trained_with_cold_start_users(
        self, trained: Trained
    ) -> None:
        unknown = self.side_features(trained)
        assert set(unknown) == (set(SIDE) if self.hyperparameters.unknown_share else set())
        size = len(unknown) + 1
        # Row i gives the i-th side feature alone; the last row gives none.
        request = {
            name: np.array([_GIVEN[name] if row == feature else absent for row in range(size)])
            for feature, (name, absent) in enumerate(unknown.items())
        }
        request[features.USER_ID] = np.array([planted_ratings.COLD_START_USER] * size, object)
        request[features.HISTORY_TITLE] = np.full((size, 1), b"", object)
        answer = trained.call(features.SEEN_SIGNATURE, request)
        assert answer[features.USER_KNOWN].tolist() == [True] * len(unknown) + [False]
        assert (answer[features.SEEN] == -1).all()
