"""Run TFLite files on queries, in a process of its own without TensorFlow.

Started by processes.py, by path and isolated (`python -I`), so it imports nothing of this project. LiteRT
accepts files that need TensorFlow's kernels wherever TensorFlow happens to be loaded; a phone has none, so
the check must have none either.

Usage: litert_process.py JOBS.json, see processes.py
"""

import itertools
import json
import sys

import numpy as np

# Rows in a call: what a search compares in between grows with them.
BATCH = 64


def ask(model: str, signature: str, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Call a signature, first with one row, then batch by batch.

    Args:
      model: path of the TFLite file.
      signature: its name.
      columns: `[q, ...]` arrays by input name, strings as bytes; others than it takes are left out.
    Returns:
      `[q, ...]` arrays by output name.
    Raises:
      ValueError: no such signature, an input that no query carries, or a value its dtype cannot hold.
    """
    # Here, since processes.py's callers import this file, to find it, in a process with TensorFlow.
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


def main(jobs: str) -> None:
    """Answer every job of the file."""
    with open(jobs, encoding="utf-8") as file:
        content = json.load(file)
    for job in content["jobs"]:
        answer = ask(job["model"], job["signature"], read(job["inputs"]))
        write(job["outputs"], answer)
    if "tensorflow" in sys.modules:
        raise ValueError("TensorFlow was loaded, so the result says nothing of a device without it")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    # RuntimeError is what LiteRT raises for an operation or a shape that it cannot run.
    except (ValueError, RuntimeError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
