"""A factorisation machine fitted by sampling. Runs in the Trainers.

A rating is `bias + b_q + b_c + <q, c>`: each side's vector and linear term are sums, over its fields, of rows
of their tables. Instead of one best value for every weight, draws from the weights' posterior are averaged,
so that users and films of few ratings are not overfitted. No rate or penalty has to be tuned, because the
noise's precision and each field's prior are drawn too.

References:
  Salakhutdinov and Mnih, Bayesian Probabilistic Matrix Factorization using MCMC (ICML 2008): blocks.
  Freudenthaler, Schmidt-Thieme and Rendle, Bayesian Factorization Machines (NIPS 2011 workshop): the model.
  Rendle, Scaling Factorization Machines to Relational Data (VLDB 2013): sums that several fields share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from modules.bayesian.factorization_machine import Field, Fields, Machine

# Deviation of the initial vectors, and initial precision of the weights.
_INITIAL_DEVIATION = 0.1
_INITIAL_PRECISION = 10.0
# Gamma prior of a precision of weights: shape 1/2, rate 0.05 / 2; of the noise's: 1/2 and 1/2.
_WEIGHTS_RATE = 0.05
_NOISE_RATE = 1.0
# Members of a set that are drawn at once: their matrix has the square of (members * width) cells.
_BLOCK = 32


def draws(query: Fields, candidate: Fields, ratings: np.ndarray, dim: int, seed: int) -> Iterator[Machine]:
    """Draw machines from the posterior, one a sweep, without end; the first ones still depend on the start.

    A value that occurs in no row has the mean of its field's prior in every draw, not a draw of it.

    Args:
      query, candidate: the fields of the two sides; names are unique over both.
      ratings: `[rows]` float32, stars.
      dim: length of the vectors.
      seed: decides every draw.
    Raises:
      FloatingPointError: a draw is not finite.
    """
    random = np.random.default_rng(seed)
    fields = {**query, **candidate}
    mean = float(np.mean(ratings, dtype=np.float64))
    sweep = _Sweep(query, candidate, (ratings - mean).astype(np.float32), dim)
    state = _initial(fields, dim, random)
    unused = {name: field.unused()[:, np.newaxis] for name, field in fields.items()}
    while True:
        try:
            state = sweep(state, _noise(fields, len(ratings), dim, random))
        except tf.errors.InvalidArgumentError as error:
            raise FloatingPointError("a matrix of precisions is not positive") from error
        bias = mean + float(state["bias"])
        means = {name: of_field["mean"].numpy() for name, of_field in state["fields"].items()}
        tables = {
            name: np.where(unused[name], means[name], of_field["table"].numpy())
            for name, of_field in state["fields"].items()
        }
        if not all(map(np.isfinite, (bias, *(table.sum() for table in tables.values())))):
            raise FloatingPointError("a draw is not finite")
        yield Machine(bias, tables)


def _initial(fields: Fields, dim: int, random: np.random.Generator) -> dict[str, Any]:
    deviations = np.append(np.full(dim, _INITIAL_DEVIATION), 0.0)
    tables = {name: random.normal(size=(field.size, dim + 1)) * deviations for name, field in fields.items()}
    return {
        "bias": tf.constant(0.0),
        "fields": {
            name: {"table": tf.constant(table, tf.float32), "mean": tf.zeros(dim + 1)}
            for name, table in tables.items()
        },
        "precisions": {name: tf.fill([dim + 1], _INITIAL_PRECISION) for name in fields},
    }


def _noise(fields: Fields, rows: int, dim: int, random: np.random.Generator) -> dict[str, Any]:
    """Draw all random numbers of a sweep; the gammas' shapes are known, so that a sweep only scales them."""

    def normal(*shape: int) -> tf.Tensor:
        return tf.constant(random.standard_normal(shape, np.float32))

    return {
        "bias": normal(),
        "noise": tf.constant(random.standard_gamma((rows + 1) / 2), tf.float32),
        "fields": {
            name: {
                "precision": tf.constant(random.standard_gamma((field.size + 2) / 2, dim + 1), tf.float32),
                "mean": normal(dim + 1),
                "table": normal(field.size, dim + 1),
            }
            for name, field in fields.items()
        },
    }


