"""A factorisation machine between two sides, as tables over fields, and one for the mean of several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

# Directions of the vectors' space with less than this share of the largest variance are not scaled up.
_NEGLIGIBLE = 1e-8


@dataclasses.dataclass(frozen=True)
class Field:
    """One feature of every row: rows belong to groups, and groups have values.

    Attributes:
      size: number of the feature's values; its table has as many rows.
      values: `[groups]` int32, one value's index each; or `[groups, size]` float32, the weight of each value.
      groups: `[rows]` int32, each row's group; None if each row is its own.
      level: name of the groups: fields of one side and one level have the same groups, and share their sums.
    """

    size: int
    values: np.ndarray
    groups: np.ndarray | None
    level: str

    @property
    def weighs(self) -> bool:
        """Whether a group has a weight for each value."""
        return self.values.ndim == 2

    def embed(self, table: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the field's term in some rows, `[len(rows), width]`, from a `[size, width]` table."""
        values = self.values[rows if self.groups is None else self.groups[rows]]
        return values @ table if self.weighs else table[values]

    def unused(self) -> np.ndarray:
        """Return which values occur in no row, `[size]` bool."""
        present = np.unique(self.groups) if self.groups is not None else slice(None)
        if self.weighs:
            return ~self.values[present].any(axis=0)
        return np.bincount(self.values[present], minlength=self.size) == 0


Fields = Mapping[str, Field]


@dataclasses.dataclass(frozen=True)
class Machine:
    """A factorisation machine between two sides.

    Attributes:
      bias: in stars.
      tables: by field, `[size, dim + 1]`; the last column holds the linear terms.
    """

    bias: float
    tables: Mapping[str, np.ndarray]


def embed(side: Fields, tables: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Sum the terms of a side's fields in some rows, `[len(rows), width]`, from `[size, width]` tables."""
    first, *others = side
    total = side[first].embed(tables[first], rows)
    for name in others:
        total += side[name].embed(tables[name], rows)
    return total


def mean_machine(
    machines: Sequence[Machine], query: Fields, candidate: Fields, dim: int, rows: np.ndarray
) -> Machine:
    """Find one machine that predicts the mean of some machines, as nearly as its vectors allow.

    The mean of inner products is the inner product of the concatenated vectors. The machine keeps the part of
    this product that varies most over the pairs of a query and a candidate in some rows.

    Args:
      machines: draws.
      query, candidate: fields of the two sides.
      dim: length of the vectors; exact from the number of machines times their own length on.
      rows: numbers of the rows for this variance.
    """
    count = len(machines)
    scale = count**-0.5

    def joined(name: str) -> np.ndarray:
        return np.concatenate([machine.tables[name][:, :-1] for machine in machines], axis=1) * scale

    tables = {name: joined(name) for name in (*query, *candidate)}
    roots = []
    for side in (query, candidate):
        vectors = embed(side, tables, rows)
        values, basis = np.linalg.eigh((vectors.T @ vectors).astype(np.float64) / len(rows))
        values = np.maximum(values, _NEGLIGIBLE * values.max())
        roots.append((basis * values**0.5, basis * values**-0.5))
    (query_root, query_inverse), (candidate_root, candidate_inverse) = roots
    left, sizes, right = np.linalg.svd(query_root.T @ candidate_root)
    kept = min(dim, len(sizes))
    share = np.sqrt(sizes[:kept])
    shrink = ((query, query_inverse @ left[:, :kept]), (candidate, candidate_inverse @ right[:kept].T))
    result = {}
    for side, towards in shrink:
        for name in side:
            linear = np.mean([machine.tables[name][:, -1:] for machine in machines], axis=0)
            vectors = np.pad(tables[name] @ (towards * share), [(0, 0), (0, dim - kept)])
            result[name] = np.concatenate([vectors, linear], axis=1).astype(np.float32)
    return Machine(float(np.mean([machine.bias for machine in machines])), result)
