"""Runs of local_runner.py on real MovieLens 100K, as a person starts them."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# As a finished step stands on the terminal: its id, its seconds, what it did.
_STEP = re.compile(r"^(\S+) +[0-9.]+ s  (run|cached)", re.MULTILINE)

# One epoch, and gates that such models pass, though they may lose to popularity: for tests of the machinery,
# not of quality.
QUICK = {
    "models": {name: {"epochs": 1} for name in ("retrieval", "ranking", "multitask")},
    "gates": {
        "must_beat_baselines": False,
        "retrieval": [{"metric": "top_100_categorical_accuracy", "bound": 0.2, "max_worsening": 0.01}],
        "ranking": [{"metric": "rmse", "bound": 1.1, "max_worsening": 0.01}],
        "multitask": [{"metric": "rmse", "bound": 1.1, "max_worsening": 0.01}],
    },
}


def command(root: pathlib.Path, *flags: str) -> list[str]:
    """Return the command line of a run whose files go below `root`."""
    return [sys.executable, str(ROOT / "local_runner.py"), "--pipeline-root", str(root), *flags]


def run(root: pathlib.Path, *flags: str) -> str:
    """Run to the end and return what a person saw; the run must succeed."""
    done = subprocess.run(
        command(root, *flags), capture_output=True, text=True, timeout=2000, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def steps(output: str, state: str) -> set[str]:
    """List the steps that ended in a state, `run` or `cached`."""
    return {name for name, how in _STEP.findall(output) if how == state}


def manifest(root: pathlib.Path) -> dict:
    """Read the manifest of what is being served."""
    return json.loads((root / "pushed" / "current" / "manifest.json").read_text())


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, str]:
    """The default preset, from nothing: the folder of its files and what a person saw."""
    root = tmp_path_factory.mktemp("runs")
    return root, run(root)


def quick(root: pathlib.Path) -> Sequence[str]:
    """Return the flags of a run that trains for one epoch."""
    path = root / "quick.json"
    path.write_text(json.dumps(QUICK))
    return ["--config", str(path)]
