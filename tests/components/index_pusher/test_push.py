"""The push as a whole, without TFX: what it refuses, and that it returns the reason."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import threading

import pytest

from components.index_pusher.bundle import Sources, with_multitask
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Blessing, Refusal
from components.index_pusher.index import scann_operations
from components.index_pusher.push import Blessings, push
from modules import features
from serving import manifest, publish
from tests.helpers import planted_models

pytestmark = [pytest.mark.usefixtures("in_process"), pytest.mark.slow("pushes many times")]


class Refused:
    """Pushes that must be refused."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.archive = root / "archive"

    def push(self, sources: Sources, blessings: Blessings | None = None) -> dict:
        both = blessings or Blessings(Blessing(1, sources.retrieval_dir), Blessing(1, sources.ranking_dir))
        figures = push(sources, both, str(self.root / "destination"), str(self.archive))
        assert figures["pushed"] == 0 and "pushed_version" not in figures
        assert not (self.root / "destination" / "current").exists()
        assert list(self.archive.iterdir()) == [], "nothing half-built may be taken for an output"
        return figures


@pytest.fixture
def refused(tmp_path: pathlib.Path) -> Refused:
    return Refused(tmp_path)


def test_blessed_models_are_pushed_with_their_figures(pushed) -> None:
    figures = pushed.figures
    assert (figures["pushed"], figures["pushed_version"], figures["published_anew"]) == (1, 1, 1)
    assert figures["pushed_destination"] == str(pushed.destination / "bundles" / "1")
    assert figures["index_recall"] >= 0.99 and figures["recommend_recall"] >= 0.99
    assert figures["num_candidates"] == 300
    assert 0 <= figures["tflite_max_difference"] <= 1e-5
    assert figures["index_latency_ms"] > 0 and figures["brute_force_latency_ms"] > 0
    assert figures["index_pays"] == figures["brute_force_latency_ms"] / figures["index_latency_ms"]
    build = "recommend" if figures["index_pays"] >= 1 else "recommend_exact"
    assert figures["index_build"] == build
    content = manifest.verify(figures["pushed_destination"])
    assert content["sources"] == pushed.planted.sources.digests()


def test_models_that_an_operator_took_out_of_service_stay_out(pushed, tmp_path: pathlib.Path) -> None:
    planted, destination = pushed.planted, str(tmp_path / "destination")
    before = tmp_path / "before"
    shutil.copytree(pushed.figures["pushed_destination"], before)
    manifest.write(str(before), {"retrieval_model": "an earlier one"}, {})
    publish.publish(str(before), destination)
    publish.publish(pushed.figures["pushed_destination"], destination)
    publish.rollback(destination)

    archive = tmp_path / "archive"
    again = push(planted.sources, planted.blessings, destination, str(archive))
    assert again["pushed"] == 0 and list(archive.iterdir()) == []
    assert again["reason"] == (
        "version 2 is of the same models and was withdrawn; to serve it again: "
        f"python -m serving promote {destination} 2"
    )
    assert (tmp_path / "destination" / "current").resolve().name == "1"

    publish.promote(destination, 2)
    again = push(planted.sources, planted.blessings, destination, str(archive))
    assert (again["pushed"], again["pushed_version"], again["published_anew"]) == (1, 2, 0)


def test_one_multitask_model_serves_as_both(planted, multitask_dir: str, tmp_path: pathlib.Path) -> None:
    sources = dataclasses.replace(planted.sources, retrieval_dir=multitask_dir, ranking_dir=multitask_dir)
    blessing = Blessing(1, multitask_dir)
    figures = push(sources, Blessings(blessing, blessing), str(tmp_path / "d"), str(tmp_path / "archive"))
    assert figures["pushed"] == 1 and figures["recommend_recall"] == 1.0


def test_a_blessed_multitask_model_is_in_the_bundle_as_it_is(pushed_with_multitask) -> None:
    figures = pushed_with_multitask
    content = manifest.verify(figures["pushed_destination"])
    assert content["models"] == {
        "multitask": {"scann": False},
        "ranking": {"scann": False},
        "recommend": {"scann": scann_operations.installed()},
        "recommend_exact": {"scann": False},
        "retrieval": {"scann": False},
    }
    assert "multitask_model" in content["sources"] and "multitask_left_out" not in figures
    parts = {row["part"] for row in content["metrics"]["parity"]}
    assert {"multitask, query", "multitask, rate", "multitask, serving_default"} < parts


