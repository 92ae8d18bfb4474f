"""What the tests of the scheduler share."""

from __future__ import annotations

import pathlib

import pytest

from common.progress import progress
from pipeline import config as configuration
from retraining.runs import Workspace
from tests.retraining.planted_runs import CONFIG, Planted, deliver


@pytest.fixture
def planted(tmp_path: pathlib.Path) -> Planted:
    data = tmp_path / "data"
    name = configuration.of_data(CONFIG, data).pipeline_name
    pipeline = Planted(Workspace(data, tmp_path / "runs", tmp_path / "pushed", name))
    deliver(pipeline, 1, 2, 3)
    return pipeline


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", progress.name)
    return caplog
