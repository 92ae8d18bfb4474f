"""Runs of local_runner.py on real MovieLens 100K, as a person starts them."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import pytest

from tests.helpers.processes import warm_python
from tests.helpers.processes.warm_python import ROOT

# As a finished step stands on the terminal: its id, its seconds, what it did.
_STEP = re.compile(r"^(\S+) +[0-9.]+ s  (run|cached)", re.MULTILINE)


MODELS = ("retrieval", "ranking", "multitask")
EXECUTED = {
    "MovieLensExampleGen",
    *(
        f"{node}.{data}"
        for node in ("StatisticsGen", "CuratedSchema", "ExampleValidator")
        for data in ("ratings", "catalogue")
    ),
    "AnomalyGate",
    "Transform",
    *(f"{node}.{model}" for node in ("Trainer", "Evaluator") for model in MODELS),
    "IndexPusher",
}


def command(root: pathlib.Path, *flags: str) -> list[str]:
    """Return what follows `python` in a run whose files go below `root`."""
    return [str(ROOT / "local_runner.py"), "--pipeline-root", str(root), *flags]


def run(root: pathlib.Path, *flags: str) -> str:
    """Run to the end and return what a person saw; the run must succeed."""
    return succeeded(warm_python.run(command(root, *flags), timeout=warm_python.PIPELINE_SECONDS))


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a process printed, which must have ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def steps(output: str, state: str) -> set[str]:
    """List the steps that ended in a state, `run` or `cached`."""
    return {name for name, how in _STEP.findall(output) if how == state}


def manifest(root: pathlib.Path) -> dict:
    """Read the manifest of what is being served."""
    return json.loads((root / "pushed" / "current" / "manifest.json").read_text())


# Fewer passes than the default preset has; with two epochs of multitask and the pair, two of its gates fail.
# `make run` shows the preset itself.
SHORTER: dict[str, dict] = {
    "retrieval": {"epochs": 3, "sequence": {"epochs": 2}},
    "ranking": {"sweeps": 60, "burn_in": 20},
    "multitask": {"epochs": 3},
}


def with_models(root: pathlib.Path, **models: dict) -> list[str]:
    """Return the flags of the default preset with other hyper-parameters of these models, and a small weight.

    So Tuner.blend, which would fit the models a second time, is left to the planted run. The split is the
    preset's, since the bounds of its gates hold for that one alone.
    """
    path = root / "config.json"
    path.write_text(json.dumps({"models": models, "index": {"blend": {"rating_weight": 0.25}}}))
    return ["--config", str(path)]


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, str]:
    """The default preset with SHORTER trainings, from nothing: its folder, and what it printed."""
    root = tmp_path_factory.mktemp("runs")
    line = [sys.executable, *command(root, *with_models(root, **SHORTER))]
    return root, succeeded(subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT))
