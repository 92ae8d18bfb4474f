"""Run a TFLite file on queries, in a process of its own without TensorFlow.

Started by tflite_check.py, by path and isolated (`python -I`), so it imports nothing of this project.
LiteRT accepts files that need TensorFlow's kernels wherever TensorFlow happens to be loaded; a phone has
none, so the check must have none either.

Usage: litert_process.py MODEL OUTPUT_NAME QUERIES.npz RESULT.npz
"""

import sys

import numpy as np


def run(model: str, output: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Call the signature that returns `output`.

    Args:
      model: path of the TFLite file.
      output: name of the output.
      columns: `[q]` arrays by input name; strings as fixed-width bytes.
    Returns:
      `[q]` float array.
    Raises:
      ValueError: no such signature, an input that no query carries, or a value its dtype cannot hold.
    """
    # Here, since tflite_check.py imports this file, to find it, in a process with TensorFlow.
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model)
    listed = interpreter.get_signature_list()
    names = [name for name, ends in listed.items() if output in ends["outputs"]]
    if len(names) != 1:
        raise ValueError(f"one signature must return {output}; the file's signatures: {listed}")
    runner = interpreter.get_signature_runner(names[0])
    inputs = {}
    for name, detail in runner.get_input_details().items():
        if name not in columns:
            raise ValueError(f"the input {name} is not a feature of a query: {', '.join(columns)}")
        inputs[name] = converted(name, columns[name], detail["dtype"])
    return np.asarray(runner(**inputs)[output]).reshape(-1)


def converted(name: str, column: np.ndarray, dtype: type) -> np.ndarray:
    """Give a column the dtype that the file asks for, and refuse to change a value by it."""
    if not np.issubdtype(dtype, np.number):
        return column.astype(object)
    result: np.ndarray = column.astype(dtype)
    if np.issubdtype(dtype, np.integer) and (result != column).any():
        raise ValueError(f"{name} holds {column[result != column][0]}, which {np.dtype(dtype)} cannot hold")
    return result


def main(model: str, output: str, queries: str, result: str) -> None:
    """Read the queries, run the file, write the outputs."""
    with np.load(queries, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files}
    values = run(model, output, columns)
    if "tensorflow" in sys.modules:
        raise ValueError("TensorFlow was loaded, so the result says nothing of a device without it")
    np.savez(result, values=values)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    # RuntimeError is what LiteRT raises for an operation or a shape that it cannot run.
    except (ValueError, RuntimeError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
