"""Gate of the ranking TFLite file: equal to its SavedModel, in a process without TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from components.index_pusher import litert_process, signatures
from components.index_pusher.gates import Refusal
from components.index_pusher.queries import absent
from modules import features

# Largest difference of a predicted rating, in stars.
TOLERANCE = 1e-5
TIMEOUT_SECONDS = 300


def check_tflite(ranking: Any, tflite_path: str, queries: Mapping[str, np.ndarray]) -> float:
    """Compare the file with the model's `rate` signature.

    Args:
      ranking: loaded SavedModel.
      tflite_path: the file.
      queries: query features and movie_title by name, as of queries.read_queries.
    Returns:
      The largest difference, in stars.
    Raises:
      Refusal: the file is absent, does not run without TensorFlow, or differs by more than TOLERANCE.
    """
    if not os.path.isfile(tflite_path):
        raise Refusal(f"the ranking model holds no TFLite file at {tflite_path}")
    asked = with_strangers(queries)
    expected = signatures.call(
        ranking.signatures[features.RATING_SIGNATURE],
        {name: tf.constant(column) for name, column in asked.items()},
    )[features.PREDICTED_RATING]
    expected = expected.numpy().reshape(-1)
    received = run_without_tensorflow(tflite_path, asked)
    if received.shape != expected.shape:
        raise Refusal(f"the TFLite file returned {len(received)} ratings for {len(expected)} queries")
    difference = np.abs(received - expected)
    # NaN compares false, so the comparison is the one that must hold.
    wrong = int((~(difference <= TOLERANCE)).sum())
    if wrong:
        worst = np.argmax(np.where(np.isnan(difference), np.inf, difference))
        raise Refusal(
            f"the TFLite file differs from its SavedModel on {wrong} of {len(expected)} queries by more than "
            f"{TOLERANCE:g} stars: {received[worst]:.6f} where {expected[worst]:.6f} was expected",
            {"tflite_max_difference": float(difference[worst])},
        )
    return float(difference.max())


def with_strangers(queries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Append what no real query has.

    An unknown user, an unknown title, both; then a user and an unknown one who tell nothing of themselves.

    >>> asked = with_strangers({"user_id": np.array([b"7"], object), "user_age": np.array([25])})
    >>> asked["user_id"].tolist(), asked["user_age"].tolist()
    ([b'7', b'no such user', b'7', b'no such user', b'7', b'no such user'], [25, 25, 25, 25, -1, -1])
    """
    given = {features.USER_ID, features.TIMESTAMP}
    untold = {row.name: absent(row) for row in features.QUERY_FEATURES if row.name not in given}
    result = {}
    for name, column in queries.items():
        extra = column[[0] * 5]
        if name == features.USER_ID:
            extra[[0, 2, 4]] = b"no such user"
        if name == features.MOVIE_TITLE:
            extra[[1, 2]] = b"no such title"
        if name in untold:
            extra[[3, 4]] = untold[name]
        result[name] = np.concatenate([column, extra])
    return result


def run_without_tensorflow(tflite_path: str, queries: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run the file in a fresh process.

    Returns:
      `[q]` predicted ratings.
    Raises:
      Refusal: the process failed; its last line is quoted.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = os.path.join(folder, "queries.npz"), os.path.join(folder, "result.npz")
        # Fixed-width bytes: arrays of objects could only be stored as pickles.
        np.savez(asked, **{name: _fixed_width(column) for name, column in queries.items()})
        command = [sys.executable, "-I", litert_process.__file__]
        command += [tflite_path, features.PREDICTED_RATING, asked, answered]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Refusal(f"the TFLite file gave no answer within {TIMEOUT_SECONDS} s") from error
        if process.returncode:
            said = process.stderr.strip().splitlines() or [f"it ended with code {process.returncode}"]
            raise Refusal(f"the TFLite file does not run without TensorFlow: {said[-1]}")
        with np.load(answered, allow_pickle=False) as stored:
            return stored["values"]


def _fixed_width(column: np.ndarray) -> np.ndarray:
    return column.astype(np.bytes_) if column.dtype.kind == "O" else column
