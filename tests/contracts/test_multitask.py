"""Multitask keeps the contract."""

from modules import hyperparameters as presets
from modules import multitask
from tests.contracts.suite.model import TrainingContract, small
from tests.contracts.suite.rating import DenseContract, InnerProductContract
from tests.contracts.suite.retrieval import RetrievalContract


class TestDefault(TrainingContract, RetrievalContract, InnerProductContract):
    module = multitask
    hyperparameters = small(presets.default().multitask, learning_rate=0.02)


class TestTutorial(RetrievalContract, DenseContract):
    module = multitask
    hyperparameters = small(presets.tutorial().multitask, learning_rate=0.5, hidden_units=(16,))
