"""A retrieval model that was trained with cold-start users knows those whose request describes them."""

from __future__ import annotations

import numpy as np

from modules import features
from modules.hyperparameters import TrainingConfig
from tests.contracts.suite.planted_run import Trained
from tests.contracts.suite.rows import QUERY_INPUTS
from tests.helpers import planted_ratings

SIDE = (features.USER_GENDER, features.USER_AGE, features.USER_OCCUPATION)
_TOLD = {features.USER_GENDER: b"F", features.USER_AGE: 30, features.USER_OCCUPATION: b"artist"}


class KnownNewcomers:
    """Part of the contract of a model that retrieves."""

    hyperparameters: TrainingConfig

    def described(self, trained: Trained) -> dict[str, bytes | int]:
        """Side features that the signature `seen` takes, with what stands for untold."""
        inputs = trained.signatures()[features.SEEN_SIGNATURE][0]
        assert inputs.items() <= QUERY_INPUTS.items()
        side = set(inputs) - {features.USER_ID, features.HISTORY_TITLE}
        defaults = {row.name: row.default for row in features.QUERY_FEATURES if row.name in side}
        return {n: d.encode() if isinstance(d, str) else int(d) for n, d in defaults.items()}

    def test_who_describes_themselves_is_known_to_a_model_that_learned_of_cold_start_users(
        self, trained: Trained
    ) -> None:
        untold = self.described(trained)
        assert set(untold) == (set(SIDE) if self.hyperparameters.unknown_share else set())
        # One for each feature, who tells of that alone, and the last, who tells nothing.
        size = len(untold) + 1
        asked = {
            name: np.array([_TOLD[name] if place == told else absent for told in range(size)])
            for place, (name, absent) in enumerate(untold.items())
        }
        asked[features.USER_ID] = np.array([planted_ratings.NEWCOMER] * size, object)
        asked[features.HISTORY_TITLE] = np.full((size, 1), b"", object)
        answer = trained.ask(features.SEEN_SIGNATURE, asked)
        assert answer[features.USER_KNOWN].tolist() == [True] * len(untold) + [False]
        assert (answer[features.SEEN] == -1).all()
