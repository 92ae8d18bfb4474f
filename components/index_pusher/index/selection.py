"""Build the index, and compare it with brute force on real queries: soundness, recall and latency.

Runs in the executor's process.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Figures, Refusal
from components.index_pusher.index.scann_operations import BRUTE_FORCE
from components.index_pusher.index.searches import BruteForce, Index, Plan, make, plan_of_installed, widen

# Single queries timed, index and brute force in turn, so that other load slows both alike.
TIMED_QUERIES = 200
# In units of the largest score: greatest error of an exact score by float32's rounding, and greatest
# difference between two scores that counts as a tie.
SCORE_TOLERANCE = 1e-5
TIE_TOLERANCE = 1e-6
# Figures of an index that are no single values: a row for each setting tried, and why the last one was taken.
SETTINGS, CHOSEN_BECAUSE = "index_settings", "index_chosen_because"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A plan that was tried: recall, and median milliseconds of a query, on the queries that choose."""

    plan: Plan
    recall: float
    latency_ms: float


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Recall and speed of an index. Latencies are medians of single queries, in milliseconds.

    Attributes:
      recall, latency_ms, brute_force_latency_ms: on the queries that judge.
      settings: what was tried, each wider than the one before; the last one is the index's.
      chosen_because: why, in words.
    """

    recall: float
    latency_ms: float
    brute_force_latency_ms: float
    settings: tuple[Setting, ...]
    chosen_because: str

    @property
    def pays(self) -> float:
        """Latency of brute force in units of the index's: above 1, the index is faster at this size."""
        return self.brute_force_latency_ms / self.latency_ms


def check_found(positions: np.ndarray, scores: np.ndarray, true_scores: np.ndarray, k: int) -> None:
    """Compare results with k distinct candidates and their own scores.

    Args:
      positions: `[q, c]`, as the index returned them.
      scores: `[q, c]`, likewise.
      true_scores: `[q, n]` of every candidate.
      k: number of requested columns.
    Raises:
      Refusal: which of these failed, and on how many queries.
    """
    size, count = true_scores.shape
    if positions.shape != (size, k) or scores.shape != (size, k):
        raise Refusal(
            f"the index returned {positions.shape[1]} candidates, and {k} of {count} were requested"
        )
    broken = int((~np.isfinite(scores).all(axis=1)).sum())
    if broken:
        raise Refusal(f"the index returned NaN or infinite scores for {broken} of {size} queries")
    if (positions < 0).any() or (positions >= count).any():
        raise Refusal(f"the index returned positions outside the catalogue of {count}")
    ordered = np.sort(positions, axis=1)
    repeats = int((ordered[:, 1:] == ordered[:, :-1]).any(axis=1).sum())
    if repeats:
        raise Refusal(f"the index returned a candidate twice for {repeats} of {size} queries")
    truth = np.take_along_axis(true_scores, positions, axis=1)
    tolerance = SCORE_TOLERANCE * _largest(true_scores)
    wrong = int((np.abs(scores - truth) > tolerance).any(axis=1).sum())
    if wrong:
        raise Refusal(
            f"the index returned scores that are not the inner products for {wrong} of {size} queries"
        )


def recall(positions: np.ndarray, true_scores: np.ndarray) -> float:
    """Share of the exact best that was found; a candidate tied with the last of them counts as found.

    Titles that the training never saw share one embedding, so ties are no rarity.

    Args:
      positions: `[q, k]` distinct positions.
      true_scores: `[q, n]`.

    >>> recall(np.array([[0, 2]]), np.array([[3.0, 2.0, 1.0]]))
    0.5
    """
    k = positions.shape[1]
    last = -np.partition(-true_scores, k - 1, axis=1)[:, k - 1 : k]
    found = np.take_along_axis(true_scores, positions, axis=1)
    return float((found >= last - TIE_TOLERANCE * _largest(true_scores)).mean())


def _largest(scores: np.ndarray) -> float:
    return max(1.0, float(np.abs(scores).max()))


def measure_recall(index: Index | BruteForce, queries: np.ndarray, k: int) -> float:
    """Compare an index with brute force.

    Args:
      index: the index.
      queries: `[q, d]` float32 embeddings of real queries.
      k: depth, at most the number of candidates.
    Returns:
      recall at k.
    Raises:
      Refusal: what ScaNN returned is not sound (see `check_found`).
    """
    true_scores = queries @ index.embeddings.numpy().T
    positions, scores = (tensor.numpy() for tensor in _traced(index.approximate, index)(queries, k))
    check_found(positions, scores, true_scores, k)
    return recall(positions, true_scores)


def measure_latency(index: Index | BruteForce, queries: np.ndarray, k: int) -> tuple[float, float]:
    """Median time of one query in milliseconds: by the index, and by brute force in TensorFlow.

    Where brute force is the index, both are one figure: two measurements would differ by noise.
    """
    approximate, exact = _traced(index.approximate, index), _traced(index.exact.search, index)
    by_index, by_brute_force = _median_ms((approximate, exact), queries, k)
    return by_brute_force if index.exact is index else by_index, by_brute_force