class _Sweep:
    """One pass over all weights, each field's drawn given all others."""

    def __init__(self, query: Fields, candidate: Fields, centred: np.ndarray, dim: int):
        self._sides = (dict(query), dict(candidate))
        self._centred = tf.constant(centred)
        self._dim = dim
        fields = {**query, **candidate}
        self._values = {name: tf.constant(field.values) for name, field in fields.items()}
        self._groups = {
            field.level: tf.constant(field.groups) for field in fields.values() if field.groups is not None
        }
        self._run = tf.function(self._traced, autograph=False)

    def __call__(self, state: dict[str, Any], noise: dict[str, Any]) -> dict[str, Any]:
        return self._run(state, noise)

    def _traced(self, state: dict[str, Any], noise: dict[str, Any]) -> dict[str, Any]:
        tables = {name: of_field["table"] for name, of_field in state["fields"].items()}
        query, candidate = (self._embed(side, tables) for side in self._sides)
        dim, rows = self._dim, float(len(self._centred))
        products = tf.reduce_sum(query[:, :dim] * candidate[:, :dim], axis=1)
        error = self._centred - state["bias"] - query[:, dim] - candidate[:, dim] - products
        precision = noise["noise"] / ((tf.reduce_sum(tf.square(error)) + _NOISE_RATE) / 2)
        step = tf.reduce_mean(error) + noise["bias"] / tf.sqrt(rows * precision)
        error -= step
        drawn: dict[str, Any] = {}
        for side, other in ((0, candidate), (1, None)):
            if other is None:
                other = self._embed(self._sides[0], {name: f["table"] for name, f in drawn.items()})
            # The factors of the side's weights: the other side's vector, and 1 for the linear term.
            factors = tf.concat([other[:, :dim], tf.ones_like(other[:, dim:])], axis=1)
            error = self._draw_side(self._sides[side], factors, error, precision, state, noise, drawn)
        return {
            "bias": state["bias"] + step,
            "fields": {name: {key: f[key] for key in ("table", "mean")} for name, f in drawn.items()},
            "precisions": {name: f["precisions"] for name, f in drawn.items()},
        }

    def _embed(self, side: Fields, tables: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.add_n([self._of_rows(f, self._of_groups(name, tables[name])) for name, f in side.items()])

    def _of_groups(self, name: str, table: tf.Tensor) -> tf.Tensor:
        values = self._values[name]
        return tf.matmul(values, table) if values.shape.rank == 2 else tf.gather(table, values)

    def _of_rows(self, field: Field, of_groups: tf.Tensor) -> tf.Tensor:
        return of_groups if field.groups is None else tf.gather(of_groups, self._groups[field.level])

    def _summed(self, field: Field, of_rows: tf.Tensor) -> tf.Tensor:
        """Sum `[rows, ...]` over each group's rows, `[groups, ...]`."""
        if field.groups is None:
            return of_rows
        return tf.math.unsorted_segment_sum(of_rows, self._groups[field.level], len(field.values))

    def _draw_side(
        self,
        side: Fields,
        factors: tf.Tensor,
        error: tf.Tensor,
        precision: tf.Tensor,
        state: dict[str, Any],
        noise: dict[str, Any],
        drawn: dict[str, Any],
    ) -> tf.Tensor:
        """Draw one side's fields in turn into `drawn`; return the remaining error, `[rows]`."""
        width = self._dim + 1
        squares = tf.reshape(factors[:, :, tf.newaxis] * factors[:, tf.newaxis], [-1, width * width])
        sums: dict[str, tf.Tensor] = {}
        for name, field in side.items():
            if field.level not in sums:
                sums[field.level] = self._summed(field, squares)
            table, fixed = state["fields"][name]["table"], noise["fields"][name]
            # Normal and gamma priors of the field's weights, a pair for each column.
            old_mean = state["fields"][name]["mean"]
            spread = tf.reduce_sum(tf.square(table - old_mean), 0) + tf.square(old_mean) + _WEIGHTS_RATE
            precisions = fixed["precision"] / (spread / 2)
            count = field.size + 1.0
            mean = tf.reduce_sum(table, 0) / count + fixed["mean"] / tf.sqrt(count * precisions)
            for start in range(0, field.size, _BLOCK if field.weighs else field.size):
                stop = min(start + _BLOCK, field.size) if field.weighs else field.size
                block = slice(start, stop)
                values = self._values[name][:, block] if field.weighs else self._values[name]
                towards = self._summed(field, factors * error[:, tf.newaxis])
                new = draw_weights(
                    *(values, sums[field.level], towards, table[block], precision, precisions, mean),
                    fixed["table"][block],
                )
                step = new - table[block]
                moved = tf.matmul(values, step) if field.weighs else tf.gather(step, values)
                error -= tf.reduce_sum(factors * self._of_rows(field, moved), axis=1)
                table = tf.concat([table[:start], new, table[stop:]], axis=0)
            drawn[name] = {"table": table, "mean": mean, "precisions": precisions}
        return error


def draw_weights(
    values: tf.Tensor,
    squares: tf.Tensor,
    towards: tf.Tensor,
    old: tf.Tensor,
    precision: tf.Tensor,
    precisions: tf.Tensor,
    mean: tf.Tensor,
    noise: tf.Tensor,
) -> tf.Tensor:
    """Draw weights of a field from the normal distribution that they have given all others.

    Args:
      values: `[groups]` indices, or `[groups, size]` weights, which leaves all to be drawn jointly.
      squares: `[groups, width * width]`, sums of `x x^T` over the groups' rows, x being the rows' factors.
      towards: `[groups, width]`, sums of `x e`, e being the error that the old weights leave.
      old: `[size, width]` weights.
      precision: of the ratings' noise.
      precisions, mean: `[width]`, of the weights' prior.
      noise: `[size, width]` standard normal.
    """
    size, width = old.shape
    joint = values.shape.rank == 2
    if joint:
        pairs = tf.reshape(values[:, :, tf.newaxis] * values[:, tf.newaxis], [-1, size * size])
        cells = tf.reshape(tf.matmul(pairs, squares, transpose_a=True), [size, size, width, width])
        gram = tf.reshape(tf.transpose(cells, [0, 2, 1, 3]), [1, size * width, size * width])
        towards = tf.matmul(values, towards, transpose_a=True)
    else:
        gram = tf.reshape(tf.math.unsorted_segment_sum(squares, values, size), [size, width, width])
        towards = tf.math.unsorted_segment_sum(towards, values, size)
    shape = [1, size * width] if joint else [size, width]
    copies = size if joint else 1
    prior, centre = tf.tile(precisions, [copies]), tf.tile(mean, [copies])
    towards = tf.reshape(towards, shape) + tf.linalg.matvec(gram, tf.reshape(old, shape))
    root = tf.linalg.cholesky(precision * gram + tf.linalg.diag(prior))
    half = tf.linalg.triangular_solve(root, (precision * towards + prior * centre)[..., tf.newaxis])
    half += tf.reshape(noise, [*shape, 1])
    return tf.reshape(tf.linalg.triangular_solve(root, half, adjoint=True), [size, width])
