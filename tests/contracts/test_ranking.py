"""Ranking keeps the contract."""

from modules import hyperparameters as presets
from modules import ranking
from tests.contracts.suite import RatingContract, small


class TestDefault(RatingContract):
    module = ranking
    hyperparameters = small(presets.default().ranking, learning_rate=0.02)


class TestTutorial(RatingContract):
    module = ranking
    hyperparameters = small(presets.tutorial().ranking, epochs=60)
