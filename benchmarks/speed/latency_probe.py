"""The measurements of `latency` in a process of its own, which is started by path and isolated.

Usage: latency_probe.py load PATH [scann] | recommend BUNDLE REQUESTS.npz | tflite BUNDLE REQUESTS.npz
Prints JSON: seconds by name for `load`, else lists of milliseconds by name.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

K = 10
BATCH = 64
ROUNDS, BATCHED_ROUNDS = 500, 100
Columns = dict[str, np.ndarray]


def load(path: str, scann: str = "") -> dict[str, float]:
    """Time the imports and the loading of a SavedModel or a TFLite file."""
    start = time.perf_counter()
    if path.endswith(".tflite"):
        from ai_edge_litert.interpreter import Interpreter

        imported = time.perf_counter()
        interpreter = Interpreter(model_path=path)
        interpreter.allocate_tensors()
    else:
        import tensorflow as tf

        if scann:
            import scann as _  # noqa: F401, registers the operations of the index
        imported = time.perf_counter()
        tf.saved_model.load(path)
    return {"import": imported - start, "load": time.perf_counter() - imported}


def recommend(bundle: str, columns: Columns) -> dict[str, list[float]]:
    """Time both builds in turn, so that a busy machine weighs on both alike."""
    import tensorflow as tf

    with open(os.path.join(bundle, "manifest.json"), encoding="utf-8") as file:
        if json.load(file)["models"]["recommend"]["scann"]:
            import scann  # noqa: F401, registers the operations of the index
    served = {
        name: tf.saved_model.load(os.path.join(bundle, name)).signatures["serving_default"]
        for name in ("recommend", "recommend_exact")
    }
    specs = served["recommend"].structured_input_signature[1]

    def request(rows: slice) -> dict[str, tf.Tensor]:
        made = {
            name: tf.constant(columns[name][rows], spec.dtype) for name, spec in specs.items() if name != "k"
        }
        return {**made, "k": tf.constant(K)}

    singles = [request(slice(row, row + 1)) for row in range(len(columns["user_id"]))]
    batch = request(slice(0, BATCH))
    times = {}
    for size, requests, rounds in ((1, singles, ROUNDS), (BATCH, [batch], BATCHED_ROUNDS)):
        calls = {f"{name}, {size}": _caller(function) for name, function in served.items()}
        times.update(_in_turn(calls, requests, rounds))
    return times


def _caller(function: Any) -> Callable[[Any], Any]:
    return lambda request: {name: tensor.numpy() for name, tensor in function(**request).items()}


def tflite(bundle: str, columns: Columns) -> dict[str, list[float]]:
    """Time the files one after another: a search, and the rating of ten titles."""
    from ai_edge_litert.interpreter import Interpreter

    times = {}
    folder = os.path.join(bundle, "tflite")
    for file in sorted(os.listdir(folder)):
        interpreter = Interpreter(model_path=os.path.join(folder, file))
        ((signature, ends),) = interpreter.get_signature_list().items()
        runner = interpreter.get_signature_runner(signature)
        details = runner.get_input_details()
        size = K if "predicted_rating" in ends["outputs"] else 1
        requests = []
        for row in range(len(columns["user_id"])):
            rows = np.arange(row, row + 1).repeat(size)
            request = {name: _as(columns[name][rows], details[name]["dtype"]) for name in details}
            if size > 1:
                titles = columns["movie_title"]
                request["movie_title"] = titles[np.arange(row, row + size) % len(titles)]
            requests.append(request)
        times.update(_in_turn({f"{file}, {size}": lambda r, run=runner: run(**r)}, requests, ROUNDS))
    return times


def _as(column: np.ndarray, dtype: type) -> np.ndarray:
    return column.astype(dtype) if np.issubdtype(dtype, np.number) else column


def _in_turn(calls: dict[str, Callable], requests: list, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-5, rounds):  # The first few trace, and fill caches.
        request = requests[number % len(requests)]
        for name, call in calls.items():
            start = time.perf_counter()
            call(request)
            if number >= 0:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def main(mode: str, path: str, more: str = "") -> None:
    """Print what was measured."""
    if mode == "load":
        print(json.dumps(load(path, more)))
        return
    with np.load(more, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files}
    columns = {name: c.astype(object) if c.dtype.kind == "S" else c for name, c in columns.items()}
    print(json.dumps({"recommend": recommend, "tflite": tflite}[mode](path, columns)))


if __name__ == "__main__":
    main(*sys.argv[1:])
