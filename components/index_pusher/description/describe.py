"""Describe a bundle: the model card and the manifest. The third step of a push, in the executor's process."""

from __future__ import annotations

from collections.abc import Mapping

from components.index_pusher.bundle import Bundle
from components.index_pusher.description import model_card, provenance
from components.index_pusher.gates import Figures
from modules.evaluation.results import read_evaluation
from serving import manifest


def describe(bundle: Bundle, digests: Mapping[str, str], figures: Figures) -> None:
    """Write the model card, and last the manifest, which lists all other files.

    Args:
      bundle: complete but for these two.
      digests: of its sources.
      figures: what was measured of it.
    """
    sources, folder = bundle.sources, bundle.folder
    evaluation_dirs = sources.bundled_evaluations()
    model_card.write(folder, sources.data, evaluation_dirs, digests, figures)
    evaluations = {name: read_evaluation(path) for name, path in evaluation_dirs.items()}
    statements = {
        "pipeline": sources.pipeline,
        "data": provenance.data(sources.data, sources.split_dirs),
        "evaluations": provenance.evaluations(evaluations),
        "order": provenance.order(sources.config),
        "thresholds": provenance.thresholds(sources.config),
        "signatures": provenance.signatures(folder),
    }
    manifest.write(folder, digests, figures, statements)
