"""Build a bundle: index, composite, single models, TFLite, manifest; every gate on the way.

Runs in the executor's process. A new part of the bundle is one function here: it writes a folder, holds
it against its gate, and returns figures. Folders with a SavedModel get TF Serving links by themselves
(see publish.py), and every file is in the manifest.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.index_pusher import (
    index_gate,
    manifest,
    model_card,
    recommend_check,
    recommender,
    signatures,
    tflite_check,
    vectors,
    warmup,
)
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.queries import parse, read_records
from modules import features

RECOMMEND = "recommend"
RANKING = "ranking"
TFLITE = "tflite"
# Queries for the parity of the TFLite file and for the composite; index_gate.py halves all of them, one half
# to choose the search and the other to judge it.
PARITY_QUERIES = 400

_progress = logging.getLogger("marquee.progress")
Figures = dict[str, "int | float | str"]


@dataclasses.dataclass(frozen=True)
class Sources:
    """What a bundle is made of.

    Attributes:
      retrieval_dir: a Trainer's model artifact with the signatures `query`, `candidates`, `seen`.
      ranking_dir: one with `rate` and a TFLite twin; may be the same.
      queries_dir: folder of the ratings' eval split.
      config: of the index.
      source_digest: digest of the code that builds the bundle.
      data: what the ratings' artifact tells of itself, for the model card.
      evaluation_dirs: the Evaluators' results by what the model does in the bundle, for the model card.
    """

    retrieval_dir: str
    ranking_dir: str
    queries_dir: str
    config: IndexConfig
    source_digest: str
    data: model_card.Data = dataclasses.field(default_factory=model_card.Data)
    evaluation_dirs: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """A digest per source that shapes the bundle; together they are its identity."""
        return {
            "retrieval_model": manifest.content_digest(self.retrieval_dir),
            "ranking_model": manifest.content_digest(self.ranking_dir),
            "index_config": manifest.digest_of(self.config.model_dump()),
            "code": self.source_digest,
        }


def build(sources: Sources, folder: str) -> Figures:
    """Write a complete bundle.

    Args:
      sources: what to make it of.
      folder: where; made where absent.
    Returns:
      What was measured.
    Raises:
      Refusal: a gate refused; its figures carry everything measured until then.
    """
    figures: Figures = {}
    try:
        _build(sources, folder, figures)
    except Refusal as refusal:
        raise Refusal(str(refusal), {**figures, **refusal.figures}) from refusal
    return figures


def _build(sources: Sources, folder: str, figures: Figures) -> None:
    config = sources.config
    records = read_records(sources.queries_dir, config.num_queries, config.seed)
    queries = parse(records)
    few = {name: column[:PARITY_QUERIES] for name, column in queries.items()}
    retrieval, ranking = _load(sources)
    figures.update(add_ranking(sources.ranking_dir, ranking, few, folder))
    figures.update(add_recommend(retrieval, ranking, queries, few, config, folder))
    warmup.add_all(folder, records)
    model_card.write(folder, sources.data, sources.evaluation_dirs, sources.digests(), figures)
    manifest.write(folder, sources.digests(), figures)


def _load(sources: Sources) -> tuple[Any, Any]:
    """The two models; the same object where one artifact serves both."""
    querying = (features.QUERY_SIGNATURE, features.CANDIDATES_SIGNATURE, features.SEEN_SIGNATURE)
    rating = (features.RATING_SIGNATURE,)
    if sources.retrieval_dir == sources.ranking_dir:
        both = signatures.load(sources.retrieval_dir, "multitask", querying + rating)
        return both, both
    return (
        signatures.load(sources.retrieval_dir, "retrieval", querying),
        signatures.load(sources.ranking_dir, "ranking", rating),
    )


def add_ranking(ranking_dir: str, ranking: Any, queries: Mapping[str, np.ndarray], folder: str) -> Figures:
    """Copy the ranking SavedModel and its TFLite twin, and hold the second against the first."""
    source = os.path.join(ranking_dir, features.TFLITE_DIR, features.RANKING_TFLITE)
    difference = tflite_check.check_tflite(ranking, source, queries)
    _progress.info("TFLite equals its SavedModel to %.1e stars, without TensorFlow", difference)
    shutil.copytree(signatures.serving_path(ranking_dir), os.path.join(folder, RANKING))
    os.makedirs(os.path.join(folder, TFLITE))
    shutil.copyfile(source, os.path.join(folder, TFLITE, features.RANKING_TFLITE))
    return {"tflite_max_difference": difference}


def add_recommend(
    retrieval: Any,
    ranking: Any,
    queries: Mapping[str, np.ndarray],
    few: Mapping[str, np.ndarray],
    config: IndexConfig,
    folder: str,
) -> Figures:
    """Build the index and the composite, save it, reload it, and hold it against exact search."""
    candidates = signatures.read_candidates(retrieval)
    vectors.write(candidates, folder)
    embedded = signatures.embed(retrieval, queries)
    index, measurement = index_gate.build(candidates.embeddings, embedded, config)
    figures = index_gate.figures(index, measurement, len(candidates))
    depth = min(config.recall_k, len(candidates))
    _progress.info(
        "Index over %s titles (%s): recall@%d %.4f, %.2f ms a query, brute force %.2f ms",
        f"{len(candidates):,}",
        index.plan.kind,
        depth,
        measurement.recall,
        measurement.latency_ms,
        measurement.brute_force_latency_ms,
    )
    path = os.path.join(folder, RECOMMEND)
    recommender.save(recommender.Recommender(retrieval, ranking, index, candidates), path)
    reached = recommend_check.check_recommend(path, retrieval, candidates, few, depth)
    figures["recommend_recall"] = reached
    if not reached >= config.min_recall:
        raise Refusal(
            f"the recommendations hold {reached:.4f} of the exact top {depth} without seen titles, under the "
            f"threshold of {config.min_recall}; search more leaves or reorder more candidates",
            figures,
        )
    return figures
