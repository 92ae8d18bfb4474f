"""The parity proof: every SavedModel of a bundle answers as the Trainers' models do, in a fresh process.

Called by the builder of the bundle, in the executor's process, on the files about to be published. The TFLite
files have their own gates, see tflite_files.py.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.index_pusher.composite import signatures
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.gates import Refusal
from components.index_pusher.proof import parity_table, processes, recommend_check
from components.index_pusher.proof.parity_table import Row, greatest_difference
from components.index_pusher.proof.processes import Columns, Job
from components.index_pusher.proof.recommend_check import Oracle
from modules import features
from serving import manifest

RETRIEVAL, RANKING, MULTITASK = "retrieval", "ranking", "multitask"
# The composite on the index, and on brute force in TensorFlow's own operations.
RECOMMEND, RECOMMEND_EXACT = "recommend", "recommend_exact"
# Greatest difference: of a rating in stars, of a score in units of the largest, of an embedding's number.
BOUND = 1e-4
_TRAINED = "the Trainer's model"
_EXACT_SEARCH = "exact search"
_SINGLE = {
    RETRIEVAL: (features.QUERY_SIGNATURE, features.SERVING_SIGNATURE),
    RANKING: (features.RATING_SIGNATURE, features.SERVING_SIGNATURE),
    MULTITASK: (features.QUERY_SIGNATURE, features.RATING_SIGNATURE, features.SERVING_SIGNATURE),
}


@dataclasses.dataclass(frozen=True)
class Models:
    """The Trainers' models, loaded, and the catalogue of the first; multitask may be absent."""

    retrieval: Any
    ranking: Any
    candidates: Candidates
    multitask: Any = None


@dataclasses.dataclass(frozen=True)
class Questions:
    """What the models of the bundle are asked.

    Attributes:
      asked: query features and movie_title by name, `[q]`: `records` in their order, cold-start users.
      records: serialized ratings.
      oracle: requests for recommendations, and what exact search finds for them.
    """

    asked: Mapping[str, np.ndarray]
    records: Sequence[bytes]
    oracle: Oracle


def prove(folder: str, models: Models, questions: Questions, min_recall: float) -> tuple[float, list[Row]]:
    """Ask every SavedModel in a fresh process, and hold the answers against the Trainers' models.

    Args:
      folder: of the bundle.
      models: of the Trainers.
      questions: what to ask.
      min_recall: share of the exact best that the build on the index must recommend.
    Returns:
      That share, and the rows of the parity table.
    Raises:
      Refusal: a model does not run in a fresh process, or answers otherwise; its figures carry the rows.
    """
    answers = _answers(folder, models, questions)
    rows = _single_rows(answers, models, questions)
    reached = {name: recommend_check.check(answers[name, ""], questions.oracle) for name in _BUILDS}
    size = len(questions.oracle.known)
    for name, got in reached.items():
        rating = _rating_difference(answers[name, ""], models.ranking, questions.oracle)
        score = "score, of the request's largest"
        rows += [
            Row(name, score, _EXACT_SEARCH, size, got.score_difference, BOUND),
            Row(name, "rating, stars", f"{features.RATING_SIGNATURE} of {_TRAINED}", size, rating, BOUND),
        ]
    exact, depth = reached[RECOMMEND_EXACT], questions.oracle.k
    rows.append(Row(RECOMMEND_EXACT, "titles in other places", _EXACT_SEARCH, size, exact.misplaced, 0))
    recall = reached[RECOMMEND].recall
    rows.append(Row(RECOMMEND, f"top {depth}, share missed", _EXACT_SEARCH, size, 1 - recall, 1 - min_recall))
    figures = {"recommend_recall": recall, "parity": parity_table.figures(rows)}
    if not recall >= min_recall:
        raise Refusal(
            f"the recommendations hold {recall:.4f} of the exact top {depth} without seen titles, under the "
            f"threshold of {min_recall}; search more leaves or reorder more candidates",
            figures,
        )
    try:
        parity_table.check(rows)
    except Refusal as refusal:
        raise Refusal(str(refusal), figures) from refusal
    return recall, rows


_BUILDS = (RECOMMEND_EXACT, RECOMMEND)


