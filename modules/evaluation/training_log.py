"""A training's hyper-parameters and figures by epoch or sweep, as TensorBoard's event files: write, read.

The Trainers write, for `tensorboard --logdir` and for the run's report, which reads.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

_HYPERPARAMETERS = "hyperparameters"
# Name of retrieval's member of sequences in lines of progress, and of the folder of its own log.
SEQUENCES = "sequences"


class Writer:
    """Writes the log of one training."""

    def __init__(self, folder: str | None) -> None:
        """Open the log.

        Args:
          folder: TFX's `model_run_dir`; None where nothing is logged, such as in a Tuner's trials.
        """
        self._writer = tf.summary.create_file_writer(folder) if folder else tf.summary.create_noop_writer()

    def begin(self, hyperparameters: Mapping[str, Any]) -> None:
        """Write what the model is trained with, after a Tuner's values and a run's own epochs."""
        with self._writer.as_default(step=0):
            tf.summary.text(_HYPERPARAMETERS, json.dumps(hyperparameters, indent=1))
        self._writer.flush()

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures at the end of an epoch or sweep, which count from 1."""
        with self._writer.as_default(step=step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


@dataclasses.dataclass(frozen=True)
class Log:
    """What a training logged.

    Attributes:
      hyperparameters: by name.
      figures: by name, the values by epoch or sweep.
    """

    hyperparameters: dict[str, Any]
    figures: dict[str, dict[int, float]]


def read(folder: str) -> Log:
    """Read a log; without event files, or a folder, it is empty.

    The names of figures of the log in its folder SEQUENCES end in that.
    """
    log, of_member = _read(folder), _read(os.path.join(folder, SEQUENCES))
    figures = {f"{name}, {SEQUENCES}": values for name, values in of_member.figures.items()}
    return Log(log.hyperparameters, log.figures | figures)


def _read(folder: str) -> Log:
    if not tf.io.gfile.isdir(folder):
        return Log({}, {})
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

    events = EventAccumulator(folder, {TENSORS: 0}).Reload()  # 0 keeps all steps.
    hyperparameters: dict[str, Any] = {}
    figures: dict[str, dict[int, float]] = {}
    for name in events.Tags()[TENSORS]:
        values = {event.step: tf.make_ndarray(event.tensor_proto) for event in events.Tensors(name)}
        if name == _HYPERPARAMETERS:
            hyperparameters = json.loads(values[0].item())
        else:
            figures[name] = {step: float(value) for step, value in values.items()}
    return Log(hyperparameters, figures)
