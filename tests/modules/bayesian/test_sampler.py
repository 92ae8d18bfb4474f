"""The sampler against closed forms and planted machines, and one machine against the mean of some."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from modules.bayesian import sampler
from modules.bayesian.factorization_machine import Field, Fields, Machine, embed, mean_machine

DRAW = np.random.default_rng(5)
USERS, FILMS, KINDS, DIM = 60, 40, 4, 2
# One user and one film have no rows.
ROWS = np.array(list(itertools.product(range(USERS - 1), range(FILMS - 1))), np.int32)
NOISE = 0.3
MEMBERS = DRAW.dirichlet(np.ones(KINDS) / 2, FILMS).astype(np.float32)
AGES = (np.arange(USERS) % 3).astype(np.int32)
BIASES = DRAW.normal(size=(len(ROWS), 2)).astype(np.float32)


def sides(chosen: np.ndarray) -> tuple[Fields, Fields]:
    """Fields of every kind, of some of ROWS."""
    users, films = ROWS[chosen].T
    query = {
        "user": Field(USERS, np.arange(USERS, dtype=np.int32), users, "user"),
        "age": Field(3, AGES, users, "user"),
        "recent_bias": Field(2, BIASES[chosen], None, "row"),
    }
    candidate = {
        "film": Field(FILMS, np.arange(FILMS, dtype=np.int32), films, "film"),
        "kinds": Field(KINDS, MEMBERS, films, "film"),
    }
    return query, candidate


def predicted(machine: Machine, query: Fields, candidate: Fields) -> np.ndarray:
    """Ratings of all rows of the fields."""
    rows = np.arange(len(query["recent_bias"].values))
    q, c = (embed(side, machine.tables, rows) for side in (query, candidate))
    return machine.bias + q[:, -1] + c[:, -1] + np.sum(q[:, :-1] * c[:, :-1], axis=1)


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratings of a machine, and which rows are fitted to and which are held out."""
    fields = {name: field for side in sides(np.arange(len(ROWS))) for name, field in side.items()}
    tables = {name: DRAW.normal(size=(field.size, DIM + 1)) * 0.5 for name, field in fields.items()}
    truth = predicted(Machine(3.0, tables), *sides(np.arange(len(ROWS))))
    ratings = (truth + DRAW.normal(size=len(ROWS)) * NOISE).astype(np.float32)
    order = DRAW.permutation(len(ROWS))
    return ratings, order[:1500], order[1500:]


RATINGS, FITTED, HELD_OUT = planted()


def sampled(count: int, seed: int = 1, dim: int = DIM) -> list[Machine]:
    """The first draws."""
    return list(itertools.islice(sampler.draws(*sides(FITTED), RATINGS[FITTED], dim, seed), count))


@pytest.fixture(scope="module")
def machines() -> list[Machine]:
    return sampled(60)[20:]


def error(machine: Machine) -> float:
    difference = predicted(machine, *sides(HELD_OUT)) - RATINGS[HELD_OUT]
    return float(np.sqrt(np.mean(np.square(difference))))


def test_the_mean_of_draws_recovers_a_planted_machine_and_beats_a_draw(machines: list[Machine]) -> None:
    mean = mean_machine(machines, *sides(FITTED), DIM * len(machines), np.arange(len(FITTED)))
    linear = np.mean([predicted(machine, *sides(HELD_OUT)) for machine in sampled(60, dim=0)[20:]], axis=0)
    biases = np.sqrt(np.mean(np.square(linear - RATINGS[HELD_OUT])))
    assert error(mean) < 1.15 * NOISE
    assert error(mean) < np.mean([error(machine) for machine in machines])
    assert biases > 2 * NOISE


def test_one_machine_predicts_the_mean_of_several_exactly_or_nearly(
    machines: list[Machine],
) -> None:
    few = machines[:3]
    expected = np.mean([predicted(machine, *sides(FITTED)) for machine in few], axis=0)
    distances = []
    for dim in (1, 2, 4, 3 * DIM, 3 * DIM + 2):
        mean = mean_machine(few, *sides(FITTED), dim, np.arange(len(FITTED)))
        assert mean.tables["user"].shape == (USERS, dim + 1)
        distances.append(np.abs(predicted(mean, *sides(FITTED)) - expected).max())
    assert distances[-1] < 1e-3
    assert distances[-2] < 1e-3
    assert distances[0] > distances[1] > distances[2] > distances[3]


