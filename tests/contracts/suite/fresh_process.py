"""Ask a SavedModel in a process that holds nothing of the project, as a server does.

The functions here run in that process; it stays for the whole session, because importing TensorFlow takes
longer than all calls of signatures.
"""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

# Inputs and outputs of a signature: (dtype, shape) by name.
Ends = dict[str, tuple[str, tuple[int | None, ...]]]


@contextmanager
def start() -> Iterator[concurrent.futures.Executor]:
    """Start the process."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        yield executor


@functools.lru_cache(maxsize=1)
def _load(path: str) -> Any:
    import tensorflow as tf

    return tf.saved_model.load(path)


def call(path: str, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Call a signature of the SavedModel at `path`."""
    import tensorflow as tf

    own = {"components", "modules", "pipeline", "serving", "common"} & set(sys.modules)
    if own:
        raise RuntimeError(f"a server has nothing of the project; here {own} are loaded")
    function = _load(path).signatures[signature]
    outputs = function(**{name: tf.constant(values) for name, values in inputs.items()})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def describe(path: str) -> dict[str, tuple[Ends, Ends]]:
    """List the inputs and outputs of every signature of the SavedModel at `path`."""
    return {
        name: (_ends(function.structured_input_signature[1]), _ends(function.structured_outputs))
        for name, function in _load(path).signatures.items()
    }


def _ends(specs: Mapping[str, Any]) -> Ends:
    return {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()}
