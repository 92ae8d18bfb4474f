"""Searching a large catalogue: ScaNN as the IndexPusher builds it, brute force and faiss, at equal recall.

Run it with `python -m benchmarks.speed.ann`; `--help` lists the flags. Candidates and queries are drawn
around common centres, as embeddings of titles are, which uniform ones are not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import faiss
import numpy as np
import tensorflow as tf

from benchmarks import table
from components.index_pusher.config import IndexConfig
from components.index_pusher.index import searches

_DIM, _SEED, _SPREAD = 64, 42, 0.5

Search = Callable[[np.ndarray], np.ndarray]


class Result(NamedTuple):
    """One way to search.

    Attributes:
      name: for a person.
      build: seconds.
      recall: share of the exact best that were found.
      single, batch: milliseconds per query, with a call for each (median) and with one call for all.
    """

    name: str
    build: float
    recall: float
    single: float
    batch: float


def vectors(candidates: int, queries: int, seed: int = _SEED) -> tuple[np.ndarray, np.ndarray]:
    """Draw candidates and queries, float32 of length 64.

    >>> [drawn.shape for drawn in vectors(100, 7)]
    [(100, 64), (7, 64)]
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(16, candidates // 500), _DIM)).astype(np.float32)

    def draw(rows: int) -> np.ndarray:
        noise = rng.standard_normal((rows, _DIM), np.float32)
        return centres[rng.integers(len(centres), size=rows)] + _SPREAD * noise

    return draw(candidates), draw(queries)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Share of the exact positions, a row for each query, that were found.

    >>> recall(np.array([[1, 2], [3, 9]]), np.array([[2, 1], [3, 4]]))
    0.75
    """
    hits = [len(np.intersect1d(mine, best)) for mine, best in zip(found, exact, strict=True)]
    return sum(hits) / exact.size


def compare(candidates: np.ndarray, queries: np.ndarray, k: int, least: float) -> list[Result]:
    """Measure every way; what is approximate is widened until it reaches `least`.

    Args:
      candidates, queries: `[n, d]` and `[q, d]` float32.
      k: depth.
      least: recall, above 0 and up to 1.
    """
    began = time.monotonic()
    brute = searches.BruteForce(candidates)
    built = time.monotonic() - began
    search = _tensorflow(brute.search, k)
    exact = search(queries)
    results = [_timed("brute force, TensorFlow", built, search, queries, exact)]
    began = time.monotonic()
    flat = faiss.IndexFlatIP(candidates.shape[1])
    flat.add(candidates)
    built = time.monotonic() - began
    results.append(_timed("brute force, faiss", built, lambda rows: flat.search(rows, k)[1], queries, exact))
    results.append(_scann(candidates, queries, exact, k, least))
    results.append(_faiss(candidates, queries, exact, k, least))
    return results


def _scann(candidates: np.ndarray, queries: np.ndarray, exact: np.ndarray, k: int, least: float) -> Result:
    config, count = IndexConfig(recall_k=k), len(candidates)
    began = time.monotonic()
    searcher = searches.Index(candidates, searches.plan(config, count), k)
    built = time.monotonic() - began
    search = _tensorflow(searcher.search, k)
    while recall(search(queries), exact) < least and (wider := searches.widen(searcher.plan, config, count)):
        searcher.plan = wider
        search = _tensorflow(searcher.search, k)
    plan = searcher.plan
    name = f"ScaNN, {plan.kind}"
    if plan.kind == "partitioned":
        name += f", {plan.leaves_to_search} of {plan.leaves} leaves"
    return _timed(name, built, search, queries, exact)


def _faiss(candidates: np.ndarray, queries: np.ndarray, exact: np.ndarray, k: int, least: float) -> Result:
    lists = max(1, int(len(candidates) ** 0.5))
    began = time.monotonic()
    quantizer = faiss.IndexFlatIP(candidates.shape[1])
    inverted = faiss.IndexIVFFlat(quantizer, candidates.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    inverted.train(candidates)
    inverted.add(candidates)
    built = time.monotonic() - began
    inverted.nprobe = 1
    while recall(inverted.search(queries, k)[1], exact) < least and inverted.nprobe < lists:
        inverted.nprobe = min(lists, 2 * inverted.nprobe)
    name = f"faiss, {inverted.nprobe} of {lists} lists"
    return _timed(name, built, lambda rows: inverted.search(rows, k)[1], queries, exact)


def _tensorflow(search: Callable, k: int) -> Search:
    # A graph, as in the composite. Built anew after a change of plan, which is read while tracing.
    traced = tf.function(lambda rows: search(rows, k)[0]).get_concrete_function(
        tf.TensorSpec([None, _DIM], tf.float32)
    )
    return lambda rows: traced(tf.constant(rows)).numpy()


def _timed(name: str, built: float, search: Search, queries: np.ndarray, exact: np.ndarray) -> Result:
    found = search(queries)  # Also warms up.
    search(queries[:1])
    began = time.monotonic()
    search(queries)
    batch = (time.monotonic() - began) / len(queries)
    singles = []
    for i in range(len(queries)):
        began = time.monotonic()
        search(queries[i : i + 1])
        singles.append(time.monotonic() - began)
    return Result(name, built, recall(found, exact), 1000 * float(np.median(singles)), 1000 * batch)


def rows(results: list[Result]) -> list[list[str]]:
    """Lay out the results.

    >>> rows([Result("exact", 1.5, 1.0, 2.25, 0.125)])
    [['exact', '1.5', '1.0000', '2.250', '0.125']]
    """
    return [
        [r.name, f"{r.build:.1f}", f"{r.recall:.4f}", f"{r.single:.3f}", f"{r.batch:.3f}"] for r in results
    ]


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description="Compare ways to search a large catalogue.")
    parser.add_argument("--candidates", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    parser.add_argument("--queries", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--k", type=int, default=100, help="depth (default: %(default)s)")
    parser.add_argument("--recall", type=float, default=0.99, help="to reach (default: %(default)s)")
    options = parser.parse_args()
    if options.queries < 1 or not 1 <= options.k <= min(options.candidates) or not 0 < options.recall <= 1:
        parser.error("--queries must be 1 or more, --k from 1 to --candidates, --recall above 0 and up to 1")
    header = ["", "seconds to build", "recall", "ms, a query per call", "ms per query, all in one call"]
    for candidates in options.candidates:
        found = compare(*vectors(candidates, options.queries), options.k, options.recall)
        print(f"\n{candidates:,} candidates, recall of the {options.k} best\n")
        print(table.markdown(header, rows(found)), flush=True)


if __name__ == "__main__":
    main()
