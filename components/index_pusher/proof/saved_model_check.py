"""Compare the SavedModels of a bundle with the Trainers' models. Called by the parity proof."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.index_pusher.bundle import MULTITASK, RANKING, RECOMMEND, RECOMMEND_EXACT, RETRIEVAL, Bundle
from components.index_pusher.composite import signatures
from components.index_pusher.index.queries import Requests
from components.index_pusher.proof import exact_search, processes, recommend_check
from components.index_pusher.proof.parity_table import Row, greatest_difference
from components.index_pusher.proof.processes import Columns, Job
from components.index_pusher.proof.recommend_check import Oracle
from modules import features
from serving import manifest

# Greatest difference: of a rating in stars, of a score in units of the largest, of an embedding's number.
BOUND = 1e-4
_TRAINED = "the Trainer's model"
_EXACT_SEARCH = "exact search"
_SINGLE = {
    RETRIEVAL: (features.QUERY_SIGNATURE, features.SERVING_SIGNATURE),
    RANKING: (features.RATING_SIGNATURE, features.SERVING_SIGNATURE),
    MULTITASK: (features.QUERY_SIGNATURE, features.RATING_SIGNATURE, features.SERVING_SIGNATURE),
    RECOMMEND_EXACT: (features.QUERY_SIGNATURE,),
}


def compare(bundle: Bundle, requests: Requests) -> tuple[float, list[Row]]:
    """Run every SavedModel in a fresh process, and compare the answers with those of the Trainers' models.

    Args:
      bundle: the bundle of the SavedModels.
      requests: the inputs of their signatures.
    Returns:
      The share of the exact best that the composite on the index recommends, and rows of the parity table.
    Raises:
      Refusal: a model does not run in a fresh process, or its recommendations are unsound.
    """
    models, config = bundle.models, bundle.sources.config
    oracle = recommend_check.oracle(models.order, requests.columns, bundle.depth)
    answers, composites = _answers(bundle, requests, oracle)
    rows = _single_rows(answers, bundle, requests)
    agreements = {name: recommend_check.check(name, answer, oracle) for name, answer in composites.items()}
    size = len(oracle.known)
    for name, agreement in agreements.items():
        rating = _rating_difference(composites[name], models.ranking, oracle)
        score = "score, of the request's largest"
        rows += [
            Row(name, score, _EXACT_SEARCH, size, agreement.score_difference, BOUND),
            Row(name, "rating, stars", f"{features.RATING_SIGNATURE} of {_TRAINED}", size, rating, BOUND),
        ]
    misplaced, recall = agreements[RECOMMEND_EXACT].misplaced, agreements[RECOMMEND].recall
    missed, allowed = 1 - recall, 1 - config.min_recall
    return recall, [
        *rows,
        Row(RECOMMEND_EXACT, "titles at other ranks", _EXACT_SEARCH, size, misplaced, 0),
        Row(RECOMMEND, f"top {bundle.depth}, share missed", _EXACT_SEARCH, size, missed, allowed),
    ]


def _answers(
    bundle: Bundle, requests: Requests, oracle: Oracle
) -> tuple[dict[tuple[str, str], Columns], dict[str, Columns]]:
    """Ask all of them; return the outputs by model and signature, and those of the composites."""
    inputs = {
        features.QUERY_SIGNATURE: requests.columns,
        features.RATING_SIGNATURE: requests.columns,
        features.SERVING_SIGNATURE: {features.EXAMPLES_INPUT: np.array(requests.records, object)},
    }
    names = [name for name in _SINGLE if name != MULTITASK or bundle.models.multitask is not None]
    keys = [(name, signature) for name in names for signature in _SINGLE[name]]
    jobs = [Job(os.path.join(bundle.folder, name), signature, inputs[signature]) for name, signature in keys]
    needs_scann = manifest.describe_models(bundle.folder)[RECOMMEND]["scann"]
    exact, indexed = (
        Job(os.path.join(bundle.folder, name), features.SERVING_SIGNATURE, oracle.request, scann)
        for name, scann in ((RECOMMEND_EXACT, False), (RECOMMEND, needs_scann))
    )
    *single, by_exact, by_index = processes.run_saved_models([*jobs, exact, indexed])
    return dict(zip(keys, single, strict=True)), {RECOMMEND_EXACT: by_exact, RECOMMEND: by_index}


def _single_rows(answers: Mapping[tuple[str, str], Columns], bundle: Bundle, requests: Requests) -> list[Row]:
    rows = []
    for (name, signature), answer in answers.items():
        trained: Any = getattr(bundle.models, name, None)
        part = f"{name}, {signature}"
        if signature == features.SERVING_SIGNATURE and features.SCORE in answer:
            rows.append(_search_row(part, trained, answer, requests))
        if signature == features.QUERY_SIGNATURE:
            models, columns = bundle.models, requests.columns
            expected = models.order.embed(columns) if trained is None else signatures.embed(trained, columns)
            largest = max(1.0, float(np.abs(expected).max()))
            difference = greatest_difference(answer[features.QUERY_EMBEDDING], expected, largest)
            rows.append(Row(part, "embedding, of the largest", _TRAINED, len(expected), difference, BOUND))
        elif features.PREDICTED_RATING in answer:
            rating = signatures.batched(trained.signatures[features.RATING_SIGNATURE], requests.columns)
            expected = rating[features.PREDICTED_RATING].reshape(-1)
            if signature == features.SERVING_SIGNATURE:
                expected = expected[: len(requests.records)]
            difference = greatest_difference(answer[features.PREDICTED_RATING].reshape(-1), expected)
            rows.append(Row(part, "rating, stars", _TRAINED, len(expected), difference, BOUND))
    return rows


def _search_row(part: str, trained: Any, answer: Columns, requests: Requests) -> Row:
    """Compare a single model's own top titles with exact search among what its users have not seen.

    Raises:
      Refusal: a title is no candidate.
    """
    columns = {name: column[: len(requests.records)] for name, column in requests.columns.items()}
    candidates = signatures.read_candidates(trained)
    exact = signatures.embed(trained, columns) @ candidates.embeddings.T
    seen = signatures.batched(trained.signatures[features.SEEN_SIGNATURE], columns)[features.SEEN]
    positions = {title: position for position, title in enumerate(candidates.titles)}
    worst = 0.0
    for row, scores in enumerate(exact):
        scores[seen[row][seen[row] >= 0]] = -np.inf
        titles = answer[features.MOVIE_TITLE][row]
        found = exact_search.positions([title for title in titles if title], positions, f"{part} returned")
        best = np.sort(scores[np.isfinite(scores)])[::-1][: len(titles)]
        received = answer[features.SCORE][row][: len(found)]
        worst = max(worst, exact_search.score_difference(received, scores, found, best))
    return Row(part, "score, of the request's largest; titles", _EXACT_SEARCH, len(exact), worst, BOUND)


def _rating_difference(answer: Columns, ranking: Any, oracle: Oracle) -> float:
    """Compare a composite's predicted ratings with the ranking model's, of the titles that it returned."""
    query = {row.name: oracle.request[row.name] for row in features.QUERY_FEATURES}
    titles = answer[features.MOVIE_TITLE]
    real = np.arange(titles.shape[1]) < answer[features.NUM_RETURNED][:, None]
    expected = np.where(real, signatures.rate_pairs(ranking, query, titles), 0.0)
    return greatest_difference(answer[features.PREDICTED_RATING], expected)
