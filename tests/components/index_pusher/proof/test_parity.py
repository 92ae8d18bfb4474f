"""The parity proof: it passes on an honest bundle, and refuses one in which damage was planted.

All tests but the first two run in this process; those two show that fresh processes are used.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher.bundle import Bundle, Models
from components.index_pusher.composite import recommender, signatures
from components.index_pusher.composite.order import Order
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index.queries import Requests, read_records
from components.index_pusher.index.searches import BruteForce, Index, Plan
from components.index_pusher.proof import parity, processes, recommend_check, tflite_files
from components.index_pusher.proof.processes import Job
from modules import features
from serving import manifest
from tests.conftest import needs_scann
from tests.helpers import planted_models


@pytest.fixture(scope="module")
def models(planted) -> Models:
    retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
    ranking = signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING)
    return Models(retrieval, ranking, Order(retrieval, ranking))


@pytest.fixture(scope="module")
def records(planted) -> list[bytes]:
    return read_records(planted.sources.queries_dir, 200)


@pytest.fixture(scope="module")
def other_ranking(planted, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ranking model that rates a little otherwise."""
    folder = tmp_path_factory.mktemp("other") / "ranking"
    return planted_models.write_model(
        planted.world, folder, planted_models.RANKING, history_weight=0.0101, tflite=False
    )