def _answers(folder: str, models: Models, questions: Questions) -> dict[tuple[str, str], Columns]:
    """Ask two processes at once; the outputs by model and signature, the composites' under ""."""
    inputs = {
        features.QUERY_SIGNATURE: questions.asked,
        features.RATING_SIGNATURE: questions.asked,
        features.SERVING_SIGNATURE: {features.EXAMPLES_INPUT: np.array(questions.records, object)},
    }
    single = [name for name in _SINGLE if name != MULTITASK or models.multitask is not None]
    keys = [(name, signature) for name in single for signature in _SINGLE[name]]
    jobs = [Job(os.path.join(folder, name), signature, inputs[signature]) for name, signature in keys]
    exact, indexed = (
        Job(os.path.join(folder, name), features.SERVING_SIGNATURE, questions.oracle.request)
        for name in _BUILDS
    )
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        stock = threads.submit(processes.ask_saved_models, [exact, *jobs], scann=False)
        needs_scann = manifest.describe_models(folder)[RECOMMEND]["scann"]
        by_index = threads.submit(processes.ask_saved_models, [indexed], scann=needs_scann)
        found, *others = stock.result()
        answers = {(RECOMMEND_EXACT, ""): found, (RECOMMEND, ""): by_index.result()[0]}
    return {**answers, **dict(zip(keys, others, strict=True))}


def _single_rows(
    answers: Mapping[tuple[str, str], Columns], models: Models, questions: Questions
) -> list[Row]:
    rows = []
    known = len(questions.records)
    for (name, signature), answer in answers.items():
        if not signature:
            continue
        trained, part = getattr(models, name), f"{name}, {signature}"
        if signature == features.SERVING_SIGNATURE and features.SCORE in answer:
            rows.append(_search_row(part, trained, answer, questions))
        if signature == features.QUERY_SIGNATURE:
            expected = signatures.embed(trained, questions.asked)
            largest = max(1.0, float(np.abs(expected).max()))
            difference = greatest_difference(answer[features.QUERY_EMBEDDING], expected, largest)
            rows.append(Row(part, "embedding, of the largest", _TRAINED, len(expected), difference, BOUND))
        elif features.PREDICTED_RATING in answer:
            rating = signatures.batched(trained.signatures[features.RATING_SIGNATURE], questions.asked)
            expected = rating[features.PREDICTED_RATING].reshape(-1)
            if signature == features.SERVING_SIGNATURE:
                expected = expected[:known]
            difference = greatest_difference(answer[features.PREDICTED_RATING].reshape(-1), expected)
            rows.append(Row(part, "rating, stars", _TRAINED, len(expected), difference, BOUND))
    return rows


def _search_row(part: str, trained: Any, answer: Columns, questions: Questions) -> Row:
    """Hold a single model's own top titles against exact search among what its users have not seen."""
    asked = {name: column[: len(questions.records)] for name, column in questions.asked.items()}
    candidates = signatures.read_candidates(trained)
    exact = signatures.embed(trained, asked) @ candidates.embeddings.T
    seen = signatures.batched(trained.signatures[features.SEEN_SIGNATURE], asked)[features.SEEN]
    rows = {title: position for position, title in enumerate(candidates.titles)}
    worst = 0.0
    for place, of_query in enumerate(exact):
        of_query[seen[place][seen[place] >= 0]] = -np.inf
        titles = answer[features.MOVIE_TITLE][place]
        found = [rows[title] for title in titles if title]
        best = np.sort(of_query[np.isfinite(of_query)])[::-1][: len(titles)]
        largest = max(1.0, float(np.abs(best).max(initial=0.0)))
        given = answer[features.SCORE][place][: len(found)]
        # Its own title's score, and that of the title that exact search has in this place.
        for expected in (of_query[found], best):
            worst = max(worst, greatest_difference(given, expected, largest))
    return Row(part, "score, of the request's largest; titles", _EXACT_SEARCH, len(exact), worst, BOUND)


def _rating_difference(answer: Columns, ranking: Any, oracle: Oracle) -> float:
    """Hold a composite's predicted ratings against the ranking model's, of the titles that it returned."""
    asked = {row.name: oracle.request[row.name] for row in features.QUERY_FEATURES}
    titles = answer[features.MOVIE_TITLE]
    real = np.arange(titles.shape[1]) < answer[features.NUM_RETURNED][:, None]
    expected = np.where(real, signatures.rate_pairs(ranking, asked, titles), 0.0)
    return greatest_difference(answer[features.PREDICTED_RATING], expected)
