"""Ask models in fresh processes, each started by a script that knows nothing of the project.

Called by the gates, in the executor's process. What the executor's own process has loaded (ScaNN, TensorFlow)
would lend itself to a model that lacks it elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from components.index_pusher.gates import Refusal
from components.index_pusher.proof import litert_process, savedmodel_process

TIMEOUT_SECONDS = 600

Columns = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Job:
    """One question to one model.

    Attributes:
      model: path of the SavedModel or of the TFLite file.
      signature: its name.
      inputs: arrays by input name; a model may leave some out.
    """

    model: str
    signature: str
    inputs: Mapping[str, np.ndarray]


def ask_tflite(jobs: Sequence[Job]) -> list[Columns]:
    """Ask TFLite files in a process without TensorFlow.

    Returns:
      The outputs of each job by name; strings as bytes objects.
    Raises:
      Refusal: the process failed; its last line is quoted.
    """
    return _ask(litert_process.__file__, jobs, False, "the TFLite file", "without TensorFlow")


def ask_saved_models(jobs: Sequence[Job], scann: bool) -> list[Columns]:
    """Ask SavedModels in a process with TensorFlow, and with ScaNN only where that is said.

    Returns and raises as `ask_tflite`.
    """
    where = "in a fresh process" if scann else "in a fresh process without ScaNN"
    return _ask(savedmodel_process.__file__, jobs, scann, "the model", where)


def _ask(script: str, jobs: Sequence[Job], scann: bool, what: str, where: str) -> list[Columns]:
    with tempfile.TemporaryDirectory() as folder:
        listed = []
        for number, job in enumerate(jobs):
            asked, answered = (os.path.join(folder, f"{end}-{number}.npz") for end in ("in", "out"))
            litert_process.write(asked, {name: np.asarray(column) for name, column in job.inputs.items()})
            listed.append(
                {"model": job.model, "signature": job.signature, "inputs": asked, "outputs": answered}
            )
        path = os.path.join(folder, "jobs.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"scann": scann, "jobs": listed}, file)
        try:
            process = subprocess.run(
                [sys.executable, "-I", script, path], capture_output=True, text=True, timeout=TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise Refusal(f"{what} gave no answer {where} within {TIMEOUT_SECONDS} s") from error
        if process.returncode:
            said = process.stderr.strip().splitlines() or [f"it ended with code {process.returncode}"]
            raise Refusal(f"{what} does not run {where}: {said[-1]}")
        return [litert_process.read(job["outputs"]) for job in listed]
