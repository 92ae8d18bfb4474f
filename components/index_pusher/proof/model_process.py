"""Ask models, in a process of its own that has nothing of the project, as a server or a phone does.

Started by processes.py, by path and isolated (`python -I`). TensorFlow is imported for SavedModels alone:
LiteRT accepts files that need TensorFlow's kernels wherever TensorFlow happens to be loaded, and a phone has
none. ScaNN is imported once all is answered that is to need TensorFlow's own operations alone.

Usage: model_process.py JOBS.json, see processes.py
"""

import itertools
import json
import os
import sys
from typing import Any

import numpy as np

# Rows in a call: what a search compares in between grows with them.
BATCH = 64
# Where TensorFlow Serving finds what it asks a model once, before it serves it.
WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")


def run_tflite(model: str, signature: str, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Call a signature, first with one row, then batch by batch.

    Args:
      model: path of the TFLite file.
      signature: its name.
      columns: `[q, ...]` arrays by input name, strings as bytes; others than it takes are left out.
    Returns:
      `[q, ...]` arrays by output name.
    Raises:
      ValueError: no such signature, an input that no query has, or a value its dtype cannot hold.
    """
    # Here, since processes.py imports this file, to find it.
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model)
    runner = interpreter.get_signature_runner(signature)
    inputs = {}
    for name, detail in runner.get_input_details().items():
        if name not in columns:
            raise ValueError(f"the input {name} is not a feature of a query: {', '.join(columns)}")
        inputs[name] = converted(name, columns[name], detail["dtype"])
    size = max(len(column) for column in inputs.values())
    parts: dict[str, list[np.ndarray]] = {}
    # One alone first, as a device asks: kernels were seen to fail on it that a larger batch had not prepared.
    starts = [0, *range(1, size, BATCH), size]
    for start, end in itertools.pairwise(starts):
        outputs = runner(**{name: column[start:end] for name, column in inputs.items()})
        for name, values in outputs.items():
            # A copy: what the interpreter returns is its own, and the next call overwrites it.
            parts.setdefault(name, []).append(np.array(values))
    return {name: np.concatenate(columns) for name, columns in parts.items()}


def converted(name: str, column: np.ndarray, dtype: type) -> np.ndarray:
    """Give a column the dtype that the file asks for, and refuse to change a value by it."""
    if not np.issubdtype(dtype, np.number):
        return column.astype(object)
    result: np.ndarray = column.astype(dtype)
    if np.issubdtype(dtype, np.integer) and (result != column).any():
        raise ValueError(f"{name} holds {column[result != column][0]}, which {np.dtype(dtype)} cannot hold")
    return result


def run_saved_model(
    model: str, signature: str, columns: dict[str, np.ndarray], loaded: dict[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Call a signature, batch by batch.

    Args:
      model: folder of the SavedModel.
      signature: its name.
      columns: `[q, ...]` arrays by input name, and scalars; what the signature does not take is left out.
      loaded: SavedModels by folder; the call adds the one that it loads.
    Returns:
      `[q, ...]` arrays by output name, strings as bytes objects.
    """
    # Here, as in run_tflite.
    import tensorflow as tf

    loaded = {} if loaded is None else loaded
    if model not in loaded:
        loaded[model] = tf.saved_model.load(model)
    function = loaded[model].signatures[signature]
    specs = function.structured_input_signature[1]
    missing = sorted(set(specs) - set(columns))
    if missing:
        raise ValueError(
            f"the signature {signature} of {model} takes {', '.join(missing)}, which no request has"
        )
    size = max(len(column) for column in columns.values() if column.ndim)
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, size, BATCH):
        request = {}
        for name, spec in specs.items():
            column = columns[name] if not columns[name].ndim else columns[name][start : start + BATCH]
            request[name] = tf.constant(
                column.astype(object) if spec.dtype == tf.string else column, spec.dtype
            )
        for name, tensor in function(**request).items():
            parts.setdefault(name, []).append(tensor.numpy())
    return {name: np.concatenate(columns) for name, columns in parts.items()}


def replay(model: str, loaded: Any) -> int:
    """Ask a model its warm-up requests, as TensorFlow Serving does.

    Args:
      model: folder of the SavedModel.
      loaded: the model.
    Returns:
      How many there are; 0 where the model has none.
    Raises:
      ValueError: it fails on one.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = os.path.join(model, WARMUP)
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator()) if os.path.isfile(path) else []
    for record in records:
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        signature = request.model_spec.signature_name
        columns = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        try:
            loaded.signatures[signature](**columns)
        except tf.errors.OpError as error:
            name, reason = os.path.basename(model), " ".join(str(error).split())
            raise ValueError(f"{name} fails on a warm-up request to {signature}: {reason}") from error
    return len(records)


def read(path: str) -> dict[str, np.ndarray]:
    """Read arrays; of bytes, the last one was added by whoever wrote them, and is taken off."""
    with np.load(path, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files}
    return {
        name: np.array([value[:-1] for value in column.ravel()], object).reshape(column.shape)
        if column.dtype.kind == "S"
        else column
        for name, column in columns.items()
    }


def write(path: str, columns: dict[str, np.ndarray]) -> None:
    """Write arrays; bytes as fixed-width ones, since objects could only be stored as pickles.

    Those drop zeros at the end, so every value gets one more byte.
    """
    plain = {
        name: np.array([value + b"." for value in column.ravel()], np.bytes_).reshape(column.shape)
        if column.dtype.kind == "O"
        else column
        for name, column in columns.items()
    }
    np.savez(path, **plain)


def main(path: str) -> None:
    """Answer every job of the file, and replay the warm-up requests of every SavedModel among them."""
    with open(path, encoding="utf-8") as file:
        jobs = json.load(file)
    # No server has Keras, whose import takes a third of TensorFlow's time.
    sys.modules.update(dict.fromkeys(("keras", "tf_keras")))  # type: ignore[arg-type]
    answer([job for job in jobs if not job["scann"]])
    if all(job["model"].endswith(".tflite") for job in jobs) and "tensorflow" in sys.modules:
        raise ValueError("TensorFlow was loaded, so the result says nothing of a device without it")
    if "scann" in sys.modules:
        raise ValueError("ScaNN was loaded, so the result says nothing of a server without it")
    if on_scann := [job for job in jobs if job["scann"]]:
        import scann  # noqa: F401, registers the operations of the index

        answer(on_scann)


def answer(jobs: list[dict[str, Any]]) -> None:
    """Answer jobs, and replay the warm-up requests of their SavedModels.

    Raises:
      ValueError: a model does not run; its name and the reason.
    """
    loaded: dict[str, Any] = {}
    for job in jobs:
        model, signature, columns = job["model"], job["signature"], read(job["inputs"])
        is_file = model.endswith(".tflite")
        try:
            if is_file:
                outputs = run_tflite(model, signature, columns)
            else:
                outputs = run_saved_model(model, signature, columns, loaded)
        # What LiteRT and TensorFlow raise for what they cannot read, or an operation that they do not know.
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            name = os.path.basename(model) + ("" if is_file or job["scann"] else " without ScaNN")
            raise ValueError(f"{name}: {type(error).__name__}: {error}") from error
        write(job["outputs"], outputs)
    for model, served in loaded.items():
        replay(model, served)


if __name__ == "__main__":
    code = 0
    try:
        main(sys.argv[1])
    except ValueError as error:
        print(" ".join(str(error).split()), file=sys.stderr, flush=True)
        code = 1
    # All is written, and to free what the libraries hold takes most of a second.
    os._exit(code)
