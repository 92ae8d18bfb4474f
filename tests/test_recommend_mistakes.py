"""recommend.py where a flag, a file of users or a bundle is wrong: one line, and no traceback."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import sys

import pytest

import recommend
from tests.helpers.processes.recommend_process import run


@pytest.mark.parametrize("flag", ["--because", "--exclude"])
def test_an_unknown_title_is_answered_with_the_nearest(
    pushed, capsys: pytest.CaptureFixture, flag: str
) -> None:
    flags = ["--user", "1", flag, 'léon, or "film" 77', "--model-dir", str(pushed.destination)]
    assert recommend.main(flags) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert """no title 'léon, or "film" 77' in the catalogue""" in error
    assert 'Nearest: Léon, or "Film" 77 (1994)' in error


def test_a_title_that_resembles_none_gets_no_hint(pushed, capsys: pytest.CaptureFixture) -> None:
    flags = ["--because", "zzzzzz", "--model-dir", str(pushed.destination)]
    assert recommend.main(flags) == 2
    assert capsys.readouterr().err.endswith("titles are written with the year.\n")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"1\n\n7,8\n", "users.txt:3: a line must hold one user id, received '7,8', which holds a comma"),
        (
            b"\xef\xbb\xbf\nuserId\n1\n",
            "users.txt:2: a line must hold one user id, received 'userId', a header",
        ),
        (b"User ID\r\n1\r\n", "users.txt:1: a line must hold one user id, received 'User ID', a header"),
        (
            b"1\n2\n\xff\n",
            r"users.txt:3: a line must hold one user id, received '\udcff', which is not UTF-8",
        ),
        (b"\n\n", "users.txt must hold a user id a line; it is empty"),
        (None, "users.txt cannot be read: No such file or directory"),
    ],
)
def test_a_file_of_users_is_rejected_by_its_line(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    content,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "users.txt").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        recommend.parse(["--users", "users.txt"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--user", "1"), "nothing has been pushed to runs/pushed. Run the pipeline first"),
        (("--user", "1", "--k", "0"), "--k: must be a whole number from 1 to 2147483647, received '0'"),
        (("--user", "1", "--k", "ten"), "received 'ten'"),
        (("--user", "1", "--timestamp", "-1"), "--timestamp: must be a whole number from 0"),
        ((), "a user is required: give --user, --users, or titles that the user liked with --because"),
        (("--user", "1", "--age", "young"), "--age: must be a whole number from 1 to 150, received 'young'"),
        (("--user", "\udcff"), r"--user: must be UTF-8, received '\udcff'"),
        (("--user", "1", "--users", os.devnull), f"{os.devnull} must hold a user id a line; it is empty"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: pathlib.Path, arguments: tuple, words: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr


@pytest.mark.parametrize("method", ["is_symlink", "is_dir", "read_text", "rglob", "read_bytes"])
def test_a_folder_without_permission_is_one_line(
    pushed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, method: str
) -> None:
    """Root may enter every folder, so the test raises the error that other users get."""

    def deny(self: pathlib.Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(pathlib.Path, method, deny)
    assert recommend.main(["--user", "1", "--model-dir", str(pushed.destination)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recommend.py: ") and "Permission denied" in line


def test_another_python_is_one_line_and_exit_code_2(
    pushed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    flags = ["--because", pushed.planted.world.titles[0], "--model-dir", str(pushed.destination)]
    assert recommend.main(flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pyarrow" in line and line.endswith("Run it with the Python of the project's environment.")


@pytest.mark.parametrize("copied", ["a folder", "a file"])
def test_a_copy_that_followed_the_links_is_rejected(
    pushed, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, copied: str
) -> None:
    shutil.copytree(pushed.destination, tmp_path / "pushed", symlinks=copied == "a file")
    if copied == "a file":
        (tmp_path / "pushed" / "current").unlink()
        (tmp_path / "pushed" / "current").write_text("bundles/1")
    assert recommend.main(["--user", "1", "--model-dir", str(tmp_path / "pushed")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/pushed/current must be a link to a version, and is none" in line
    assert f"`python -m serving versions {tmp_path}/pushed` says how to restore it" in line


def test_a_file_that_a_desktop_left_is_passed_over(pushed, tmp_path: pathlib.Path) -> None:
    shutil.copytree(pushed.destination, tmp_path / "pushed", symlinks=True)
    for name in (".DS_Store", "recommend/Thumbs.db"):
        (tmp_path / "pushed" / "bundles" / "1" / name).touch()
    assert recommend.check_bundle(tmp_path / "pushed" / "bundles" / "1") in (True, False)


def _truncate_manifest(bundle: pathlib.Path) -> None:
    (bundle / "manifest.json").write_text((bundle / "manifest.json").read_text()[:50])


def _change_a_file(bundle: pathlib.Path) -> None:
    with open(bundle / "recommend" / "saved_model.pb", "r+b") as file:
        file.write(b"\x00")


def _add_a_file(bundle: pathlib.Path) -> None:
    (bundle / "recommend" / "assets" / "more.txt").write_text("not of the bundle")


def _add_a_folder(bundle: pathlib.Path) -> None:
    (bundle / "recommend" / "more").symlink_to(bundle)


def _list_nothing(bundle: pathlib.Path) -> None:
    """As an attacker does who replaces a model."""
    content = json.loads((bundle / "manifest.json").read_text())
    content["files"] = {recommend.CATALOGUE: content["files"][recommend.CATALOGUE]}
    (bundle / "manifest.json").write_text(json.dumps(content))


def _list_what_lies_elsewhere(bundle: pathlib.Path) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    content["files"] |= {"recommend/../../../x": {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}}
    (bundle / "manifest.json").write_text(json.dumps(content))
    (bundle.parents[1] / "x").write_text("x")


def _point_at_itself(bundle: pathlib.Path) -> None:
    current = bundle.parents[1] / "current"
    current.unlink()
    current.symlink_to("current")


def _lose_a_file(bundle: pathlib.Path) -> None:
    (bundle / "recommend" / "variables" / "variables.index").unlink()


@pytest.mark.parametrize(
    "damage, words",
    [
        (_truncate_manifest, "has no readable manifest.json"),
        (_change_a_file, "is damaged: recommend/saved_model.pb has changed"),
        (_add_a_file, "must be as its manifest lists it; recommend/assets/more.txt is not listed"),
        (_add_a_folder, "must be as its manifest lists it; recommend/more is not listed"),
        (_list_nothing, "must be as its manifest lists it; MODEL_CARD.md is not listed"),
        (_list_what_lies_elsewhere, "lacks recommend/../../../x"),
        (_lose_a_file, "lacks recommend/variables/variables.index"),
        (shutil.rmtree, "which does not exist"),
        (_point_at_itself, "which does not exist"),
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
