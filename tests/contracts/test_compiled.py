"""A training whose steps XLA compiles, as it does those of a long one."""

from __future__ import annotations

import types

import numpy as np
import pytest

from modules import hyperparameters as presets
from modules import multitask, retrieval, training
from modules.hyperparameters import GradientConfig
from tests.contracts.suite.model import small
from tests.contracts.suite.planted_run import PlantedRun

pytestmark = pytest.mark.slow("XLA takes seconds for each training")

DEFAULT = presets.default()
RETRIEVAL = DEFAULT.retrieval.model_copy(update={"members": 1})
IN_BATCH = {"full_up_to": 0}


def queries(module: types.ModuleType, config: GradientConfig, planted_run: PlantedRun) -> np.ndarray:
    """Train, and embed the eval split's queries."""
    data = training.load(planted_run.fn_args("nowhere", {"hyperparameters": config.model_dump(mode="json")}))
    # A compiled training leaves a smaller last batch out; there is none.
    assert len(data.interactions.users) % config.batch_size == 0
    return module.fit(config, data).query_tower(planted_run.transformed_eval).numpy()


def in_four_steps(config: GradientConfig, planted_run: PlantedRun, **changes: object) -> GradientConfig:
    return small(config, batch_size=len(planted_run.world.train) // 4, epochs=1, **changes)


@pytest.mark.parametrize(
    ("module", "config", "changes"),
    [
        (retrieval, RETRIEVAL, {"sequence": {"embedding_dim": 8, "epochs": 1, "dropout": 0.0}}),
        (multitask, DEFAULT.multitask, {"softmax": IN_BATCH}),
    ],
)
def test_it_gives_the_weights_of_one_that_is_not_compiled(
    module, config, changes, planted_run: PlantedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    certain = {"unknown_share": 0.0, "history": {"dropout": 0.0}}
    config = in_four_steps(config, planted_run, **certain, **changes)
    plain = queries(module, config, planted_run)
    monkeypatch.setattr(training, "_STEPS_TO_COMPILE", 4)
    compiled = queries(module, config, planted_run)
    np.testing.assert_allclose(compiled, plain, rtol=1e-3, atol=1e-4)


def test_the_seed_decides_its_weights(planted_run: PlantedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_STEPS_TO_COMPILE", 4)
    config = in_four_steps(RETRIEVAL, planted_run, softmax={"max_negatives": 8})
    assert config.history and config.history.dropout and config.unknown_share
    assert len(planted_run.catalogue) > config.softmax.max_negatives
    first, again = (queries(retrieval, config, planted_run) for _ in range(2))
    np.testing.assert_array_equal(first, again)
