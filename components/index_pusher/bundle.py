"""Build a bundle: single models, TFLite, index, both composites, manifest; every gate on the way.

Runs in the executor's process. A new part of the bundle is one function here: it writes a folder, holds
it against its gate, and returns figures. Folders with a SavedModel get TF Serving links by themselves
(see publish.py), and every file is in the manifest.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.progress import progress
from components.index_pusher.composite import recommender, signatures, warmup
from components.index_pusher.config import IndexConfig
from components.index_pusher.description import model_card, provenance
from components.index_pusher.gates import Blessing, Refusal, check_blessing
from components.index_pusher.index import scann_operations, selection, vectors
from components.index_pusher.index.queries import parse, read_records
from components.index_pusher.proof import parity, parity_table, recommend_check, tflite_check, tflite_files
from components.index_pusher.proof.parity import Models
from modules import features
from modules.evaluation.results import read_evaluation
from serving import manifest

RECOMMEND, RECOMMEND_EXACT = parity.RECOMMEND, parity.RECOMMEND_EXACT
RANKING = parity.RANKING
TFLITE = tflite_files.TFLITE
# The parity is shown with so many queries; index/selection.py uses all of them.
PARITY_QUERIES = 400

Figures = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sources:
    """What a bundle is made of.

    Attributes:
      retrieval_dir: a Trainer's model artifact with the signatures `query`, `candidates`, `seen`, and a
        TFLite export.
      ranking_dir: one with `rate` and a TFLite export; may be the same.
      queries_dir: folder of the ratings' eval split.
      config: of the index.
      source_digest: digest of the code that builds the bundle.
      multitask_dir: one with all of these, to be in the bundle as it is; empty for none.
      multitask_left_out: why there is none, where one was to be.
      data: what the ratings' artifact tells of itself, for the model card.
      evaluation_dirs: the Evaluators' results by what the model does in the bundle, for card and manifest.
      split_dirs: folders of the ratings' splits, by name, for the data's digests.
    """

    retrieval_dir: str
    ranking_dir: str
    queries_dir: str
    config: IndexConfig
    source_digest: str
    multitask_dir: str = ""
    multitask_left_out: str = ""
    data: model_card.Data = dataclasses.field(default_factory=model_card.Data)
    evaluation_dirs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split_dirs: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def evaluated(self) -> dict[str, str]:
        """Return `evaluation_dirs` of the models that the bundle holds."""
        left_out = set() if self.multitask_dir else {parity.MULTITASK}
        return {name: path for name, path in self.evaluation_dirs.items() if name not in left_out}

    def digests(self) -> dict[str, str]:
        """A digest per source that shapes the bundle; together they are its identity."""
        digests = {
            "retrieval_model": manifest.content_digest(self.retrieval_dir),
            "ranking_model": manifest.content_digest(self.ranking_dir),
            "index_config": manifest.digest_of(self.config.model_dump()),
            "code": self.source_digest,
        }
        if self.multitask_dir:
            digests["multitask_model"] = manifest.content_digest(self.multitask_dir)
        if not scann_operations.installed():
            # Or a bundle with ScaNN's index would pass for the one that is to be built.
            digests["index_kind"] = manifest.digest_of(scann_operations.BRUTE_FORCE)
        return digests


def with_multitask(sources: Sources, model_dir: str, blessing: Blessing) -> Sources:
    """Add the multitask model where it is blessed; where it is not, note why the bundle goes without it."""
    try:
        check_blessing(parity.MULTITASK, model_dir, blessing)
    except Refusal as refusal:
        return dataclasses.replace(sources, multitask_left_out=str(refusal))
    return dataclasses.replace(sources, multitask_dir=model_dir)


def build(sources: Sources, folder: str) -> Figures:
    """Write a complete bundle.

    Args:
      sources: what to make it of.
      folder: where; made where absent.
    Returns:
      What was measured; `parity` is a list of rows (see parity_table.py), the others are scalars.
    Raises:
      Refusal: a gate refused; its figures carry everything measured until then.
    """
    figures: Figures = {}
    try:
        _build(sources, folder, figures)
    except Refusal as refusal:
        rows = [*figures.get("parity", []), *refusal.figures.get("parity", [])]
        raise Refusal(str(refusal), {**figures, **refusal.figures, "parity": rows}) from refusal
    return figures


def _build(sources: Sources, folder: str, figures: Figures) -> None:
    config = sources.config
    records = read_records(sources.queries_dir, config.num_queries)
    queries, few = parse(records), records[:PARITY_QUERIES]
    models = _load(sources)
    asked = tflite_check.with_cold_start_users({name: column[: len(few)] for name, column in queries.items()})
    measured, rows = tflite_files.add(
        sources.retrieval_dir, sources.ranking_dir, models, few, asked, config.quantized, folder
    )
    figures.update(measured, parity=parity_table.figures(rows))
    figures.update(add_recommend(models, queries, config, folder))
    figures.update(add_single(sources, folder))
    warmup.add_all(folder, records)
    depth = min(config.recall_k, len(models.candidates))
    oracle = recommend_check.oracle(
        models.retrieval, models.ranking, models.candidates, asked, depth, config.blend
    )
    questions = parity.Questions(asked, few, oracle)
    figures["recommend_recall"], of_models = parity.prove(folder, models, questions, config.min_recall)
    rows += of_models
    progress.info("Parity: %d comparisons hold, in fresh processes", len(rows))
    figures["parity"] = parity_table.figures(rows)
    write_card(sources, folder, figures)
    manifest.write(folder, sources.digests(), figures, _provenance(sources, folder))


def write_card(sources: Sources, folder: str, figures: Figures) -> None:
    """Write the model card, of the models that the bundle holds."""
    model_card.write(folder, sources.data, sources.evaluated(), sources.digests(), figures)


def _provenance(sources: Sources, folder: str) -> Figures:
    """What the manifest tells of a complete bundle beside what was measured of it."""
    read = {name: read_evaluation(path) for name, path in sources.evaluated().items()}
    return {
        "data": provenance.data(sources.data, sources.split_dirs),
        "evaluations": provenance.evaluations(read),
        "thresholds": provenance.thresholds(sources.config),
        "signatures": provenance.signatures(folder),
    }


def _load(sources: Sources) -> Models:
    """Load the Trainers' models; the same object where one artifact serves several."""
    querying = (features.QUERY_SIGNATURE, features.CANDIDATES_SIGNATURE, features.SEEN_SIGNATURE)
    rating = (features.RATING_SIGNATURE,)
    loaded: dict[str, Any] = {}

    def load(model_dir: str, name: str, needed: tuple[str, ...]) -> Any:
        if model_dir not in loaded:
            loaded[model_dir] = signatures.load(model_dir, name, (*needed, features.SERVING_SIGNATURE))
        return loaded[model_dir]

    if sources.retrieval_dir == sources.ranking_dir:
        load(sources.retrieval_dir, parity.MULTITASK, querying + rating)
    retrieval = load(sources.retrieval_dir, parity.RETRIEVAL, querying)
    return Models(
        retrieval=retrieval,
        ranking=load(sources.ranking_dir, RANKING, rating),
        candidates=signatures.read_candidates(retrieval),
        multitask=load(sources.multitask_dir, parity.MULTITASK, querying + rating)
        if sources.multitask_dir
        else None,
    )


