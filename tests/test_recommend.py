"""recommend.py as a person runs it: a fresh process, elsewhere."""

from __future__ import annotations

import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import recommend
from components.movielens_example_gen.parsing import parse
from tests.helpers.planted_requests import exact_best
from tests.helpers.processes.recommend_process import SCRIPT, run


def run_as_shells_do(redirection: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    line = f'"$0" "$@" {redirection}'
    environ = {**os.environ, **environment}
    command = ["sh", "-c", line, sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, check=False, env=environ)


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
        [str(rank), world.titles[row], f"{scores[row]:.4f}"] for rank, row in enumerate(best, 1)
    ]
    assert all(0 < float(row[3]) < 8 for row in table)
    assert done.stdout.startswith("Recommended to user 39, without titles already rated (version 1):\n")
    printed = done.stdout.splitlines()
    assert len(printed) == 1 + 3 + 10 + 1 + 1, "nothing else is printed"
    assert printed[-1] == f"Measured before it was published: {pushed.figures['served_list_in_words']}"


def test_an_unknown_user_gets_popular_titles_and_the_heading_says_so(pushed, tmp_path: pathlib.Path) -> None:
    done = run("--user", "[red]nobody", "--k", "2", "--model-dir", str(pushed.destination), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "User [red]nobody is unknown to the model; the most popular titles instead" in done.stdout
    world = pushed.planted.world
    best = np.argsort(-world.popularity)[:2]
    assert [row[1:3] for row in rows(done.stdout)] == [
        [world.titles[best[0]], "299"],
        [world.titles[best[1]], "298"],
    ]


def test_the_output_says_how_many_titles_remain_for_a_user_who_has_seen_nearly_all(
    pushed, tmp_path: pathlib.Path
) -> None:
    done = run("--user", "40", "--k", "7", "--model-dir", str(pushed.destination), cwd=tmp_path)
    assert done.returncode == 0
    assert len(rows(done.stdout)) == 3
    assert "\n3 titles remain of the 7 requested.\n" in done.stdout


def history_titles(world: Any, count: int) -> list[str]:
    return [world.titles[row] for row in (5, 100, 250)[:count]]


def best_titles(world: Any, vector: np.ndarray, seen: Sequence[str], k: int) -> list[str]:
    rows = exact_best(world, vector, [world.titles.index(title) for title in seen], k)
    return [world.titles[row] for row in rows]


def recommended(pushed: Any, capsys: pytest.CaptureFixture, *flags: str) -> str:
    """Recommend in this process, which has TensorFlow loaded; return what is printed."""
    assert recommend.main([*flags, "--model-dir", str(pushed.destination)]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out


def test_recent_titles_alone_are_enough(pushed, capsys: pytest.CaptureFixture) -> None:
    world = pushed.planted.world
    history = history_titles(world, 2)
    out = recommended(pushed, capsys, "--because", history[0], "--because", history[1], "--k", "4")
    assert out.startswith(f"Because you watched {history[0]}; {history[1]} (version 1):\n")
    vector = world.embeddings[[5, 100]].mean(axis=0)  # The planted model's query vector of a history.
    assert [row[1] for row in rows(out)] == best_titles(world, vector, history, 4)


def test_a_title_that_is_excluded_is_not_recommended(pushed, capsys: pytest.CaptureFixture) -> None:
    world = pushed.planted.world
    expected = best_titles(world, world.user_vectors[0], (), 5)  # User 1 has seen nothing.
    out = recommended(
        pushed, capsys, "--user", "1", "--exclude", expected[0], "--exclude", expected[3], "--k", "3"
    )
    assert [row[1] for row in rows(out)] == [expected[1], expected[2], expected[4]]


def test_the_path_may_have_what_tensorflow_takes_for_a_pattern(
    pushed, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    copy = shutil.copytree(pushed.destination, tmp_path / "films [1]*?\\", symlinks=True)
    before = os.getcwd()
    assert recommend.main(["--user", "1", "--model-dir", str(copy)]) == 0
    assert capsys.readouterr().out == recommended(pushed, capsys, "--user", "1")
    assert os.getcwd() == before


def test_json_is_a_line_for_each_user_of_a_file(
    pushed, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """More users than one request holds, among them an unknown one, and one for whom few titles remain."""
    world = pushed.planted.world
    users = [*world.users, *world.users, "nobody"]
    assert len(users) > recommend.BATCH
    file = tmp_path / "users.txt"
    file.write_text("".join(f"{user}\n" for user in users) + "\n")
    done = recommended(pushed, capsys, "--users", str(file), "--json", "--k", "5", "--timestamp", "880000000")
    answers = [json.loads(line) for line in done.splitlines()]
    assert [answer["user_id"] for answer in answers] == users
    assert {(answer["version"], answer["timestamp"]) for answer in answers} == {(1, 880000000)}
    assert [answer["served_by"] for answer in answers] == ["model"] * 80 + ["popularity"]
    for user, answer in enumerate(answers[:80]):
        listed = answer["recommendations"]
        seen = [world.titles[row] for row in world.seen[user % 40]]
        expected = best_titles(world, world.user_vectors[user % 40], seen, 5)
        assert [entry["movie_title"] for entry in listed] == expected
        assert [entry["rank"] for entry in listed] == list(range(1, len(expected) + 1))
        positions = [world.titles.index(title) for title in expected]
        assert [entry["movie_id"] for entry in listed] == [world.ids[row] for row in positions]
        scores = world.embeddings[positions] @ world.user_vectors[user % 40]
        assert [entry["score"] for entry in listed] == pytest.approx(scores.tolist(), abs=1e-5)
        assert all(math.isfinite(entry["predicted_rating"]) for entry in listed)
    assert len(answers[39]["recommendations"]) == 3


def test_a_terminal_without_a_titles_letters_gets_others(pushed, tmp_path: pathlib.Path) -> None:
    world = pushed.planted.world
    title = 'Léon, or "Film" 77 (1994)'
    flags = ["--because", title, "--k", "300", "--model-dir", str(pushed.destination)]
    done = run_as_shells_do("", *flags, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("ascii").startswith(
        'Because you watched L?on, or "Film" 77 (1994) (version 1):'
    )
    # A program reads JSON, and gets every letter.
    done = run_as_shells_do("", "--user", "1", "--json", *flags[2:], PYTHONIOENCODING="ascii")
    (answer,) = map(json.loads, done.stdout.decode("ascii").splitlines())
    assert {entry["movie_title"] for entry in answer["recommendations"]} == set(world.titles)


def test_a_reader_that_stops_early_is_no_error_and_a_full_disk_is_one_line(
    pushed, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "users.txt"
    file.write_text("1\n" * 40)  # More than a pipe or a buffer holds.
    flags = ["--users", str(file), "--k", "100", "--json", "--model-dir", str(pushed.destination)]
    done = run_as_shells_do("| head -c 10", *flags)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"user_id"', b"")
    done = run_as_shells_do("> /dev/full", *flags)
    words = b"recommend.py: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, words)
    done = run_as_shells_do(">&-", *flags)
    assert (done.returncode, done.stderr) == (
        2,
        b"recommend.py: the standard output must be open; it is closed\n",
    )


@pytest.fixture
def echo(tmp_path: pathlib.Path) -> Any:
    """A signature that answers with its inputs."""
    specs = {
        "user_id": tf.TensorSpec([None], tf.string),
        "timestamp": tf.TensorSpec([None], tf.int64),
        "k": tf.TensorSpec([], tf.int32),
        "user_country": tf.TensorSpec([None], tf.string),
        "user_gender": tf.TensorSpec([None], tf.string),
        "user_age": tf.TensorSpec([None], tf.int64),
        "user_occupation": tf.TensorSpec([None], tf.string),
        "history_title": tf.TensorSpec([None, None], tf.string),
        "history_rating": tf.TensorSpec([None, None], tf.float32),
        "history_timestamp": tf.TensorSpec([None, None], tf.int64),
        "exclude_title": tf.TensorSpec([None, None], tf.string),
        "titles_of_the_future": tf.TensorSpec([None, None], tf.string),
    }

    def answer(*columns: tf.Tensor) -> dict[str, tf.Tensor]:
        named = zip(specs, columns, strict=True)
        return {name: column[None] if name == "k" else tf.identity(column) for name, column in named}

    model = tf.Module()
    named = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()]
    model.serve = tf.function(answer, input_signature=named)
    tf.saved_model.save(model, str(tmp_path), signatures=model.serve)
    loaded = tf.saved_model.load(str(tmp_path))
    yield loaded.signatures["serving_default"]
    del loaded


def request_of(echo: Any, *flags: str) -> dict[str, Any]:
    options = recommend.parse([*flags, "--k", "3", "--timestamp", "1000"])
    (answer,) = recommend.recommend(echo, options.users, options)
    return {name: np.asarray(value).tolist() for name, value in answer.items()}


UNKNOWN = {
    "user_id": b"7",
    "timestamp": 1000,
    "k": 3,
    "user_country": b"unknown",
    "user_gender": b"unknown",
    "user_age": -1,
    "user_occupation": b"unknown",
    "history_title": [],
    "history_rating": [],
    "history_timestamp": [],
    "exclude_title": [],
    "titles_of_the_future": [],
}


def test_an_input_without_a_flag_is_unknown(echo) -> None:
    assert request_of(echo, "--user", "7") == UNKNOWN


def test_every_flag_reaches_the_model(echo) -> None:
    side = ("--gender", "F", "--age", "30", "--occupation", "artist")
    watched = ("--because", "A (1990)", "--because", "B (1991)", "--exclude", "C (1992)")
    assert request_of(echo, *side, *watched) == {
        **UNKNOWN,
        "user_id": b"",
        "user_gender": b"F",
        "user_age": 30,
        "user_occupation": b"artist",
        "history_title": [b"A (1990)", b"B (1991)"],
        "history_rating": [4.0, 4.0],
        "history_timestamp": [940, 880],
        "exclude_title": [b"C (1992)"],
    }


@pytest.mark.parametrize(
    "user, known, because, words",
    [
        ("7", True, [], "Recommended to user 7, without titles already rated"),
        ("7", True, ["A"], "Recommended to user 7, who watched A, without titles already rated"),
        ("7", False, [], "User 7 is unknown to the model; the most popular titles instead"),
        ("", True, ["A", "B"], "Because you watched A; B"),
        ("", True, [], "Recommended to a user as described"),
        ("", False, [], "The flags describe no user to the model; the most popular titles instead"),
    ],
)
def test_the_heading_names_the_user_and_the_reason(user: str, known: bool, because: list, words: str) -> None:
    assert recommend.heading(user, known, because) == words


def test_every_id_that_training_takes_can_be_requested(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "users.txt"
    file.write_bytes("\ufeff 7\r\n\n \t\nAnna Lena \nuser\n\N{REPLACEMENT CHARACTER}\na\u2028b\n\n".encode())
    users = ["7", "Anna Lena", "user", "\N{REPLACEMENT CHARACTER}", "a\u2028b"]
    assert recommend.parse(["--users", str(file)]).users == users
    # In a file these lines are rejected, but --user takes them: they can be ids.
    for user in ("userId", "7,8"):
        assert recommend.parse(["--user", f" {user} "]).users == [user]


def test_ids_are_read_as_training_reads_them(tmp_path: pathlib.Path) -> None:
    """With decimals where the cells of an export have them, as pandas writes a column with an empty one."""
    written = ["31.0", " 7.00 ", "-4.0", "3.5", "Vol. 0", "8.", ".0", "1.0.0"]
    file = tmp_path / "users.txt"
    file.write_text("\n".join(written))
    read = [parse.whole(text.strip()) for text in written]
    assert read[:4] == ["31", "7", "-4", "3.5"]
    assert recommend.parse(["--users", str(file)]).users == read
    assert [recommend.parse([f"--user={text}"]).users for text in written] == [[user] for user in read]


def test_a_bar_is_shown_to_a_person_who_waits(
    pushed, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # What rich takes for a terminal.
    file = tmp_path / "users.txt"
    file.write_text("".join(f"{user}\n" for user in range(recommend.BATCH + 1)))
    assert recommend.main(["--users", str(file), "--json", "--model-dir", str(pushed.destination)]) == 0
    out, error = capsys.readouterr()
    assert "65 users" in error
    assert len([json.loads(line) for line in out.splitlines()]) == recommend.BATCH + 1
