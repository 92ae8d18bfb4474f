"""Queries of a split, and what a ranking file says of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from components.index_pusher.index.queries import parse, read_records
from components.index_pusher.proof.processes import Job, run_tflite
from modules import features


def read_queries(split_dir: str, size: int) -> dict[str, np.ndarray]:
    return parse(read_records(split_dir, size))


def rate_on_device(tflite_path: str, queries: Mapping[str, np.ndarray]) -> np.ndarray:
    """`[q]` stars, of a fresh process without TensorFlow."""
    (answer,) = run_tflite([Job(tflite_path, features.RATING_SIGNATURE, queries)])
    return answer[features.PREDICTED_RATING].reshape(-1)
