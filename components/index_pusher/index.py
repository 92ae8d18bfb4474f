"""The indexes: ScaNN's, with its parameters from the catalogue's size, and TensorFlow's brute force.

Runs in the executor's process; `search` also inside the composite's graph (see recommender.py).
ScaNN fails silently (fewer columns, repeats, NaN scores, approximate scores), so nothing is taken from it
unchecked: index_gate.py refuses when the index is built, and `Index.search` falls back to exact search.

References: ScaNN's docs/algorithms.md, rules of thumb for brute force, hashing and partitioning.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import tensorflow as tf

from components.index_pusher import scann_operations
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.scann_operations import BRUTE_FORCE

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
      Refusal: more leaves were asked for than there are candidates.

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
                f"{leaves} leaves were asked for, and the catalogue has {num_candidates} candidates"
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


# What ScaNN trained and holds, as it names its tensors, in the order in which it takes them back.
STATE = (
    *("scann_config", "serialized_partitioner", "datapoint_to_token", "ah_codebook", "hashed_dataset"),
    *("int8_dataset", "int8_multipliers", "dp_norms", "dataset"),
)


@dataclasses.dataclass(frozen=True)
class Trained:
    """What ScaNN trained on some of the candidates, for an index over all of them (see incremental.py).

    Attributes:
      state: ScaNN's tensors by the names of STATE.
      rows: `[m]` int32 positions in the catalogue, distinct; what ScaNN counts as i is `rows[i]`.
      plan: parameters with which it reached its recall.
    """

    state: Mapping[str, np.ndarray]
    rows: np.ndarray
    plan: Plan


class BruteForce(tf.Module):
    """Exact search in TensorFlow's own operations, which every server of SavedModels has.

    It is the index where ScaNN is not installed, and then offers what `Index` does.
    """

    # Of the operations that it is made of, beside TensorFlow's own.
    namespaces: tuple[str, ...] = ()
    plan = Plan(BRUTE_FORCE)
    tail_size = 0

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

    def __init__(
        self, embeddings: np.ndarray, chosen: Plan, recall_k: int, trained: Trained | None = None
    ) -> None:
        """Build the index.

        Args:
          embeddings: `[n, d]` float32, finite.
          chosen: parameters at depth `recall_k`; a wider plan may be assigned to `plan` before saving,
            as what is searched is told to ScaNN at each call.
          recall_k: that depth.
          trained: what ScaNN holds already, of these embeddings; the others, the tail, are searched exactly
            beside it. None: train on all.
        """
        super().__init__(name="index")
        rows = np.arange(len(embeddings)) if trained is None else trained.rows
        tail = np.setdiff1d(np.arange(len(embeddings)), rows)
        # `state` and `rows` are read from the SavedModel's variables by these names, see incremental.py.
        if trained is None:
            self.state = _trained(embeddings, chosen, recall_k)
        else:
            self.state = scann_operations.restore([trained.state[name] for name in STATE])
        self.rows = tf.Variable(rows.astype(np.int32), trainable=False)
        self.tail_rows = tf.Variable(tail.astype(np.int32), trainable=False)
        self.tail = BruteForce(embeddings[tail])
        self.exact = BruteForce(embeddings)
        self.embeddings = self.exact.embeddings
        self.plan = chosen
        self.tail_size = len(tail)
        self._renumbered = trained is not None
        self._recall_k = recall_k

    def approximate(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ask ScaNN, and take what it returns, and the tail's where it is better.

        Args:
          queries: `[b, d]` float32.
          k: scalar int32.
        Returns:
          `[b, c]` int32 positions and float32 scores; c should be k, and is not always.
        """
        scale = tf.maximum(1.0, tf.cast(k, tf.float32) / self._recall_k)
        searcher = scann_operations.load().searcher_from_module(self.state)
        found = searcher.search_batched(
            queries,
            final_num_neighbors=k,
            pre_reorder_num_neighbors=self._scaled(self.plan.reordering, scale, self.rows.shape[0]),
            leaves_to_search=self._scaled(self.plan.leaves_to_search, scale, self.plan.leaves),
        )
        if not self._renumbered:
            return found.indices, found.distances
        positions = tf.gather(self.rows, found.indices)
        if not self.tail_size:
            return positions, found.distances
        return self._with_tail(queries, k, positions, found.distances)

    def _with_tail(
        self, queries: tf.Tensor, k: tf.Tensor, positions: tf.Tensor, scores: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`[b, min(k, all)]` the best of what ScaNN found and of the tail."""
        tail_places, tail_scores = self.tail.search(queries, tf.minimum(k, self.tail_size))
        # Makes the whole row NaN where ScaNN's part of it is: sorting could drop that unseen.
        soundness = 0.0 * tf.reduce_sum(scores, axis=1, keepdims=True)
        both = tf.concat([scores, tail_scores], axis=1) + soundness
        places = tf.concat([positions, tf.gather(self.tail_rows, tail_places)], axis=1)
        best, order = tf.math.top_k(both, tf.minimum(k, tf.shape(both)[1]))
        return tf.gather(places, order, batch_dims=1), best

    @staticmethod
    def _scaled(value: int, scale: tf.Tensor, most: int) -> tf.Tensor:
        return tf.minimum(tf.cast(tf.math.ceil(value * scale), tf.int32), most)

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return exactly k distinct candidates with finite scores, from ScaNN or, where it fails, exactly.

        ScaNN returns fewer than it is asked for where the leaves it looks into hold fewer; a deep search
        for a viewer with many seen titles would meet that.
        """
        positions, scores = self.approximate(queries, k)
        ordered = tf.sort(positions, axis=1)
        sound = (
            tf.equal(tf.shape(positions)[1], k)
            & tf.reduce_all(tf.math.is_finite(scores))
            & tf.reduce_all(ordered[:, 1:] > ordered[:, :-1])
        )
        return tf.cond(sound, lambda: (positions, scores), lambda: self.exact.search(queries, k))


def _trained(embeddings: np.ndarray, chosen: Plan, recall_k: int) -> tf.Module:
    """Have ScaNN train on all of the candidates."""
    builder = scann_operations.load().builder(embeddings, min(recall_k, len(embeddings)), "dot_product")
    if chosen.kind == "partitioned":
        builder = builder.tree(chosen.leaves, chosen.leaves_to_search)
    if chosen.kind == "exact":
        builder = builder.score_brute_force()
    else:
        builder = builder.score_ah(dimensions_per_block=2).reorder(chosen.reordering)
    return builder.build().serialize_to_module()


def make(embeddings: np.ndarray, chosen: Plan, recall_k: int) -> Index | BruteForce:
    """Build the index of a plan; arguments as of `Index`."""
    return BruteForce(embeddings) if chosen.kind == BRUTE_FORCE else Index(embeddings, chosen, recall_k)
