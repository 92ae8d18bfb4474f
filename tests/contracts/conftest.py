"""One fresh process and one run of Transform for the contracts of all models."""

from __future__ import annotations

import concurrent.futures
import pathlib
import types
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.contracts.suite")

from tests.conftest import shared_folder  # noqa: E402
from tests.contracts.suite import fresh_process  # noqa: E402
from tests.contracts.suite.planted_run import PlantedRun, write_artifacts  # noqa: E402


@pytest.fixture(scope="session")
def process() -> Iterator[concurrent.futures.Executor]:
    with fresh_process.start() as executor:
        yield executor


@pytest.fixture(scope="session")
def planted_run(tmp_path_factory: pytest.TempPathFactory, process: concurrent.futures.Executor) -> PlantedRun:
    artifacts = shared_folder(tmp_path_factory, "planted-ratings", write_artifacts)
    return PlantedRun(artifacts, tmp_path_factory.mktemp("models"), process)


@pytest.fixture
def fn_args(planted_run: PlantedRun, tmp_path: pathlib.Path) -> types.SimpleNamespace:
    """What a tuner_fn reads; the eval split is nowhere."""
    args = planted_run.fn_args("nowhere", {})
    args.eval_files, args.working_dir = [str(tmp_path / "absent" / "*")], str(tmp_path)
    return args
