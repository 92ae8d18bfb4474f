"""Retrieval keeps the contract."""

from modules import hyperparameters as presets
from modules import retrieval
from tests.contracts.suite import RetrievalContract, TrainingContract, small


class TestDefault(TrainingContract, RetrievalContract):
    module = retrieval
    hyperparameters = small(presets.default().retrieval, learning_rate=0.02)


class TestTutorial(RetrievalContract):
    module = retrieval
    hyperparameters = small(presets.tutorial().retrieval, learning_rate=0.5)
