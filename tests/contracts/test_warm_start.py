"""A second training that begins where a first one ended, as the Trainer calls it."""

from __future__ import annotations

import pathlib
import types
from typing import Any
from unittest import mock

import pytest

from modules import features, hyperparameters, ranking, retrieval, training
from modules.export import saved_model, tflite
from tests.contracts.suite.model import small
from tests.contracts.suite.planted_run import PlantedRun

DEFAULT = hyperparameters.default()


def fit(
    module: types.ModuleType, planted_run: PlantedRun, folder: pathlib.Path, base: str | None, epochs: int
) -> tuple[str, list[float], list[str]]:
    """Call run_fn without its export; return the model's folder, every epoch's loss, and the log."""
    gradient = {retrieval: DEFAULT.retrieval, ranking: hyperparameters.ranking_preset("factorization")}
    # One batch an epoch, so that its loss is that of all rows, before the step.
    changes: dict[str, Any] = {
        "batch_size": len(planted_run.world.train),
        "learning_rate": 0.05,
        "history": None,
    }
    if module is retrieval:
        changes |= {"l2": 0.0, "sequence": None, "cold_start": None}
    config = small(gradient[module], epochs=epochs, learning_rate_decay="none", **changes)
    args = planted_run.fn_args(
        str(folder / features.SERVING_DIR),
        {"hyperparameters": config.model_dump(mode="json"), "warm_start": True},
    )
    args.base_model = base
    with (
        mock.patch.object(saved_model, "ServedModel"),
        mock.patch.object(tflite, "export"),
        mock.patch.object(training.progress, "info") as logged,
    ):
        module.run_fn(args)
    lines = [call.args[0] % call.args[1:] for call in logged.call_args_list]
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines if " loss " in line]
    return args.serving_model_dir, losses, lines


@pytest.mark.parametrize("module", [retrieval, ranking])
def test_training_goes_on_from_the_base(module, planted_run: PlantedRun, tmp_path: pathlib.Path) -> None:
    base, first, _ = fit(module, planted_run, tmp_path / "first", None, epochs=16)
    _, [goes_on], lines = fit(module, planted_run, tmp_path / "second", base, epochs=1)
    assert any("new to it are 0 of 48 users, 0 of 48 titles" in line for line in lines)
    assert goes_on < first[-1] < 0.97 * first[0]
