"""`python -m serving` as an operator runs it: on a machine that has Python and nothing else."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from serving import publish
from tests.helpers.planted_bundles import assert_whole, make_bundle

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments: str | pathlib.Path) -> subprocess.CompletedProcess:
    """Run it with no installed package in reach (-S)."""
    command = [sys.executable, "-S", "-m", "serving", *map(str, arguments)]
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def destination(tmp_path: pathlib.Path) -> pathlib.Path:
    """Versions 1, 2 and 3."""
    for content in "abc":
        publish.publish(make_bundle(tmp_path / content, content), str(tmp_path / "destination"))
    return tmp_path / "destination"


def test_versions_are_listed_with_their_state(destination: pathlib.Path) -> None:
    publish.rollback(str(destination))
    (destination / "bundles" / "1" / "tflite" / "r.tflite").unlink()
    before = sorted(str(path) for path in destination.rglob("*"))
    done = run("versions", destination)
    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.split("  ")[0] == "version"
    one, two, three = ([cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows)
    assert (one[0], one[2:]) == ("1", ["0.1 MB", "tflite/r.tflite is missing", "1.0000"])
    assert (two[0], two[2:]) == ("2", ["served", "0.1 MB", "4, complete", "1.0000"])
    assert (three[0], three[2:]) == ("3", ["withdrawn", "0.1 MB", "4, complete", "1.0000"])
    assert two[1].startswith("20") and two[1].endswith("+00:00")
    assert sorted(str(path) for path in destination.rglob("*")) == before, "looking leaves no trace"


def test_damage_is_named_and_the_exit_code_is_1(destination: pathlib.Path) -> None:
    done = run("verify", destination)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "version 2: 4 files are as the manifest lists them"
    damaged = destination / "bundles" / "2" / "ranking" / "saved_model.pb"
    damaged.write_text(damaged.read_text().replace("b", "B"))
    (destination / "bundles" / "2" / "added").write_text("")
    (destination / "bundles" / "2" / "ranking" / "assets").symlink_to(destination)
    assert "2, complete" not in run("versions", destination).stdout
    done = run("verify", destination)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2, "1 and 3 are whole"
    *wrong, remedy = done.stderr.splitlines()
    assert wrong == [
        "version 2: added is not listed",
        "version 2: ranking/assets is not listed",
        "version 2: ranking/saved_model.pb is changed",
    ]
    assert "serve another version" in remedy
    assert run("verify", destination, "--version", "3").returncode == 0
    assert run("verify", destination, "--version", "2").returncode == 1


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini"])
def test_a_file_that_a_desktop_left_is_named_and_not_rejected(destination: pathlib.Path, name: str) -> None:
    left = [destination / "bundles" / "2" / name, destination / "bundles" / "2" / "ranking" / name]
    for path in (*left, destination / name, destination / "bundles" / name, destination / "serving" / name):
        path.write_text("of a desktop")
    words = [f"{path} is passed over: desktops leave such files" for path in left]
    done = run("verify", destination, "--version", "2")
    assert (done.returncode, sorted(done.stderr.splitlines())) == (0, sorted(words))
    assert done.stdout == "version 2: 4 files are as the manifest lists them\n"
    done = run("rollback", destination)
    assert (done.returncode, sorted(done.stderr.splitlines())) == (0, sorted(words))
    assert done.stdout == "Served: version 2, verified; before: version 3\n"


def test_rollback_and_promote_change_the_served_version(destination: pathlib.Path) -> None:
    done = run("rollback", destination)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Served: version 2, verified; before: version 3\n"
    assert assert_whole(destination) == 2
    assert run("promote", destination, "3").stdout == "Served: version 3, verified; before: version 2\n"
    assert run("promote", destination, "3").stdout == "Served: version 3, verified, as before\n"
    assert assert_whole(destination) == 3


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (
            ("versions", "nowhere"),
            1,
            "nowhere must hold a published version; it holds none. Push to it first",
        ),
        (
            ("rollback", "nowhere"),
            1,
            "nowhere must hold a published version; it holds none. Push to it first",
        ),
        (("promote", "DIR", "9"), 1, "must hold version 9; it holds 1, 2, 3. Choose one of these."),
        (("verify", "DIR", "--version", "9"), 1, "must hold version 9; it holds 1, 2, 3."),
        (("promote", "DIR", "0"), 2, "must be a version, a whole number from 1, received '0'"),
        (("promote", "DIR"), 2, "the following arguments are required: VERSION"),
        ((), 2, "the following arguments are required: COMMAND"),
        (("serve", "DIR"), 2, "invalid choice: 'serve'"),
        (
            ("versions", "gs://bucket/pushed"),
            1,
            "A destination with a scheme needs TensorFlow; received gs://bucket/pushed",
        ),
    ],
)
def test_a_mistake_is_one_line(
    destination: pathlib.Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*(destination if each == "DIR" else each for each in arguments))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert words in done.stderr


def test_a_damaged_target_is_rejected_with_the_remedy(destination: pathlib.Path) -> None:
    (destination / "bundles" / "2" / "tflite" / "r.tflite").write_text("")
    done = run("rollback", destination)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "tflite/r.tflite is changed" in done.stderr and "`promote` another version" in done.stderr
    assert (destination / "current").resolve().name == "3"


@pytest.mark.parametrize("record", ["null", "{", "[3]"])
def test_a_damaged_record_of_withdrawn_versions_is_rejected_with_the_remedy(
    destination: pathlib.Path, record: str
) -> None:
    publish.rollback(str(destination))
    (destination / "withdrawn.json").write_text(record)
    for command in ("versions", "rollback"):
        done = run(command, destination)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "withdrawn.json must hold the versions that were withdrawn" in done.stderr
    (destination / "withdrawn.json").write_text("{}")
    assert run("promote", destination, "2").returncode == 0
    assert "withdrawn" in run("versions", destination).stdout


def test_a_copy_that_followed_the_links_is_rejected_with_the_command_that_mends_it(
    destination: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    publish.rollback(str(destination))
    copy = tmp_path / "a copy"
    shutil.copytree(destination, copy)  # As `cp -rL`, zip, and most tools that copy to or from a bucket.
    for command in (("versions", copy), ("rollback", copy)):
        done = run(*command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert f"{copy}/current must be a link, and is a folder" in done.stderr
    with pytest.raises(ValueError, match="current must be a link, and is a folder"):
        publish.publish(make_bundle(tmp_path / "d", "d"), str(copy))
    mend = done.stderr.partition("Run: ")[2]
    assert f"promote '{copy}' 2" in mend
    command = mend.replace("python -m", f"cd '{ROOT}' && '{sys.executable}' -m")
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert assert_whole(copy) == 2
    assert "withdrawn" in run("versions", copy).stdout


def test_a_pointer_that_is_no_link_is_rejected(destination: pathlib.Path) -> None:
    (destination / "current").unlink()
    (destination / "current").write_text("3\n")  # As in an object store, mounted.
    done = run("versions", destination)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "current must be a link" in done.stderr and "name it by its URI" in done.stderr
