"""The default preset, with shorter trainings, on real MovieLens 100K: run, recommend, change a model."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from tests.e2e.conftest import EXECUTED, MODELS, SHORTER, manifest, run, steps, with_models

pytestmark = pytest.mark.e2e


# Titles for user 42, and then for the same request without the first five of them.
RECOMMEND_TWICE = """
import json, sys
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
request = {name: tf.constant(["unknown"]) for name in ("user_gender", "user_occupation")}
request |= {"user_id": tf.constant(["42"]), "timestamp": tf.constant([890000000], tf.int64)}
request |= {"user_age": tf.constant([-1], tf.int64), "k": tf.constant(20)}
history = {"title": tf.string, "rating": tf.float32, "timestamp": tf.int64}
request |= {f"history_{name}": tf.zeros([1, 0], dtype) for name, dtype in history.items()}
answers, excluded = [], [""]
for _ in range(2):
    answer = model.signatures["serving_default"](**request, exclude_title=tf.constant([excluded]))
    answers.append([title.decode() for title in answer["movie_title"].numpy()[0]])
    excluded = answers[0][:5]
print(json.dumps(answers))
"""


def ratings_of(root: pathlib.Path, split: str, user: str) -> set[str]:
    """List the titles of a user's rows, from what the ExampleGen wrote."""
    (folder,) = (root / "MovieLensExampleGen" / "examples").glob(f"*/Split-{split}")
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in ("user_id", "movie_title")}
    titles: set[str] = set()
    for records in tf.data.TFRecordDataset([str(p) for p in folder.iterdir()], "GZIP").batch(10_000):
        rows = tf.io.parse_example(records, spec)
        titles.update(title.decode() for title in rows["movie_title"][rows["user_id"] == user].numpy())
    return titles


def test_a_fresh_run_blesses_every_model_and_pushes(first_run: tuple[pathlib.Path, str]) -> None:
    root, output = first_run
    assert steps(output, "run") >= EXECUTED
    for model in MODELS:
        assert f"{model}: blessed" in output
    assert "Pushed version 1" in output
    assert os.readlink(root / "pushed" / "current") == "bundles/1"
    served = {path.parents[1].name for path in (root / "pushed" / "serving").glob("*/1/saved_model.pb")}
    assert served == {"recommend", "recommend_exact", "retrieval", "ranking", "multitask"}
    assert "Recommended to user 42" in output
    card = (root / "pushed" / "current" / "MODEL_CARD.md").read_text()
    for text in ("Release `ml-100k`", "| train rows | 79,803 |", "## Model: retrieval", "## Model: ranking"):
        assert text in card


def test_every_row_is_accounted_for(first_run: tuple[pathlib.Path, str]) -> None:
    _, output = first_run
    (line,) = re.findall(r"^ratings +([0-9,]+) +([0-9,]+) +([0-9,]+)", output, re.MULTILINE)
    assert line == ("100,000", "100,000", "0")


def test_what_was_pushed_recommends_unseen_titles_in_a_fresh_process(
    first_run: tuple[pathlib.Path, str],
) -> None:
    root, _ = first_run
    # The build that stock servers load: without ScaNN.
    path = root / "pushed" / "current" / "recommend_exact"
    command = [sys.executable, "-c", RECOMMEND_TWICE, str(path)]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    titles, others = json.loads(done.stdout.splitlines()[-1])
    assert len(set(titles)) == 20
    assert not set(titles) & ratings_of(root, "train", "42")
    assert others[:15] == titles[5:]


def test_all_parts_of_the_bundle_were_held_against_each_other(first_run: tuple[pathlib.Path, str]) -> None:
    root, _ = first_run
    rows = manifest(root)["metrics"]["parity"]
    parts = {row["part"] for row in rows}
    assert {"recommend", "recommend_exact", "tflite/ranking.tflite", "tflite/retrieval.tflite"} <= parts
    assert {"retrieval, query", "ranking, rate", "multitask, query", "multitask, rate"} <= parts
    assert all(row["difference"] <= row["bound"] and row["queries"] >= 400 for row in rows)


def test_a_changed_model_alone_is_trained_again_and_meets_the_champion(
    first_run: tuple[pathlib.Path, str], tmp_path: pathlib.Path
) -> None:
    root, _ = first_run
    served = manifest(root)
    worse = {"ranking": {"sweeps": 1, "burn_in": 0}}
    models = with_models(tmp_path, **{**SHORTER, **worse})
    output = run(root, *models, "--report", str(tmp_path / "report.json"))
    again = {"Trainer.ranking", "Evaluator.ranking", "IndexPusher"}
    assert again <= steps(output, "run")
    assert EXECUTED - again <= steps(output, "cached")
    # One draw is worse than the mean of many by more than its gate bears, so the champion stays.
    assert "ranking: not blessed" in output
    assert "not pushed" in output.lower()
    assert manifest(root) == served
