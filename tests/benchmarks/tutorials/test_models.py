"""The other side trains what the tutorial preset trains."""

from benchmarks.tutorials import models
from modules import hyperparameters


def test_both_sides_have_the_same_hyper_parameters() -> None:
    preset = hyperparameters.tutorial()
    for name in ("retrieval", "ranking", "multitask"):
        ours, theirs = getattr(preset, name), models.TUTORIALS[name]
        assert getattr(ours, "hidden_units", ()) == theirs.hidden_units
        assert getattr(ours, "retrieval_weight", theirs.retrieval_weight) == theirs.retrieval_weight
        assert (ours.embedding_dim, ours.epochs) == (models.DIM, models.EPOCHS)
        assert (ours.optimizer, ours.learning_rate) == ("adagrad", models.LEARNING_RATE)
        assert ours.batch_size == models.TRAIN_BATCH
