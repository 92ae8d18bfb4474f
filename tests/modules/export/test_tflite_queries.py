"""Where a step function rises, found by bisection."""

from __future__ import annotations

import numpy as np
import pytest

from modules.export.tflite_queries import step_boundaries


def brute_force(function, steps: int, last: int) -> list[int]:
    values = function(np.arange(last + 1))
    return [int(np.argmax(values > i)) if (values > i).any() else last + 1 for i in range(steps - 1)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.minimum(x // 7, 9),
        lambda x: np.zeros_like(x),
        lambda x: np.full_like(x, 9),
        lambda x: np.where(x >= 999, 9, 0),
        lambda x: np.where(x >= 1000, 9, 0),
        lambda x: np.searchsorted([0, 3, 3, 500, 998], x, side="right"),
        lambda x: (np.sqrt(x) / 4).astype(int),
    ],
    ids=["even", "never", "always", "at the last", "after the last", "uneven", "root"],
)
def test_it_finds_what_trying_every_argument_finds(function) -> None:
    received = step_boundaries(function, steps=10, last=999)
    assert received.dtype == np.int64
    assert received.tolist() == brute_force(function, 10, 999)


def test_boundaries_are_found_to_the_second_in_about_thirty_calls() -> None:
    calls = []

    def bucket(timestamps: np.ndarray) -> np.ndarray:
        calls.append(len(timestamps))
        return np.clip((timestamps - 874_724_710) // 18_561, 0, 999)

    assert step_boundaries(bucket, 1000).tolist() == [874_724_710 + 18_561 * i for i in range(1, 1000)]
    assert len(calls) <= 32
