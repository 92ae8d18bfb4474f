"""Multitask keeps the contract."""

from modules import hyperparameters as presets
from modules import multitask
from tests.contracts.suite import RatingContract, RetrievalContract, TrainingContract, small


class TestDefault(TrainingContract, RetrievalContract, RatingContract):
    module = multitask
    hyperparameters = small(presets.default().multitask, learning_rate=0.02)


class TestTutorial(RetrievalContract, RatingContract):
    module = multitask
    hyperparameters = small(presets.tutorial().multitask, learning_rate=0.5, hidden_units=(16,))
