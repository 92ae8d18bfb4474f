"""The other side trains what the tutorial preset trains."""

from benchmarks import tutorial_models
from modules import hyperparameters


def test_both_sides_have_the_same_hyper_parameters() -> None:
    preset = hyperparameters.tutorial()
    for name in ("retrieval", "ranking", "multitask"):
        ours, theirs = getattr(preset, name), tutorial_models.TUTORIALS[name]
        assert getattr(ours, "hidden_units", ()) == theirs.hidden_units
        assert getattr(ours, "retrieval_weight", theirs.retrieval_weight) == theirs.retrieval_weight
        assert (ours.embedding_dim, ours.epochs) == (tutorial_models.DIM, tutorial_models.EPOCHS)
        assert (ours.optimizer, ours.learning_rate) == ("adagrad", tutorial_models.LEARNING_RATE)
        assert ours.batch_size == tutorial_models.TRAIN_BATCH
