"""The default gates on made-up data in the shape of ml-1m: only models that deserve it are blessed."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.e2e.conftest import run, with_models
from tests.helpers import planted_series

pytestmark = pytest.mark.e2e

# Of 3,000 ratings two epochs teach the joint model too little.
MODELS: dict[str, dict] = {
    "retrieval": {"epochs": 8},
    "ranking": {"sweeps": 60, "burn_in": 20},
    "multitask": {"epochs": 2},
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("own")
    data = planted_series.write(root / "data")
    printed = run(root, *with_models(root, **MODELS), "--release", "ml-1m", "--data", str(data))
    return printed + "\n".join(sorted(os.listdir(pathlib.Path(root, "pushed", "serving"))))


def test_models_that_beat_their_baselines_are_pushed_though_the_data_are_not_movielens_100k(
    output: str,
) -> None:
    assert "retrieval: blessed" in output
    assert "ranking: blessed" in output
    assert "Pushed version 1" in output
    assert "Recommended to user 42" in output


def test_a_model_that_does_not_is_neither_blessed_nor_pushed(output: str) -> None:
    assert "multitask: not blessed: rmse must beat biases" in " ".join(output.split())
    assert output.endswith("ranking\nrecommend\nrecommend_exact\nretrieval")


def test_of_80_titles_the_depth_is_5_and_the_words_name_it(output: str) -> None:
    assert "top_5_categorical_accuracy_unseen" in output
    assert "top_k" not in output