def _median_ms(searches: Sequence[Callable], queries: np.ndarray, k: int) -> list[float]:
    """Time single queries by each search in turn."""
    singles = [tf.constant(query[None]) for query in queries[:TIMED_QUERIES]]
    for search in searches:
        search(singles[0], k)  # the first call traces
    timings = [[_seconds(search, single, k) for search in searches] for single in singles]
    return [float(median) for median in 1e3 * np.median(timings, axis=0)]


def _traced(function: Callable, index: Index | BruteForce) -> Callable:
    spec = [tf.TensorSpec([None, index.embeddings.shape[1]]), tf.TensorSpec([], tf.int32)]
    return tf.function(function, input_signature=spec)


def _seconds(function: Callable, query: tf.Tensor, k: int) -> float:
    start = time.perf_counter()
    function(query, k)
    return time.perf_counter() - start


def build(
    embeddings: np.ndarray, queries: np.ndarray, config: IndexConfig
) -> tuple[Index | BruteForce, Measurement]:
    """Build an index, widening its search until it reaches the recall, or is as wide as it can be.

    The first half of the queries chooses and the second half judges: a search widened until a number
    fits would otherwise be judged by the number it was fitted to.

    Args:
      embeddings: `[n, d]` float32 candidates.
      queries: `[q, d]` float32, of real queries.
      config: parameters and threshold.
    Raises:
      Refusal: what ScaNN returns is not sound.
    """
    count, half = len(embeddings), len(queries) // 2
    k = min(config.recall_k, count)
    index = make(embeddings, plan_of_installed(config, count), config.recall_k)
    choosing, judging = queries[: max(half, 1)], queries[half:]
    # Half of the allowed misses are left for the difference between the two halves.
    enough = 1 - (1 - config.min_recall) / 2
    settings = [_try(index, choosing, k)]
    while settings[-1].recall < enough and (wider := widen(index.plan, config, count)):
        index.plan = wider
        settings.append(_try(index, choosing, k))
    return index, Measurement(
        measure_recall(index, judging, k),
        *measure_latency(index, judging, k),
        settings=tuple(settings),
        chosen_because=_chosen_because(settings, enough),
    )


def _try(index: Index | BruteForce, queries: np.ndarray, k: int) -> Setting:
    """Measure a plan; one that returns unsound results has recall 0, for a wider one may be sound."""
    try:
        reached = measure_recall(index, queries, k)
    except Refusal:
        reached = 0.0
    (latency,) = _median_ms([_traced(index.approximate, index)], queries, k)
    return Setting(index.plan, reached, latency)


def _chosen_because(settings: Sequence[Setting], enough: float) -> str:
    """Say why the last setting was taken.

    >>> wide, narrow = Plan("hashed", reordering=200), Plan("hashed", reordering=100)
    >>> _chosen_because([Setting(narrow, 0.98, 1.0), Setting(wide, 0.997, 2.0)], 0.995)
    'the first of 2 settings whose recall reaches 0.995 on the half of the queries that chooses'
    >>> _chosen_because([Setting(narrow, 0.98, 1.0)], 0.995)
    'there is no wider search, or none is allowed; its recall should reach 0.995'
    >>> _chosen_because([Setting(Plan("exact"), 1.0, 1.0)], 0.995)
    'the catalogue is small enough for an exact search, which misses nothing'
    """
    chosen = settings[-1]
    if chosen.plan.kind == BRUTE_FORCE:
        return "without ScaNN the search is exact"
    if chosen.plan.kind == "exact":
        return "the catalogue is small enough for an exact search, which misses nothing"
    if chosen.recall < enough:
        return f"there is no wider search, or none is allowed; its recall should reach {enough:g}"
    tried = f"the first of {len(settings)} settings" if len(settings) > 1 else "the first setting tried"
    return f"{tried} whose recall reaches {enough:g} on the half of the queries that chooses"


def figures(index: Index | BruteForce, measurement: Measurement, num_candidates: int) -> Figures:
    """Return the figures of an index for the output artifact and the manifest."""
    return {
        "index_kind": index.plan.kind,
        "index_leaves": index.plan.leaves,
        "index_leaves_to_search": index.plan.leaves_to_search,
        "index_reordering": index.plan.reordering,
        "index_recall": measurement.recall,
        "index_latency_ms": measurement.latency_ms,
        "brute_force_latency_ms": measurement.brute_force_latency_ms,
        "index_pays": measurement.pays,
        "num_candidates": num_candidates,
        SETTINGS: [
            {
                "leaves_to_search": setting.plan.leaves_to_search,
                "reordering": setting.plan.reordering,
                "recall": setting.recall,
                "latency_ms": setting.latency_ms,
            }
            for setting in measurement.settings
        ],
        CHOSEN_BECAUSE: measurement.chosen_because,
    }