@pytest.fixture(scope="module")
def multitask_dir(planted, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("multitask") / "model"
    return planted_models.write_model(
        planted.world, folder, planted_models.RETRIEVAL + planted_models.RANKING
    )


@pytest.fixture
def pushed_with_multitask(planted, multitask_dir: str, tmp_path: pathlib.Path) -> dict:
    sources = with_multitask(planted.sources, multitask_dir, Blessing(1, multitask_dir))
    return push(sources, planted.blessings, str(tmp_path / "destination"), str(tmp_path / "archive"))


def test_an_unblessed_multitask_model_is_left_out_and_the_rest_is_pushed(
    planted, multitask_dir: str, tmp_path: pathlib.Path
) -> None:
    sources = with_multitask(planted.sources, multitask_dir, Blessing(0))
    assert sources.multitask_dir == "" and sources.digests() == planted.sources.digests()
    assert sources.multitask_left_out.startswith("the multitask model was not blessed")
    figures = push(sources, planted.blessings, str(tmp_path / "destination"), str(tmp_path / "archive"))
    assert (figures["pushed"], figures["multitask_left_out"]) == (1, sources.multitask_left_out)
    assert not (tmp_path / "archive" / "multitask").exists()


@pytest.mark.parametrize(
    "retrieval, ranking, words",
    [
        (Blessing(0), Blessing(1), "the retrieval model was not blessed"),
        (Blessing(1), Blessing(0), "the ranking model was not blessed"),
        (Blessing(None), Blessing(1), "the retrieval model has no blessing"),
        (Blessing(1), Blessing(None), "the ranking model has no blessing"),
        (Blessing(1), Blessing(1, "models/other"), "the ranking model's blessing is about another model"),
    ],
)
def test_a_model_without_its_own_blessing_is_refused(
    planted, refused: Refused, retrieval: Blessing, ranking: Blessing, words: str
) -> None:
    assert words in refused.push(planted.sources, Blessings(retrieval, ranking))["reason"]


def test_a_refused_multitask_model_is_named_where_it_does_both(planted, refused: Refused) -> None:
    sources = dataclasses.replace(planted.sources, ranking_dir=planted.sources.retrieval_dir)
    reason = refused.push(sources, Blessings(Blessing(0), Blessing(0)))["reason"]
    assert reason.startswith("the multitask model was not blessed")


def test_an_index_below_the_threshold_is_refused_with_the_recall(planted, refused: Refused) -> None:
    config = IndexConfig(recall_k=10, num_leaves=10, num_leaves_to_search=2, num_reordering_candidates=300)
    figures = refused.push(dataclasses.replace(planted.sources, config=config))
    assert "of the exact top 10, under the threshold of 0.99" in figures["reason"]
    assert 0.2 < figures["index_recall"] < 0.99
    assert figures["tflite_max_difference"] <= 1e-5, "what else was measured is recorded as well"
    failed = [row["part"] for row in figures["parity"] if row["difference"] > row["bound"]]
    assert set(failed) <= {"recommend"} and len(figures["parity"]) == 15


def test_a_tflite_file_that_differs_is_refused(planted, refused: Refused, tmp_path: pathlib.Path) -> None:
    model = planted_models.write_model(planted.world, tmp_path / "model", planted_models.RANKING, 1e-4)
    figures = refused.push(dataclasses.replace(planted.sources, ranking_dir=model))
    assert figures["reason"].startswith("tflite/ranking.tflite differs from rate of the Trainer's model")
    assert figures["tflite_max_difference"] == pytest.approx(1e-4, rel=0.1)


def test_the_list_is_evaluated_while_the_bundle_is_proved_and_its_refusal_holds_the_figures_of_both(
    planted, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=60)

    def prove(_: object) -> dict:
        both.wait()
        return {"index_recall": 1.0}

    def evaluate(*_: object) -> dict:
        both.wait()
        raise Refusal("the served list is worse than popularity", {"served_list": []})

    steps = {"build": lambda _, folder: refused.archive.mkdir(), "prove": prove, "evaluate": evaluate}
    for name, step in steps.items():
        monkeypatch.setattr(f"components.index_pusher.push.{name}", step)
    assert refused.push(planted.sources) == {
        **{"index_recall": 1.0, "served_list": []},
        **{"pushed": 0, "reason": "the served list is worse than popularity"},
    }


def test_a_trainer_that_wrote_no_tflite_file_is_refused(
    planted, refused: Refused, tmp_path: pathlib.Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(planted.sources.ranking_dir, model)
    exported = model / features.TFLITE_DIR / features.RANKING_TFLITE
    exported.unlink()
    figures = refused.push(dataclasses.replace(planted.sources, ranking_dir=str(model)))
    assert figures["reason"] == f"the ranking model holds no TFLite file at {exported}"


def test_other_code_or_another_index_is_another_identity(planted) -> None:
    sources = planted.sources
    same = dataclasses.replace(sources, retrieval_dir=sources.retrieval_dir + "/")
    assert same.digests() == sources.digests(), "where a model lies does not matter"
    others = [
        dataclasses.replace(sources, source_digest="1"),
        dataclasses.replace(sources, config=IndexConfig(num_leaves=5)),
        dataclasses.replace(sources, ranking_dir=sources.retrieval_dir),
    ]
    identities = {manifest.digest_of(each.digests()) for each in [sources, *others]}
    assert len(identities) == 4