@pytest.fixture
def folder(pushed, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy to plant damage in."""
    return pathlib.Path(shutil.copytree(pushed.destination / "current", tmp_path / "bundle"))


@pytest.fixture
def bundle(pushed, folder, models, records) -> Bundle:
    sources = dataclasses.replace(pushed.planted.sources, config=IndexConfig(recall_k=50))
    return Bundle(sources, str(folder), models, records, {"index_recall": 1.0})


@pytest.fixture
def without_tflite(monkeypatch: pytest.MonkeyPatch) -> None:
    """What test_tflite_files.py tests, each of which starts processes."""
    monkeypatch.setattr(tflite_files, "compare", lambda *_: ({"tflite_max_difference": 0.0}, []))


def test_the_pushed_bundle_holds_the_table_of_all_comparisons(pushed) -> None:
    """Made by the push in fresh processes, on 200 ratings and five cold-start users."""
    rows = {
        (row["part"], row["measure"].split(",")[0]): row
        for row in manifest.read(str(pushed.destination / "current"))["metrics"]["parity"]
    }
    assert set(rows) == {
        ("tflite/ranking.tflite", "rating"),
        ("tflite/retrieval.tflite", "score"),
        ("tflite/ranking_quantized.tflite", "RMSE"),
        ("tflite/retrieval_quantized.tflite", "top-10"),
        ("retrieval, query", "embedding"),
        ("retrieval, serving_default", "score"),
        ("ranking, rate", "rating"),
        ("ranking, serving_default", "rating"),
        ("recommend", "score"),
        ("recommend", "rating"),
        ("recommend", "top 100"),
        ("recommend_exact, query", "embedding"),
        ("recommend_exact", "score"),
        ("recommend_exact", "rating"),
        ("recommend_exact", "titles at other ranks"),
    }
    for row in rows.values():
        assert row["difference"] <= row["bound"] and row["queries"] in (200, 205)
    assert rows["recommend_exact", "titles at other ranks"]["bound"] == 0


@needs_scann
def test_the_exact_build_needs_nothing_but_tensorflow_s_own_operations(pushed) -> None:
    """As in stock TF Serving, Triton or Java; the other build is there to show that the check can fail."""
    code = """
import json, pathlib, sys
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
def foreign(path):
    message = saved_model_pb2.SavedModel()
    message.ParseFromString(pathlib.Path(path, "saved_model.pb").read_bytes())
    graph = message.meta_graphs[0].graph_def
    own = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    ops = {node.op for node in nodes}
    return len(ops), sorted(op for op in ops - own if op_def_registry.get(op) is None)
found = {name: foreign(pathlib.Path(sys.argv[1], name)) for name in sys.argv[2:]}
exact = str(pathlib.Path(sys.argv[1], "recommend_exact"))
signature = tf.saved_model.load(exact).signatures["serving_default"]
assert "scann" not in sys.modules and "tensorflow_recommenders" not in sys.modules
print(json.dumps(found))
"""
    names = ("recommend_exact", "retrieval", "ranking", "recommend")
    process = subprocess.run(
        [sys.executable, "-I", "-c", code, str(pushed.destination / "current"), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    for name in names[:3]:
        assert found[name][0] > 10 and found[name][1] == [], name
    assert found["recommend"][1] == ["Scann>ScannSearchBatched", "Scann>TensorsToScann"]


@needs_scann
def test_the_build_on_scann_does_not_run_where_scann_is_not_loaded(pushed, models, records) -> None:
    """In the words of the process that the proof starts, which loads ScaNN for others after this one."""
    columns = Requests.of(records).columns
    oracle = recommend_check.oracle(models.order, columns, 50)
    job = Job(str(pushed.destination / "current" / "recommend"), "serving_default", oracle.request)
    other = dataclasses.replace(job, scann=True)
    with pytest.raises(Refusal, match="does not run in a fresh process: recommend without ScaNN: .*Scann>"):
        processes.run_saved_models([other, job])


def refused(bundle: Bundle) -> Refusal:
    with pytest.raises(Refusal) as error:
        parity.prove(bundle)
    assert error.value.figures["tflite_max_difference"] == 0.0, "what was measured before is not lost"
    return error.value


@pytest.mark.usefixtures("in_process", "without_tflite")
class TestDamage:
    def test_an_honest_bundle_passes(self, bundle) -> None:
        figures = parity.prove(bundle)
        assert (figures["recommend_recall"], figures["index_recall"]) == (1.0, 1.0)
        assert len(figures["parity"]) == 11

    def test_an_index_of_too_little_recall_is_refused_with_all_that_was_measured(self, bundle) -> None:
        refusal = refused(dataclasses.replace(bundle, figures={"index_recall": 0.5}))
        assert str(refusal).startswith(
            "the index returns 0.5000 of the exact top 50, under the threshold of 0.99"
        )
        assert refusal.figures["recommend_recall"] == 1.0 and len(refusal.figures["parity"]) == 11

    def test_another_ranking_model_is_refused(self, bundle, folder, other_ranking: str) -> None:
        _replace(folder / "ranking", signatures.serving_path(other_ranking))
        refusal = refused(bundle)
        assert str(refusal).startswith(
            "ranking, rate differs from the Trainer's model: rating, stars by 0.00"
        )
        failed = [row["part"] for row in refusal.figures["parity"] if row["difference"] > row["bound"]]
        assert failed == ["ranking, rate", "ranking, serving_default"]

    def test_a_retrieval_model_of_other_vectors_is_refused(self, planted, bundle, folder, tmp_path) -> None:
        vectors = planted.world.user_vectors.copy()
        vectors[7] *= 1.001
        world = dataclasses.replace(planted.world, user_vectors=vectors)
        other = planted_models.write_model(world, tmp_path / "other", planted_models.RETRIEVAL, tflite=False)
        _replace(folder / "retrieval", signatures.serving_path(other))
        refusal = refused(bundle)
        assert str(refusal).startswith("retrieval, query differs from the Trainer's model: embedding")

    def test_a_model_that_returns_a_title_that_is_no_candidate_is_refused(
        self, planted, bundle, folder, tmp_path
    ) -> None:
        titles = ["Unheard of (2031)", *planted.world.titles[1:]]
        world = dataclasses.replace(planted.world, titles=titles)
        other = planted_models.write_model(world, tmp_path / "other", planted_models.RETRIEVAL, tflite=False)
        _replace(folder / "retrieval", signatures.serving_path(other))
        words = "retrieval, serving_default returned 'Unheard of (2031)', which is no candidate"
        assert str(refused(bundle)).startswith(words)

    def test_a_composite_that_rates_otherwise_is_refused(
        self, bundle, folder, models, other_ranking: str
    ) -> None:
        ranking = signatures.load(other_ranking, "ranking", planted_models.RANKING)
        index = BruteForce(models.candidates.embeddings)
        _save(recommender.Recommender(Order(models.retrieval, ranking), index), folder)
        refusal = refused(bundle)
        assert str(refusal).startswith("recommend_exact differs from rate of the Trainer's model: rating")

    def test_an_exact_build_that_is_not_exact_is_refused(self, bundle, folder, models) -> None:
        """A recall of 0.99 and more is good enough for ScaNN's build, but not for this one."""
        index = _Swapped(models.candidates.embeddings)
        _save(recommender.Recommender(models.order, index), folder)
        refusal = refused(bundle)
        assert "recommend_exact differs from exact search: titles at other ranks by" in str(refusal)

    @needs_scann
    def test_a_coarse_index_is_refused_by_its_recall(self, bundle, folder, models) -> None:
        index = Index(models.candidates.embeddings, Plan("partitioned", 6, 2, 300), 50)
        composite = recommender.Recommender(models.order, index)
        _save(composite, folder, "recommend")
        refusal = refused(bundle)
        assert "of the exact top 50 without seen titles, under the threshold of 0.99" in str(refusal)
        assert 0.2 < refusal.figures["recommend_recall"] < 0.99


class _Swapped(tf.Module):
    """Finds all, and puts the second before the first."""

    namespaces = ()

    def __init__(self, embeddings: np.ndarray) -> None:
        super().__init__()
        self._embeddings = tf.Variable(embeddings)

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> Any:
        scores = tf.matmul(queries, self._embeddings, transpose_b=True)
        best, positions = tf.math.top_k(scores, k)
        order = tf.concat([[1, 0], tf.range(2, k)], axis=0)
        return tf.gather(positions, order, axis=1), tf.gather(best, order, axis=1)


def _replace(folder: pathlib.Path, by: str) -> None:
    shutil.rmtree(folder)
    shutil.copytree(by, folder)


def _save(composite: recommender.Recommender, folder: pathlib.Path, name: str = "recommend_exact") -> None:
    shutil.rmtree(folder / name)
    recommender.save(composite, str(folder / name))


@pytest.mark.usefixtures("in_process", "without_tflite")
def test_the_multitask_model_is_compared_with_its_own_trainers_model(
    planted, bundle, folder, models, tmp_path
) -> None:
    both = planted_models.RETRIEVAL + planted_models.RANKING
    own = planted_models.write_model(planted.world, tmp_path / "own", both, tflite=False)
    shutil.copytree(signatures.serving_path(own), folder / "multitask")
    with_it = dataclasses.replace(models, multitask=signatures.load(own, "multitask", both))
    bundle = dataclasses.replace(bundle, models=with_it)
    assert parity.prove(bundle)["recommend_recall"] == 1.0
    other = planted_models.write_model(
        planted.world, tmp_path / "other", both, history_weight=0.0101, tflite=False
    )
    _replace(folder / "multitask", signatures.serving_path(other))
    refusal = refused(bundle)
    assert str(refusal).startswith("multitask, rate differs from the Trainer's model")
    assert features.PREDICTED_RATING in with_it.multitask.signatures["rate"].structured_outputs
