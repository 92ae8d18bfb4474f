"""Rater embeddings are found in planted ratings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from modules.bayesian import sampler
from modules.bayesian.factorization_machine import Field, Machine
from modules.bayesian.rater_embedding import rater_embeddings

USERS, TITLES = 60, 40


def coordinates(rated: np.ndarray, dim: int) -> np.ndarray:
    """Of a `[users, titles]` mask."""
    users, titles = np.nonzero(rated)
    return rater_embeddings(titles, users, rated.shape[1], dim, seed=7)


@pytest.fixture
def rated() -> np.ndarray:
    """Even users rate mostly even titles, odd ones odd; the titles differ in popularity."""
    draw = np.random.default_rng(0)
    alike = np.arange(USERS)[:, np.newaxis] % 2 == np.arange(TITLES) % 2
    return draw.random((USERS, TITLES)) < np.where(alike, 0.6, 0.1) * draw.uniform(0.3, 1.0, TITLES)


def test_titles_rated_by_the_same_users_lie_together(rated: np.ndarray) -> None:
    side = np.sign(coordinates(rated, 2)[:, 1])
    assert abs(np.sum(side[::2])) == abs(np.sum(side[1::2])) == TITLES / 2
    assert side[0] != side[1]


def test_coordinates_are_along_the_singular_vectors_of_the_weighted_matrix(rated: np.ndarray) -> None:
    of_title, of_user = rated.sum(axis=0) + 5.0, rated.sum(axis=1) + 5.0
    matrix = rated.T / np.sqrt(np.outer(of_title, of_user))
    vectors, _, _ = np.linalg.svd(matrix)
    expected = vectors[:, :4] * np.sqrt(TITLES)
    received = coordinates(rated, 4)
    signs = np.sign(expected[np.abs(expected).argmax(axis=0), np.arange(4)])
    np.testing.assert_allclose(received, expected * signs, atol=1e-4)


def test_a_seed_decides_all(rated: np.ndarray) -> None:
    np.testing.assert_array_equal(coordinates(rated, 4), coordinates(rated, 4))


def test_a_title_that_nobody_rated_has_none(rated: np.ndarray) -> None:
    rated[:, 3] = False
    received = coordinates(rated, 4)
    assert np.abs(received[3]).max() < 1e-6
    assert np.abs(np.delete(received, 3, axis=0)).max(axis=1).min() > 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 2), (3, 0), (5, 5)])
def test_directions_that_there_are_not_are_zero(shape: tuple[int, int]) -> None:
    received = coordinates(np.ones(shape, bool), 4)
    assert received.shape == (shape[1], 4)
    assert np.isfinite(received).all()
    # All raters alike, there is one direction at most.
    assert not received[:, min(1, max(0, min(shape) - 1)) :].any()


def test_what_few_rated_is_rated_better_by_who_they_were() -> None:
    """Tastes are planted in two camps; a title is rated by four, mostly of its own camp."""
    draw = np.random.default_rng(3)
    titles, users = np.repeat(np.arange(400), 4), draw.integers(0, USERS, 1_600)
    stray = draw.random(1_600) < 0.2
    users = users - users % 2 + (titles % 2) ^ stray
    pairs = np.unique(np.stack([users, titles], axis=1), axis=0)
    users, titles = pairs.T.astype(np.int32)
    rated_users, rated_titles = np.repeat(np.arange(USERS), 400), np.tile(np.arange(400), USERS)

    def rating(users: np.ndarray, titles: np.ndarray) -> np.ndarray:
        return np.where(users % 2 == titles % 2, 4.5, 2.0).astype(np.float32)

    rated = np.zeros((USERS, 400), bool)
    rated[users, titles] = True
    described = Field(4, coordinates(rated, 4), titles, "title")

    def error(candidate: dict[str, Field]) -> float:
        query = {"user": Field(USERS, np.arange(USERS, dtype=np.int32), users, "user")}
        noise = draw.normal(scale=0.8, size=len(users)).astype(np.float32)
        drawn = sampler.draws(query, candidate, rating(users, titles) + noise, 4, 1)
        machines = list(itertools.islice(drawn, 60))[20:]
        each = [
            machine.bias + _products(machine, rated_users, rated_titles, candidate) for machine in machines
        ]
        return float(np.sqrt(np.mean((np.mean(each, axis=0) - rating(rated_users, rated_titles)) ** 2)))

    alone = {"title": Field(400, np.arange(400, dtype=np.int32), titles, "title")}
    assert error({**alone, "rater_embedding": described}) < 0.8 * error(alone)


def _products(
    machine: Machine, users: np.ndarray, titles: np.ndarray, candidate: dict[str, Field]
) -> np.ndarray:
    query, of_titles = machine.tables["user"][users], np.zeros((400, machine.tables["user"].shape[1]))
    for name, field in candidate.items():
        table = machine.tables[name]
        of_titles += field.values @ table if field.weighs else table
    own = of_titles[titles]
    return query[:, -1] + own[:, -1] + np.sum(query[:, :-1] * own[:, :-1], axis=1)
