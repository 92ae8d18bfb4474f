"""Planted models and a bundle made of them, built once for the tests that need them."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from components.index_pusher import processes, savedmodel_process
from components.index_pusher.bundle import Sources
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Blessing
from components.index_pusher.push import Blessings, push
from tests import planted_models


@dataclasses.dataclass(frozen=True)
class Planted:
    """Folders that Trainers and the ExampleGen would have written, and the truth they hold."""

    world: planted_models.World
    sources: Sources

    @property
    def blessings(self) -> Blessings:
        """Both models blessed."""
        return Blessings(Blessing(1, self.sources.retrieval_dir), Blessing(1, self.sources.ranking_dir))


@dataclasses.dataclass(frozen=True)
class Pushed:
    """A destination with version 1 of the planted models, and what the push returned."""

    planted: Planted
    destination: pathlib.Path
    figures: dict


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the SavedModels of a bundle here, which is quicker; the fixture `pushed` asks fresh processes."""

    def ask(jobs: list[processes.Job], scann: bool) -> list[processes.Columns]:
        del scann
        loaded: dict = {}
        return [savedmodel_process.ask(job.model, job.signature, dict(job.inputs), loaded) for job in jobs]

    monkeypatch.setattr(processes, "ask_saved_models", ask)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    root = tmp_path_factory.mktemp("planted")
    world = planted_models.make_world()
    sources = Sources(
        retrieval_dir=planted_models.write_model(world, root / "retrieval", planted_models.RETRIEVAL),
        ranking_dir=planted_models.write_model(world, root / "ranking", planted_models.RANKING),
        queries_dir=planted_models.write_queries(world, root / "examples" / "Split-eval"),
        config=IndexConfig(),
        source_digest="0",
    )
    return Planted(world, sources)


@pytest.fixture(scope="session")
def pushed(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    root = tmp_path_factory.mktemp("pushed")
    figures = push(planted.sources, planted.blessings, str(root / "destination"), str(root / "archive"))
    return Pushed(planted, root / "destination", figures)


@pytest.fixture(scope="session")
def planted_pipeline(tmp_path_factory: pytest.TempPathFactory):
    """A whole run on planted rows, for what is held against it."""
    from tests.planted_pipeline import PlantedPipeline  # TFX, whose import takes seconds.

    return PlantedPipeline(tmp_path_factory.mktemp("pipeline"))
