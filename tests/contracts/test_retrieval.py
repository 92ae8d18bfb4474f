"""Retrieval keeps the contract."""

from modules import hyperparameters as presets
from modules import retrieval
from tests.contracts.suite.model import TrainingContract, small
from tests.contracts.suite.retrieval import RetrievalContract


class TestDefault(TrainingContract, RetrievalContract):
    module = retrieval
    hyperparameters = small(presets.default().retrieval, learning_rate=0.02)


class TestTutorial(RetrievalContract):
    module = retrieval
    hyperparameters = small(presets.tutorial().retrieval, learning_rate=0.5)
