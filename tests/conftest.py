"""Planted models and a bundle made of them, built once for the tests that need them.

TensorFlow, TFX and Beam are imported by what uses them, for the process that hands out the tests needs none.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from common import locks
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Blessing
from components.index_pusher.index import scann_operations
from components.index_pusher.proof import model_process, processes

if TYPE_CHECKING:
    from components.index_pusher.bundle import Sources
    from components.index_pusher.push import Blessings
    from tests.helpers import planted_models

# For one test of a whole pipeline, with the run that it reads: four times what the longest takes.
_PIPELINE_SECONDS = 2000
# Fixtures whose tests `make check` leaves out, and what takes long in them.
_SLOW_FIXTURES = {
    "planted_run": "runs Transform and trains models",
    "pushed": "pushes a bundle and loads its models in new interpreters",
    "pushed_without": "pushes a bundle",
}
# For tests of what ScaNN does; test_without_scann.py tests what is built where it is not installed.
needs_scann = pytest.mark.skipif(not scann_operations.installed(), reason="ScaNN is not installed")


@dataclasses.dataclass(frozen=True)
class Planted:
    """Folders that Trainers and the ExampleGen would have written, and the truth they hold."""

    world: planted_models.World
    sources: Sources

    @property
    def blessings(self) -> Blessings:
        """Both models blessed."""
        from components.index_pusher.push import Blessings

        return Blessings(Blessing(1, self.sources.retrieval_dir), Blessing(1, self.sources.ranking_dir))


@dataclasses.dataclass(frozen=True)
class Pushed:
    """A destination with version 1 of the planted models, and what the push returned."""

    planted: Planted
    destination: pathlib.Path
    figures: dict


@pytest.fixture(scope="module", autouse=True)
def frozen_libraries() -> None:
    """Look for garbage in a file's own objects alone: the libraries have a million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the SavedModels of a bundle here, which is quicker; the fixture `pushed` asks fresh processes."""

    def run(jobs: list[processes.Job]) -> list[processes.Columns]:
        loaded: dict = {}
        call = model_process.run_saved_model
        return [call(job.model, job.signature, dict(job.inputs), loaded) for job in jobs]

    monkeypatch.setattr(processes, "run_saved_models", run)


def shared_folder(
    factory: pytest.TempPathFactory, name: str, write: Callable[[pathlib.Path], None]
) -> pathlib.Path:
    """Return a folder that one process of pytest-xdist writes; the others wait until it is written.

    Args:
      factory: pytest's.
      name: of the folder.
      write: fills the empty folder.
    """
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, written = root / name, root / f"{name}.written"
    with locks.held(root / f"{name}.lock"):
        if not written.exists():
            shutil.rmtree(folder, ignore_errors=True)  # What another process failed to write.
            folder.mkdir()
            write(folder)
            written.touch()
    return folder


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    from components.index_pusher.bundle import Sources
    from tests.helpers import planted_models

    world = planted_models.make_world()

    def write(root: pathlib.Path) -> None:
        planted_models.write_model(world, root / "retrieval", planted_models.RETRIEVAL)
        planted_models.write_model(world, root / "ranking", planted_models.RANKING)
        planted_models.write_queries(world, root / "examples" / "Split-eval")
        planted_models.write_train(world, root / "examples" / "Split-train")

    root = shared_folder(tmp_path_factory, "planted-models", write)
    sources = Sources(
        retrieval_dir=str(root / "retrieval"),
        ranking_dir=str(root / "ranking"),
        queries_dir=str(root / "examples" / "Split-eval"),
        config=IndexConfig(),
        source_digest="0",
        split_dirs={"train": str(root / "examples" / "Split-train")},
        pipeline="planted",
    )
    return Planted(world, sources)


@pytest.fixture(scope="session")
def pushed(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    from components.index_pusher.push import push

    def write(root: pathlib.Path) -> None:
        figures = push(planted.sources, planted.blessings, str(root / "destination"), str(root / "archive"))
        (root / "figures.json").write_text(json.dumps(figures))

    root = shared_folder(tmp_path_factory, "pushed", write)
    return Pushed(planted, root / "destination", json.loads((root / "figures.json").read_text()))


@pytest.fixture(scope="session")
def planted_pipeline(tmp_path_factory: pytest.TempPathFactory):
    """A whole run on planted rows, for what is held against it."""
    from tests.helpers import planted_pipeline

    folder = shared_folder(tmp_path_factory, "planted-pipeline", planted_pipeline.run)
    return planted_pipeline.PlantedPipeline(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that both processes end at about the same time.

    Give whole pipelines longer; mark tests that use a slow fixture as slow. Where tests run, Beam is light.
    """
    from tests.helpers.beam import light

    light.use()
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.timeout(_PIPELINE_SECONDS))
        for fixture in _SLOW_FIXTURES.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow(_SLOW_FIXTURES[fixture]))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not item.get_closest_marker("e2e"), item.path not in slow))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Print no stacks of a whole pipeline, which is no hanging test where it takes longer than others may."""
    if item.get_closest_marker("e2e"):
        faulthandler.cancel_dump_traceback_later()
