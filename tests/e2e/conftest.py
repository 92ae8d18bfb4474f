"""What runs of local_runner.py print."""

from __future__ import annotations

import re
import subprocess

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


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a process printed, which must have ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def steps(output: str, state: str) -> set[str]:
    """List the steps that ended in a state, `run` or `cached`."""
    return {name for name, how in _STEP.findall(output) if how == state}
