"""The comparison of two bundles' answers."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from tests.kubeflow import bundles

TITLES = np.array([[b"A", b"B"], [b"C", b"A"]])
STARS = np.array([[4.0, 3.0], [2.0, 1.0]], np.float32)


@pytest.mark.parametrize(
    ("titles", "stars", "expected"),
    [
        (TITLES, STARS, (0.0, 0.0)),
        (TITLES, STARS + np.array([[0, 0.25], [0, 0]], np.float32), (0.0, 0.25)),
        # If two films have changed ranks, their ratings are not compared.
        (TITLES[:, ::-1], STARS[:, ::-1], (1.0, 0.0)),
        (np.array([[b"A", b"D"], [b"C", b"A"]]), STARS + np.array([[0, 9], [0, 0]], np.float32), (0.25, 0.0)),
    ],
    ids=["alike", "another rating", "another order", "another title"],
)
def test_titles_and_then_their_ratings_are_compared(
    titles: np.ndarray,
    stars: np.ndarray,
    expected: tuple[float, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = {"one": (TITLES, STARS), "other": (titles, stars)}
    monkeypatch.setattr(bundles, "_recommend", lambda folder, users: answers[folder.name])
    received = bundles.difference(pathlib.Path("one"), pathlib.Path("other"), [b"1", b"2"])
    assert received == pytest.approx(expected)
