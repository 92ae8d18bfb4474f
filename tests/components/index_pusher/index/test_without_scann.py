"""Where ScaNN cannot be imported: what is pushed, how it is announced, and which bundles can be loaded."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import subprocess
import sys

import pytest

from components.batch_recommender import recommending
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index import scann_operations, searches, selection
from components.index_pusher.push import push
from pipeline import config as configuration
from runners import flags
from serving import manifest
from tests.conftest import Pushed, needs_scann

SCRIPT = pathlib.Path(__file__).parents[4] / "recommend.py"
# recommend.py where `import scann` fails, with the project out of reach.
RECOMMEND = """
import runpy, sys
sys.modules["scann"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def remove(patch: pytest.MonkeyPatch) -> None:
    """Plant a Python without ScaNN."""
    version = importlib.metadata.version

    def version_of_others(name: str) -> str:
        if name == "scann":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    patch.setitem(sys.modules, "scann", None)
    patch.setattr(importlib.metadata, "version", version_of_others)
    assert not scann_operations.installed()


@pytest.fixture
def without_scann(monkeypatch: pytest.MonkeyPatch) -> None:
    remove(monkeypatch)


@pytest.fixture(scope="module")
def pushed_without(planted, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    """The planted models, pushed where there is no ScaNN; fresh processes load the bundle."""
    root = tmp_path_factory.mktemp("without")
    with pytest.MonkeyPatch.context() as patch:
        remove(patch)
        figures = push(planted.sources, planted.blessings, str(root / "destination"), str(root / "archive"))
    return Pushed(planted, root / "destination", figures)


def recommend(destination: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-I",
        "-c",
        RECOMMEND,
        str(SCRIPT),
        "--model-dir",
        str(destination),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_index_is_tensorflows_own_exact_search_and_the_bundle_says_so(pushed_without) -> None:
    figures = pushed_without.figures
    assert figures["pushed"] == 1
    assert (figures["index_kind"], figures["index_recall"], figures["index_pays"]) == (
        "brute_force",
        1.0,
        1.0,
    )
    content = manifest.verify(figures["pushed_destination"])
    assert content["metrics"]["index_kind"] == "brute_force"
    models = ("ranking", "recommend", "recommend_exact", "retrieval")
    assert content["models"] == {name: {"scann": False} for name in models}
    assert "scann" not in content["libraries"] and "tensorflow" in content["libraries"]
    card = pathlib.Path(figures["pushed_destination"], "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "ScaNN is not installed: the index is TensorFlow's own exact search." in card


@needs_scann
def test_models_that_are_published_with_scanns_index_are_published_anew_without(
    pushed, without_scann
) -> None:
    identity = manifest.read(pushed.figures["pushed_destination"])["identity"]
    assert manifest.digest_of(pushed.planted.sources.digests()) != identity


def test_recommend_answers_as_the_exact_build(pushed, pushed_without) -> None:
    done = recommend(pushed_without.destination, "--user", "39", "--json")
    assert done.returncode == 0, done.stderr
    world = pushed.planted.world
    scores = world.embeddings @ world.user_vectors[38]
    scores[world.seen[38]] = float("-inf")
    titles = [row["movie_title"] for row in json.loads(done.stdout)["recommendations"]]
    assert titles == [world.titles[row] for row in (-scores).argsort()[:10]]


@needs_scann
def test_recommend_says_what_to_do_about_an_index_of_scanns(pushed) -> None:
    done = recommend(pushed.destination, "--user", "39")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "has a ScaNN index: import of scann halted" in line
    assert line.endswith(
        "Run it where ScaNN is installed, or run the pipeline here, which then makes an index without ScaNN."
    )


def test_beams_workers_load_it(pushed_without, without_scann) -> None:
    path = pathlib.Path(pushed_without.figures["pushed_destination"], "recommend")
    assert recommending.Model(str(path)).serve.structured_outputs


@pytest.mark.parametrize("size", [1_664, 250_000])
def test_catalogues_of_every_size_are_searched_exactly(without_scann, size: int) -> None:
    chosen = searches.plan_of_installed(IndexConfig(), size)
    assert chosen.kind == "brute_force" and searches.widen(chosen, IndexConfig(), size) is None


@pytest.mark.parametrize("name", ["num_leaves", "num_reordering_candidates"])
def test_a_setting_of_scanns_is_refused_before_the_run_and_by_the_pusher(without_scann, name: str) -> None:
    words = f"index.{name}=30 needs ScaNN, which is not installed"
    default = configuration.default()
    with pytest.raises(ValueError, match=words):
        flags.run_here(default.model_copy(update={"index": IndexConfig(**{name: 30})}))
    flags.run_here(default)
    with pytest.raises(Refusal, match=words):
        searches.plan_of_installed(IndexConfig(**{name: 30}), 1_664)


def test_one_figure_stands_for_both_searches(without_scann, planted) -> None:
    world = planted.world
    _, measured = selection.build(world.embeddings, world.user_vectors, IndexConfig())
    assert measured.latency_ms == measured.brute_force_latency_ms > 0 and measured.recall == 1.0