def add_single(sources: Sources, folder: str) -> Figures:
    """Copy the SavedModels as the Trainers wrote them."""
    dirs = {parity.RETRIEVAL: sources.retrieval_dir, RANKING: sources.ranking_dir}
    if sources.multitask_dir:
        dirs[parity.MULTITASK] = sources.multitask_dir
    for name, model_dir in dirs.items():
        shutil.copytree(signatures.serving_path(model_dir), os.path.join(folder, name))
    if sources.multitask_left_out:
        progress.info("The bundle holds no multitask model: %s", sources.multitask_left_out)
        return {"multitask_left_out": sources.multitask_left_out}
    return {}


def add_recommend(
    models: Models, queries: Mapping[str, np.ndarray], config: IndexConfig, folder: str
) -> Figures:
    """Build the index, and both composites: on it, and on brute force in TensorFlow's own operations."""
    vectors.write(models.candidates, folder)
    embedded = signatures.embed(models.retrieval, queries)
    index, measurement = selection.build(models.candidates.embeddings, embedded, config)
    figures: Figures = selection.figures(index, measurement, len(models.candidates))
    figures["index_build"] = RECOMMEND if measurement.pays >= 1 else RECOMMEND_EXACT
    progress.info(
        "Index over %s titles (%s): recall@%d %.4f, %.2f ms a query, brute force %.2f ms: serve %s",
        f"{len(models.candidates):,}",
        index.plan.kind.replace("_", " "),
        min(config.recall_k, len(models.candidates)),
        measurement.recall,
        measurement.latency_ms,
        measurement.brute_force_latency_ms,
        figures["index_build"],
    )
    for name, searched in ((RECOMMEND, index), (RECOMMEND_EXACT, index.exact)):
        composite = recommender.Recommender(
            models.retrieval, models.ranking, searched, models.candidates, config.blend
        )
        recommender.save(composite, os.path.join(folder, name))
    return figures
