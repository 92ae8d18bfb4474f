"""A Parquet file with code in it, where the scheduler looks for spans: in a fresh process, without Beam."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import retraining
from tests.helpers import planted_parquet

ROOT = pathlib.Path(retraining.__file__).parents[1]
RATINGS: dict[str, list] = {"userId": [1], "movieId": [1], "rating": [3.5], "timestamp": [1_112_486_027]}
LOOK = """
import pathlib, sys
from pipeline import config
from retraining import runs
read = config.retraining()
read = read.model_copy(update={"data": read.data.model_copy(update={"release": "custom"})})
print(runs.find_spans(pathlib.Path(sys.argv[1]), read))
assert not {"apache_beam", "tensorflow", "tfx"} & set(sys.modules)
"""


def test_the_scheduler_does_not_run_the_code_and_leaves_the_error_to_the_run(tmp_path: pathlib.Path) -> None:
    """The words are in tests/components/movielens_example_gen/sources/test_bad_parquet.py."""
    made = tmp_path / "made"
    (tmp_path / "span-1").mkdir()
    planted_parquet.attack(tmp_path / "span-1" / "ratings.parquet", RATINGS, made)
    command = [sys.executable, "-c", LOOK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert not made.exists()
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "SpansFound(versions={1: 0}, empty=set())\n",
        "",
    )
