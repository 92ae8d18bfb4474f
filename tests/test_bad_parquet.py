"""Parquet files with code in them, where recommend.py reads one: each in a fresh process."""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import sys

import pyarrow
import pytest

import recommend
from common import parquet
from tests.helpers import planted_parquet

ROOT = pathlib.Path(recommend.__file__).parent
TITLES = {"movie_title": ["Film 1 (1990)"]}


def python(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture
def made(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the code in a planted file makes a folder."""
    return tmp_path / "made"


def bundle(model_dir: pathlib.Path) -> pathlib.Path:
    """Make a served bundle without a model; return the path of its catalogue."""
    catalogue = model_dir / "7" / recommend.CATALOGUE
    catalogue.parent.mkdir(parents=True)
    (model_dir / "current").symlink_to("7")
    return catalogue


def because(catalogue: pathlib.Path) -> subprocess.CompletedProcess:
    """Run recommend.py with a title, on a manifest that agrees with the catalogue."""
    folder = catalogue.parents[1]
    digest = hashlib.sha256(catalogue.read_bytes()).hexdigest()
    files, models = {recommend.CATALOGUE: {"sha256": digest}}, {recommend.MODEL: {"scann": False}}
    manifest = {"files": files, "models": models}
    (folder / recommend.MANIFEST).write_text(json.dumps(manifest))
    script = ROOT / "recommend.py"
    return python("-I", script, "--because", "Film 2 (1990)", "--model-dir", folder.parent)


def test_the_planted_file_runs_code_where_nothing_prevents_it(
    tmp_path: pathlib.Path, made: pathlib.Path
) -> None:
    planted_parquet.attack(tmp_path / "a.parquet", TITLES, made)
    read = "import sys, pyarrow.parquet; pyarrow.parquet.read_metadata(sys.argv[1])"
    python("-c", read, tmp_path / "a.parquet")
    assert made.exists()


def test_recommend_does_not_run_the_code_and_names_the_file(
    tmp_path: pathlib.Path, made: pathlib.Path
) -> None:
    catalogue = bundle(tmp_path / "pushed")
    planted_parquet.attack(catalogue, TITLES, made)
    done = because(catalogue)
    assert not made.exists()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"recommend.py: {catalogue} cannot be read: Disallowed deserialization of "
        "'arrow.py_extension_type'. Run the pipeline again.\n"
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        pytest.param(None, "cannot be read: ", id="no Parquet"),
        pytest.param({"title": ["A"]}, "cannot be read: ", id="no titles"),
        pytest.param({"movie_title": [["A"]]}, "cannot be read: ", id="lists for titles"),
        pytest.param({"movie_title": ["A", None]}, "no title 'Film 2 (1990)'", id="null"),
    ],
)
def test_recommend_names_the_file_of_any_other_bad_catalogue(
    tmp_path: pathlib.Path, columns: dict | None, words: str
) -> None:
    catalogue = bundle(tmp_path / "pushed")
    if columns:
        parquet.write_table(pyarrow.table(columns), catalogue)
    else:
        catalogue.write_bytes(b"PAR1 is not enough PAR1")
    done = because(catalogue)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("recommend.py: ") and words in done.stderr
