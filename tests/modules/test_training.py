"""Which trainings are compiled."""

from __future__ import annotations

import pytest

from modules import hyperparameters, training


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs", "compiled"),
    [
        (51_200, 512, 5, True),
        (51_200, 512, 4, False),
        # A compiled training leaves out a batch that is not whole: here all rows, then nearly half of them.
        (511, 512, 500, False),
        (1_023, 512, 500, False),
        (51_711, 512, 5, True),
    ],
)
def test_a_long_training_of_whole_batches_is_compiled(
    rows: int, batch_size: int, epochs: int, compiled: bool
) -> None:
    changes = {"batch_size": batch_size, "epochs": epochs}
    config = hyperparameters.default().retrieval.model_copy(update=changes)
    assert training.is_compiled(rows, config) is compiled
