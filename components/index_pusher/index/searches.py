"""The indexes: ScaNN's, with its parameters from the catalogue's size, and TensorFlow's brute force.

Runs in the executor's process; `search` also inside the composite's graph (see recommender.py).
ScaNN fails silently (fewer columns, repeats, NaN scores, approximate scores), so nothing is taken from it
unchecked: selection.py checks it when the index is built, and `Index.search` falls back to exact search.

References: ScaNN's docs/algorithms.md, rules of thumb for brute force, hashing and partitioning.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import tensorflow as tf

from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index import scann_operations
from components.index_pusher.index.scann_operations import BRUTE_FORCE

# ScaNN's own rules of thumb; below the first, hashing saves next to no time and costs recall.
HASHED_FROM = 20_000
PARTITIONED_FROM = 100_000


@dataclasses.dataclass(frozen=True)
class Plan:
    """Parameters of an index, at the depth of `IndexConfig.recall_k`; deeper searches scale them.

    Attributes:
      kind: `exact` (ScaNN's brute force), `hashed` (quantised scores, the best scored again exactly),
        `partitioned` (the same inside the nearest leaves only), `brute_force` (TensorFlow's own operations,
        where ScaNN is not installed).
      leaves: partitions of the catalogue.
      leaves_to_search: partitions looked into per query.
      reordering: candidates scored again exactly per query.
    """

    kind: Literal["exact", "hashed", "partitioned", "brute_force"]
    leaves: int = 1
    leaves_to_search: int = 1
    reordering: int = 0


def plan(config: IndexConfig, num_candidates: int) -> Plan:
    """Choose the least that is worth trying of ScaNN's in a catalogue; `widen` does the rest.

    Raises:
      Refusal: more leaves are configured than there are candidates.

    >>> plan(IndexConfig(), 1_664)
    Plan(kind='exact', leaves=1, leaves_to_search=1, reordering=0)
    >>> plan(IndexConfig(), 250_000)
    Plan(kind='partitioned', leaves=500, leaves_to_search=5, reordering=500)
    """
    reordering = min(num_candidates, config.num_reordering_candidates or 5 * config.recall_k)
    leaves = config.num_leaves
    if leaves is None and num_candidates >= PARTITIONED_FROM:
        leaves = math.isqrt(num_candidates)
    if leaves is not None:
        if leaves > num_candidates:
            raise Refusal(
                f"{leaves} leaves are configured, and the catalogue has {num_candidates} candidates"
            )
        search = config.num_leaves_to_search or max(1, leaves // 100)
        return Plan("partitioned", leaves, search, reordering)
    if num_candidates >= HASHED_FROM or config.num_reordering_candidates:
        return Plan("hashed", reordering=reordering)
    return Plan("exact")


def plan_of_installed(config: IndexConfig, num_candidates: int) -> Plan:
    """Return `plan`'s choice, or brute force where ScaNN is not installed.

    Raises:
      Refusal: as of `plan`; or a setting needs ScaNN, which is not installed.
    """
    if scann_operations.installed():
        return plan(config, num_candidates)
    try:
        scann_operations.require(config)
    except ValueError as error:
        raise Refusal(str(error)) from error
    return Plan(BRUTE_FORCE)


def widen(current: Plan, config: IndexConfig, num_candidates: int) -> Plan | None:
    """Double what is searched, unless it was set by hand; None where nothing is left to widen.

    >>> widen(Plan("hashed", reordering=40_000), IndexConfig(), 60_000)
    Plan(kind='hashed', leaves=1, leaves_to_search=1, reordering=60000)
    >>> widen(Plan("exact"), IndexConfig(), 60_000) is None
    True
    """
    leaves, reordering = current.leaves_to_search, current.reordering
    if config.num_leaves_to_search is None:
        leaves = min(current.leaves, 2 * leaves)
    if config.num_reordering_candidates is None:
        reordering = min(num_candidates, 2 * reordering)
    wider = dataclasses.replace(current, leaves_to_search=leaves, reordering=reordering)
    return None if wider == current else wider


class BruteForce(tf.Module):
    """Exact search in TensorFlow's own operations, which every server of SavedModels has.

    It is the index where ScaNN is not installed, and then offers what `Index` does.
    """

    # Of the operations that it is made of, beside TensorFlow's own.
    namespaces: tuple[str, ...] = ()
    plan = Plan(BRUTE_FORCE)

    def __init__(self, embeddings: np.ndarray) -> None:
        """Take the candidates, `[n, d]` float32."""
        super().__init__(name="brute_force")
        self.embeddings = tf.Variable(embeddings, trainable=False, name="candidate_embeddings")

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Score every candidate.

        Args:
          queries: `[b, d]` float32.
          k: scalar int32, at most the number of candidates.
        Returns:
          `[b, k]` int32 positions and float32 scores, best first; ties in the order of the catalogue.
        """
        scores, positions = tf.math.top_k(tf.matmul(queries, self.embeddings, transpose_b=True), k)
        return positions, scores

    approximate = search

    @property
    def exact(self) -> BruteForce:
        """Itself."""
        return self


class Index(tf.Module):
    """A searcher over candidate embeddings that can be saved inside a SavedModel."""

    namespaces = ("Scann",)

    def __init__(self, embeddings: np.ndarray, chosen: Plan, recall_k: int) -> None:
        """Have ScaNN train on the candidates.

        Args:
          embeddings: `[n, d]` float32, finite.
          chosen: parameters at depth `recall_k`; a wider plan may be assigned to `plan` before saving,
            because ScaNN gets the search parameters at each call.
          recall_k: that depth.
        """
        super().__init__(name="index")
        builder = scann_operations.load().builder(embeddings, min(recall_k, len(embeddings)), "dot_product")
        if chosen.kind == "partitioned":
            builder = builder.tree(chosen.leaves, chosen.leaves_to_search)
        if chosen.kind == "exact":
            builder = builder.score_brute_force()
        else:
            builder = builder.score_ah(dimensions_per_block=2).reorder(chosen.reordering)
        self._trained = builder.build().serialize_to_module()
        self.exact = BruteForce(embeddings)
        self.embeddings = self.exact.embeddings
        self.plan = chosen
        self._recall_k = recall_k

    def approximate(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ask ScaNN, and take what it returns.

        Args:
          queries: `[b, d]` float32.
          k: scalar int32.
        Returns:
          `[b, c]` int32 positions and float32 scores; c should be k, and is not always.
        """
        scale = tf.maximum(1.0, tf.cast(k, tf.float32) / self._recall_k)
        searcher = scann_operations.load().searcher_from_module(self._trained)
        found = searcher.search_batched(
            queries,
            final_num_neighbors=k,
            pre_reorder_num_neighbors=self._scaled(self.plan.reordering, scale, self.embeddings.shape[0]),
            leaves_to_search=self._scaled(self.plan.leaves_to_search, scale, self.plan.leaves),
        )
        return found.indices, found.distances

    @staticmethod
    def _scaled(value: int, scale: tf.Tensor, most: int) -> tf.Tensor:
        return tf.minimum(tf.cast(tf.math.ceil(value * scale), tf.int32), most)

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return exactly k distinct candidates with finite scores, by ScaNN, or else by exact search.

        ScaNN returns fewer than k if the searched leaves hold fewer, as in a deep search for a user with many
        seen titles.
        """
        positions, scores = self.approximate(queries, k)
        ordered = tf.sort(positions, axis=1)
        sound = (
            tf.equal(tf.shape(positions)[1], k)
            & tf.reduce_all(tf.math.is_finite(scores))
            & tf.reduce_all(ordered[:, 1:] > ordered[:, :-1])
        )
        return tf.cond(sound, lambda: (positions, scores), lambda: self.exact.search(queries, k))


def make(embeddings: np.ndarray, chosen: Plan, recall_k: int) -> Index | BruteForce:
    """Build the index of a plan; arguments as of `Index`."""
    return BruteForce(embeddings) if chosen.kind == BRUTE_FORCE else Index(embeddings, chosen, recall_k)
