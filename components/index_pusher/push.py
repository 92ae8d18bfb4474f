"""The push: build a bundle, prove it, evaluate the list that it serves, describe it, publish it.

Called by the executor, and by tests without TFX.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from common.progress import progress
from components.index_pusher.bundle import MULTITASK, RANKING, RETRIEVAL, Bundle, Sources, build
from components.index_pusher.description.describe import describe
from components.index_pusher.gates import Blessing, Figures, Refusal, gate_blessing
from components.index_pusher.proof.parity import prove
from components.index_pusher.served_list.evaluate import evaluate
from serving import manifest, publish

PUSHED = "pushed"
PUSHED_VERSION = "pushed_version"
PUSHED_DESTINATION = "pushed_destination"
PUBLISHED_ANEW = "published_anew"
REASON = "reason"


@dataclasses.dataclass(frozen=True)
class Blessings:
    """The Evaluators' verdicts on the two models."""

    retrieval: Blessing
    ranking: Blessing


def push(
    sources: Sources,
    blessings: Blessings,
    destination: str,
    archive: str,
    keep: int = publish.KEEP_VERSIONS,
) -> Figures:
    """Push models that are blessed; if a gate refuses them, return the reason.

    Args:
      sources: artifacts and settings of the bundle.
      blessings: the Evaluators' verdicts.
      destination: where to publish (see publish.py).
      archive: folder that gets a copy of the published bundle; emptied if no bundle is pushed.
      keep: number of versions that stay at the destination.
    Returns:
      `pushed` 0 or 1, then `reason`, or `pushed_version`, `pushed_destination`, `published_anew`; and
      measured values.
    """
    try:
        retrieval, ranking = (MULTITASK, MULTITASK) if sources.one_model else (RETRIEVAL, RANKING)
        gate_blessing(retrieval, sources.retrieval_dir, blessings.retrieval)
        gate_blessing(ranking, sources.ranking_dir, blessings.ranking)
        published = _published(sources, destination, archive, keep)
    except Refusal as refusal:
        shutil.rmtree(archive, ignore_errors=True)
        os.makedirs(archive)
        progress.info("Not pushed: %s", refusal)
        return {**refusal.figures, PUSHED: 0, REASON: str(refusal)}
    state = "Pushed" if published.new else "Already published:"
    progress.info("%s version %d: %s", state, published.version, published.path)
    return {
        **manifest.read(archive)["metrics"],
        PUSHED: 1,
        PUSHED_VERSION: published.version,
        PUSHED_DESTINATION: published.path,
        PUBLISHED_ANEW: int(published.new),
    }


def _published(sources: Sources, destination: str, archive: str, keep: int) -> publish.Published:
    """Find a published version of the same models, or build and publish a bundle.

    Raises:
      Refusal: a gate refused, or an operator has withdrawn the version of these models.
    """
    digests = sources.digests()
    published = publish.find(destination, manifest.digest_of(digests))
    if published and published.served:
        publish.fetch(destination, published.version, archive)
    elif not published:
        bundle = build(sources, archive)
        describe(bundle, digests, _measured(bundle, destination))
        published = publish.publish(archive, destination, keep)
    if not published.served:
        raise Refusal(
            f"version {published.version} is of the same models and was withdrawn; to serve it "
            f"again: python -m serving promote {destination} {published.version}"
        )
    return published


def _measured(bundle: Bundle, destination: str) -> Figures:
    """Prove a bundle and evaluate its list at the same time: most of a proof is to wait for other processes.

    Raises:
      Refusal: the bundle is not proved, or its list is refused; with the figures of both in the second case.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        evaluation = thread.submit(evaluate, bundle, destination)
        proven = prove(bundle)
    try:
        return {**proven, **evaluation.result()}
    except Refusal as refusal:
        raise Refusal(str(refusal), {**proven, **refusal.figures}) from refusal
