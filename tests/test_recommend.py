"""recommend.py as a person runs it: a fresh process, elsewhere."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import recommend

SCRIPT = pathlib.Path(__file__).parents[1] / "recommend.py"


def run(*arguments: str, cwd: pathlib.Path) -> subprocess.CompletedProcess:
    """Run it with the project out of reach of Python's path."""
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def rows(output: str) -> list[list[str]]:
    """Cells of the table's rows."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in output.splitlines() if "│" in line
    ]


def test_a_known_user_gets_unseen_titles_with_scores_and_ratings(pushed, tmp_path: pathlib.Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "pushed").symlink_to(pushed.destination)
    done = run("--user", "39", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    world = pushed.planted.world
    scores = world.embeddings @ world.user_vectors[38]
    scores[world.seen[38]] = -np.inf
    best = np.argsort(-scores)[:10]
    table = rows(done.stdout)
    assert [row[:3] for row in table] == [
        [str(place), world.titles[row], f"{scores[row]:.4f}"] for place, row in enumerate(best, 1)
    ]
    assert all(0 < float(row[3]) < 8 for row in table)
    assert done.stdout.startswith("Recommended to user 39, without titles already rated (version 1):\n")
    assert len(done.stdout.splitlines()) == 1 + 3 + 10 + 1, "nothing else is printed"


def test_an_unknown_user_gets_popular_titles_and_is_told_so(pushed, tmp_path: pathlib.Path) -> None:
    done = run("--user", "[red]nobody", "--k", "2", "--model-dir", str(pushed.destination), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "User [red]nobody is unknown to the model; the most popular titles instead" in done.stdout
    world = pushed.planted.world
    best = np.argsort(-world.popularity)[:2]
    assert [row[1:3] for row in rows(done.stdout)] == [
        [world.titles[best[0]], "299"],
        [world.titles[best[1]], "298"],
    ]


def test_a_user_who_has_seen_nearly_everything_is_told_how_many_remain(
    pushed, tmp_path: pathlib.Path
) -> None:
    done = run("--user", "40", "--k", "7", "--model-dir", str(pushed.destination), cwd=tmp_path)
    assert done.returncode == 0
    assert len(rows(done.stdout)) == 3
    assert done.stdout.endswith("3 titles remain of the 7 asked for.\n")


def test_inputs_that_it_does_not_know_are_left_unknown(tmp_path: pathlib.Path) -> None:
    specs = {
        "user_id": tf.TensorSpec([None], tf.string),
        "timestamp": tf.TensorSpec([None], tf.int64),
        "k": tf.TensorSpec([], tf.int32),
        "user_country": tf.TensorSpec([None], tf.string),
        "user_age": tf.TensorSpec([None], tf.int64),
        "history_title": tf.TensorSpec([None, None], tf.string),
        "history_rating": tf.TensorSpec([None, None], tf.float32),
        "history_timestamp": tf.TensorSpec([None, None], tf.int64),
    }

    def echo(*columns: tf.Tensor) -> dict[str, tf.Tensor]:
        named = zip(specs, columns, strict=True)
        return {name: column[None] if name == "k" else tf.identity(column) for name, column in named}

    named = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()]
    model = tf.Module()
    model.serve = tf.function(echo, input_signature=named)
    tf.saved_model.save(model, str(tmp_path), signatures=model.serve)
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    answer = recommend.ask(serve, recommend.parse(["--user", "7", "--k", "3", "--timestamp", "9"]))
    assert {name: np.asarray(value).tolist() for name, value in answer.items()} == {
        "user_id": b"7",
        "timestamp": 9,
        "k": 3,
        "user_country": b"unknown",
        "user_age": -1,
        "history_title": [],
        "history_rating": [],
        "history_timestamp": [],
    }


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--user", "1"), "nothing has been pushed to runs/pushed. Run the pipeline first"),
        (("--user", "1", "--k", "0"), "--k: must be a whole number from 1 to 2147483647, received '0'"),
        (("--user", "1", "--k", "ten"), "received 'ten'"),
        (("--user", "1", "--timestamp", "-1"), "--timestamp: must be a whole number from 0"),
        ((), "the following arguments are required: --user"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: pathlib.Path, arguments: tuple, words: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr


def _truncate_manifest(bundle: pathlib.Path) -> None:
    (bundle / "manifest.json").write_text((bundle / "manifest.json").read_text()[:50])


def _change_a_file(bundle: pathlib.Path) -> None:
    with open(bundle / "recommend" / "saved_model.pb", "r+b") as file:
        file.write(b"\x00")


def _lose_a_file(bundle: pathlib.Path) -> None:
    (bundle / "recommend" / "variables" / "variables.index").unlink()


@pytest.mark.parametrize(
    "damage, words",
    [
        (_truncate_manifest, "has no readable manifest.json"),
        (_change_a_file, "is damaged: recommend/saved_model.pb has changed"),
        (_lose_a_file, "lacks recommend/variables/variables.index"),
        (shutil.rmtree, "which is gone"),
    ],
)
def test_a_broken_bundle_is_one_line_and_exit_code_2(
    pushed, tmp_path: pathlib.Path, damage, words: str
) -> None:
    destination = tmp_path / "destination"
    shutil.copytree(pushed.destination, destination, symlinks=True)
    damage(destination / "bundles" / "1")
    done = run("--user", "1", "--model-dir", str(destination), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr and "Run the pipeline again." in done.stderr