@pytest.mark.parametrize("joint", [False, True])
def test_weights_are_drawn_from_the_posterior_of_a_linear_model(joint: bool) -> None:
    """Its mean and covariance in closed form, Bishop, Pattern Recognition (2006), equations 3.50 and 3.51."""
    size, width, rows, precision = 3, 2, 50, 4.0
    draw = np.random.default_rng(0)
    values = draw.random((rows, size)) if joint else np.eye(size)[draw.integers(size, size=rows)]
    factors, error_left = draw.normal(size=(rows, width)), draw.normal(size=rows)
    old, mean = draw.normal(size=(size, width)), np.array([0.5, -1.0])
    precisions = np.array([2.0, 5.0])
    design = (values[:, :, np.newaxis] * factors[:, np.newaxis]).reshape(rows, -1)
    target = error_left + design @ old.ravel()
    inverse = np.diag(np.tile(precisions, size)) + precision * design.T @ design
    expected = np.linalg.solve(
        inverse, np.tile(precisions * mean, size) + precision * design.T @ target
    ).reshape(size, width)

    def drawn(noise: np.ndarray) -> np.ndarray:
        received = sampler.draw_weights(
            tf.constant(values if joint else values.argmax(axis=1)),
            tf.constant((factors[:, :, np.newaxis] * factors[:, np.newaxis]).reshape(rows, -1)),
            tf.constant(factors * error_left[:, np.newaxis]),
            *map(tf.constant, (old, np.float64(precision), precisions, mean, noise)),
        )
        return received.numpy()

    np.testing.assert_allclose(drawn(np.zeros((size, width))), expected, rtol=1e-8)
    # A draw is the mean and a root of the covariance times the noise.
    units = np.eye(size * width).reshape(-1, size, width)
    root = np.stack([(drawn(unit) - expected).ravel() for unit in units], axis=1)
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(inverse), rtol=1e-8, atol=1e-12)


def test_a_large_set_is_drawn_block_by_block(
    monkeypatch: pytest.MonkeyPatch, machines: list[Machine]
) -> None:
    monkeypatch.setattr(sampler, "_BLOCK", 3)
    blocks = sampled(60)[20:]
    means = [mean_machine(drawn, *sides(FITTED), 8, np.arange(len(FITTED))) for drawn in (machines, blocks)]
    one, other = (predicted(mean, *sides(HELD_OUT)) for mean in means)
    assert np.sqrt(np.mean(np.square(one - other))) < 0.3 * NOISE


def test_the_seed_decides_the_draws() -> None:
    one, again, other = (sampled(5, seed)[-1] for seed in (1, 1, 2))
    for name, table in one.tables.items():
        np.testing.assert_allclose(again.tables[name], table, rtol=1e-3, atol=1e-4)
        assert np.abs(other.tables[name] - table).mean() > 0.01


def test_a_value_of_no_row_has_the_mean_of_its_fields_prior(machines: list[Machine]) -> None:
    for name, size in (("user", USERS), ("film", FILMS)):
        tables = np.stack([machine.tables[name] for machine in machines])
        used, unused = tables[:, :-1], tables[:, -1]
        # Of a mean over the values: far less spread than a draw of one more value would have.
        spread = (unused - used.mean(axis=1)).std(axis=0)
        assert (spread < 2.5 * used.std(axis=1).mean(axis=0) / np.sqrt(size)).all()
        assert (spread > 0).all()


def test_draws_that_are_not_finite_are_an_error() -> None:
    for wrong in (1e30, np.nan):
        ratings = RATINGS[FITTED] * np.float32(wrong)
        with pytest.raises(FloatingPointError, match="not finite|not positive"):
            list(itertools.islice(sampler.draws(*sides(FITTED), ratings, DIM, 1), 5))
