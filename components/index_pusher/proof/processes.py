"""Run models in fresh processes, by a script that imports nothing of the project.

Called by the parity proof, in the executor's process. That process has itself loaded ScaNN and TensorFlow, so
a model that needs them would run there, and fail elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.index_pusher.gates import Refusal
from components.index_pusher.proof import model_process

TIMEOUT_SECONDS = 600

Columns = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Job:
    """One call of a model's signature.

    Attributes:
      model: path of the SavedModel or of the TFLite file.
      signature: its name.
      inputs: arrays by input name; a model may leave some out.
      scann: whether the model needs ScaNN's operations.
    """

    model: str
    signature: str
    inputs: Mapping[str, np.ndarray]
    scann: bool = False


def run_tflite(jobs: Sequence[Job]) -> list[Columns]:
    """Run TFLite files in a process without TensorFlow.

    Returns:
      The outputs of each job by name; strings as bytes objects.
    Raises:
      Refusal: the process failed; its last line is quoted.
    """
    return _run(jobs, "a TFLite file", "without TensorFlow")


def run_saved_models(jobs: Sequence[Job]) -> list[Columns]:
    """Run SavedModels in a process with TensorFlow, which loads ScaNN after all that must do without it.

    Returns and raises as `run_tflite`.
    """
    return _run(jobs, "the model", "in a fresh process")


def _run(jobs: Sequence[Job], subject: str, environment: str) -> list[Columns]:
    with tempfile.TemporaryDirectory() as folder:
        entries: list[dict[str, Any]] = []
        for number, job in enumerate(jobs):
            inputs, outputs = (os.path.join(folder, f"{end}-{number}.npz") for end in ("in", "out"))
            model_process.write(inputs, {name: np.asarray(column) for name, column in job.inputs.items()})
            entries.append(
                {
                    "model": job.model,
                    "signature": job.signature,
                    "scann": job.scann,
                    "inputs": inputs,
                    "outputs": outputs,
                }
            )
        path = os.path.join(folder, "jobs.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(entries, file)
        try:
            command = [sys.executable, "-I", model_process.__file__, path]
            process = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Refusal(f"{subject} gave no answer {environment} within {TIMEOUT_SECONDS} s") from error
        if process.returncode:
            lines = process.stderr.strip().splitlines() or [f"it ended with code {process.returncode}"]
            raise Refusal(f"{subject} does not run {environment}: {lines[-1]}")
        return [model_process.read(entry["outputs"]) for entry in entries]
