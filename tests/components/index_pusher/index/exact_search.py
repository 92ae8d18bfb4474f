"""Exact search in NumPy, which indexes are held against."""

from __future__ import annotations

import numpy as np


def best(queries: np.ndarray, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`[q, k]` positions and scores, best first; ties in the order of the catalogue."""
    scores = queries @ embeddings.T
    positions = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return positions, np.take_along_axis(scores, positions, axis=1)
