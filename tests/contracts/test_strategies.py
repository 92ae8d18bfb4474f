"""Training over two workers on loopback, as Vertex AI starts them: the chief exports as one process would."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from modules import features, multitask, strategies, training
from modules import hyperparameters as presets
from tests.contracts.suite.model import small
from tests.contracts.suite.planted_run import PlantedRun, Trained
from tests.contracts.suite.rows import columns
from tests.helpers import planted_ratings

ROOT = pathlib.Path(__file__).parents[2]
# Nothing is drawn while training, batches fill the train split, and one pass has one order: so every step is
# the same step.
HYPERPARAMETERS = small(
    presets.default().multitask,
    learning_rate=0.02,
    batch_size=16,
    epochs=1,
    history={"dropout": 0.0},
    unknown_share=0.0,
)
WORKER = "tests.contracts.suite.strategy_worker"
WORKERS = (("chief", 0), ("worker", 0))


def _addresses() -> dict[str, list[str]]:
    # Below the ports that Linux gives away by itself: to other tests, before the workers take theirs.
    chief = _free_port(20_000 + os.getpid() % 10_000)
    return {"chief": [f"localhost:{chief}"], "worker": [f"localhost:{_free_port(chief + 1)}"]}


def _free_port(port: int) -> int:
    with socket.socket() as trial:
        while trial.connect_ex(("localhost", port)) == 0:
            port += 1
    return port


@pytest.fixture(scope="module")
def chief(
    planted_run: PlantedRun, process: concurrent.futures.Executor, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    folder = tmp_path_factory.mktemp("workers")
    serving_dir = str(folder / "model" / features.SERVING_DIR)
    custom_config = {
        "hyperparameters": HYPERPARAMETERS.model_dump(mode="json"),
        "strategy": "multi_worker",
    }
    fn_args = json.dumps(vars(planted_run.fn_args(serving_dir, custom_config)))
    addresses, workers = _addresses(), []
    for kind, index in WORKERS:
        cluster = json.dumps({"cluster": addresses, "task": {"type": kind, "index": index}})
        with open(folder / kind, "w") as log:
            command = [sys.executable, "-m", WORKER, multitask.__name__, fn_args]
            environ = {**os.environ, "TF_USE_LEGACY_KERAS": "1", strategies.CLUSTER: cluster}
            workers.append(subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log))
    try:
        codes = [worker.wait(timeout=250) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert codes == [0, 0], [(folder / kind).read_text()[-3000:] for kind, _ in WORKERS]
    return Trained(serving_dir, (), (), process)


@pytest.fixture(scope="module")
def alone(planted_run: PlantedRun) -> Trained:
    assert len(planted_run.world.train) % HYPERPARAMETERS.batch_size == 0
    return planted_run.train(multitask, HYPERPARAMETERS, export=False)


def test_two_workers_reach_what_one_process_does(
    chief: Trained, alone: Trained, planted_run: PlantedRun
) -> None:
    request = columns(planted_run.world.eval, features.MOVIE_TITLE)
    inputs = planted_run.transformed_eval
    query_tower, candidate_tower, head = alone.rating
    expected = head(query_tower(inputs), candidate_tower(inputs)).numpy()[:, 0]
    expected = np.clip(expected, planted_ratings.DISLIKED_RATING, planted_ratings.LIKED_RATING)
    rated = chief.call(features.RATING_SIGNATURE, request)[features.PREDICTED_RATING]
    np.testing.assert_allclose(rated, expected, atol=1e-3)
    del request[features.MOVIE_TITLE]
    query = chief.call(features.QUERY_SIGNATURE, request)[features.QUERY_EMBEDDING]
    np.testing.assert_allclose(query, alone.retrieval[0](inputs), atol=1e-3)


def test_they_find_the_planted_preference(chief: Trained, planted_run: PlantedRun) -> None:
    liked = [r for r in planted_run.world.eval if r[features.RATING] == planted_ratings.LIKED_RATING]
    ranks = chief.ask_rows(features.EVAL_SIGNATURE, liked)[features.RANK_UNSEEN]
    assert (ranks < 5).mean() > 0.9


def _resolved(kind: str, index: int, *jobs: str) -> mock.Mock:
    resolver = mock.Mock(task_type=kind, task_id=index)
    resolver.cluster_spec.return_value = tf.train.ClusterSpec({job: ["localhost:1"] for job in jobs})
    return mock.Mock(cluster_resolver=resolver)


@pytest.mark.parametrize(
    ("strategy", "chief"),
    [
        (None, True),
        (tf.distribute.OneDeviceStrategy("/cpu:0"), True),
        (_resolved("chief", 0, "chief", "worker"), True),
        (_resolved("worker", 0, "chief", "worker"), False),
        (_resolved("worker", 0, "worker"), True),
        (_resolved("worker", 1, "worker"), False),
    ],
    ids=["none", "one device", "chief", "its worker", "first worker", "second worker"],
)
def test_one_process_writes(strategy: tf.distribute.Strategy | None, chief: bool) -> None:
    assert strategies.is_chief(strategy) == chief


def test_a_worker_waits_for_the_chiefs_model(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = _resolved("worker", 1, "worker")
    looked: list[float] = []

    def sleep(seconds: float) -> None:
        looked.append(seconds)
        if len(looked) == 3:
            (tmp_path / "saved_model.pb").touch()

    monkeypatch.setattr(strategies.time, "sleep", sleep)
    assert strategies.left_to_chief(worker, f"{tmp_path}/")
    assert len(looked) == 3
    assert not strategies.left_to_chief(_resolved("worker", 0, "worker"), str(tmp_path / "none"))
    monkeypatch.setattr(strategies, "_EXPORTED_WITHIN", 0.0)
    with pytest.raises(TimeoutError, match="the chief must write .*none/saved_model.pb within an hour"):
        strategies.left_to_chief(worker, str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("kind", "environ", "words"),
    [
        ("multi_worker", {}, "must find the workers' addresses in TF_CONFIG"),
        ("multi_worker", {"TF_CONFIG": "{}"}, "must find the workers' addresses in TF_CONFIG"),
        ("tpu", {}, "strategy must be none, mirrored or multi_worker; received 'tpu'"),
    ],
)
def test_a_strategy_without_its_cluster_is_refused(kind: str, environ: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        strategies.make(kind, environ)


def test_a_batch_larger_than_the_train_split_is_refused(planted_run: PlantedRun) -> None:
    config = HYPERPARAMETERS.model_copy(update={"batch_size": 10_000})
    arguments = {"hyperparameters": config.model_dump(mode="json"), "strategy": "mirrored"}
    with pytest.raises(ValueError, match="batch_size of multitask must be from .* received 10000"):
        multitask.run_fn(planted_run.fn_args("nowhere", arguments))


def test_one_machine_trains_over_its_devices(alone: Trained, planted_run: PlantedRun) -> None:
    arguments = {"hyperparameters": HYPERPARAMETERS.model_dump(mode="json"), "strategy": "mirrored"}
    data = training.load(planted_run.fn_args("nowhere", arguments))
    assert isinstance(data.strategy, tf.distribute.MirroredStrategy)
    fitted = multitask.fit(HYPERPARAMETERS, data)
    inputs = planted_run.transformed_eval
    np.testing.assert_allclose(fitted.query_tower(inputs), alone.rating[0](inputs), atol=1e-3)
