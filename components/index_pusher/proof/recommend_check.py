"""Compare a composite's answers with exact search by the Trainers' models.

Runs in the executor's process; the answers come from another one (see saved_model_check.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.index_pusher.composite import recommender, signatures
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.config import BlendConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index.selection import SCORE_TOLERANCE, TIE_TOLERANCE
from components.index_pusher.proof import exact_search
from modules import features

# In standard deviations: greatest difference of a candidate's blended value between two float32 computations
# of score and rating.
BLEND_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Oracle:
    """Results of the Trainers' models and exact search for some requests.

    Attributes:
      request: the composite's inputs, by name.
      positions: of each title in the catalogue.
      exact: `[q, n]` retrieval scores, or popularity for cold-start users; minus infinity for titles that
        were seen or are excluded.
      order: `[q, n]` what is sorted by: `exact`, or the blend, which is minus infinity outside the pool.
      tolerance: `[q]` greatest difference between two values of `order` that counts as a tie.
      known: `[q]` whether the model knows the user, see features.USER_KNOWN.
      k: number of requested titles.
    """

    request: Mapping[str, np.ndarray]
    positions: Mapping[bytes, int]
    exact: np.ndarray
    order: np.ndarray
    tolerance: np.ndarray
    known: np.ndarray
    k: int


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How answers compare with the oracle's.

    Attributes:
      recall: share of the best k that was recommended, mean over the requests; a title tied with the last of
        them counts.
      score_difference: greatest difference of a retrieval score, in units of the request's largest.
      misplaced: number of titles, over all requests, at whose rank exact search has another, ties aside.
    """

    recall: float
    score_difference: float
    misplaced: int


def oracle(
    retrieval: Any,
    ranking: Any,
    candidates: Candidates,
    queries: Mapping[str, np.ndarray],
    k: int,
    blend: BlendConfig | None = None,
) -> Oracle:
    """Search exactly, with the Trainers' models.

    Args:
      retrieval: loaded; computes embeddings and seen titles.
      ranking: loaded; called only if the blend has a weight.
      candidates: the retrieval model's catalogue.
      queries: query features by name, as of queries.parse, cold-start users among them.
      k: titles per request, at most the catalogue.
      blend: the composite's.
    """
    query = {row.name: queries[row.name] for row in features.QUERY_FEATURES}
    users = signatures.batched(retrieval.signatures[features.SEEN_SIGNATURE], query)
    seen, known = users[features.SEEN], users[features.USER_KNOWN]
    exact = np.where(
        known[:, None],
        signatures.embed(retrieval, query) @ candidates.embeddings.T,
        candidates.popularity.astype(np.float32),
    )
    _exclude(exact, seen)
    excluded = np.argsort(-exact, axis=1, kind="stable")[:, : exact_search.EXCLUDED].astype(np.int32)
    excluded[~np.isfinite(np.take_along_axis(exact, excluded, axis=1))] = -1
    excluded[1::2] = -1
    _exclude(exact, excluded)
    titles = np.append(candidates.titles.astype(object), b"")[excluded]
    request = {**query, recommender.K: np.asarray(k, np.int32), recommender.EXCLUDE_TITLE: titles}
    largest = np.maximum(1.0, np.abs(np.where(np.isfinite(exact), exact, 0.0)).max(axis=1))
    order, tolerance = exact, TIE_TOLERANCE * largest
    if blend and blend.rating_weight:
        order = _blended(exact, ranking, candidates, query, max(k, blend.pool), blend.rating_weight)
        tolerance = np.full(len(exact), BLEND_TOLERANCE)
    positions = {title: position for position, title in enumerate(candidates.titles)}
    return Oracle(request, positions, exact, order, tolerance, known, k)


def _exclude(exact: np.ndarray, positions: np.ndarray) -> None:
    """Give these positions of each row, -1 for none, a score of minus infinity."""
    for scores, row in zip(exact, positions, strict=True):
        scores[row[row >= 0]] = -np.inf


def _blended(
    exact: np.ndarray,
    ranking: Any,
    candidates: Candidates,
    queries: Mapping[str, np.ndarray],
    pool: int,
    weight: float,
) -> np.ndarray:
    """As recommender.blended_order, in NumPy: `[q, n]` what the pool is sorted by."""
    pool = min(pool, exact.shape[1])
    pooled = np.argsort(-exact, axis=1, kind="stable")[:, :pool]
    scores = np.take_along_axis(exact, pooled, axis=1)
    ratings = signatures.rate_pairs(ranking, queries, candidates.titles[pooled])
    real = np.isfinite(scores)
    both = (1 - weight) * _standardised(scores, real) + weight * _standardised(ratings, real)
    order = np.full(exact.shape, -np.inf)
    np.put_along_axis(order, pooled, np.where(real, both, -np.inf), axis=1)
    return order


def _standardised(values: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 in every row, of its real entries; 0 where all are equal."""
    count = np.maximum(real.sum(axis=1, keepdims=True), 1)
    present = np.where(real, values, 0.0).astype(np.float64)
    centred = np.where(real, present - present.sum(axis=1, keepdims=True) / count, 0.0)
    deviation = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count)
    return centred / np.where(deviation > 0, deviation, 1.0)


def check(part: str, answers: Mapping[str, np.ndarray], expected: Oracle) -> Agreement:
    """Compare a composite's answers with the oracle's.

    Args:
      part: the composite's name.
      answers: the outputs for `expected.request`, by name.
      expected: the oracle.
    Raises:
      Refusal: a title that is no candidate, was seen or is excluded, a title twice, one too few, a value that
        is not finite, the wrong path.
    """
    agreements = []
    for row, user_id in enumerate(expected.request[features.USER_ID]):
        answer = {name: column[row] for name, column in answers.items()}
        try:
            agreements.append(_check_answer(answer, expected, row))
        except Refusal as refusal:
            name = user_id.decode("utf-8", "replace")
            raise Refusal(f"the recommendations of {part} for user {name} {refusal}") from refusal
    shares, differences, misplaced = zip(*agreements, strict=True)
    return Agreement(float(np.mean(shares)), float(max(differences)), int(sum(misplaced)))


def _check_answer(answer: Mapping[str, Any], expected: Oracle, row: int) -> tuple[float, float, int]:
    """Compare one request's answer with exact search.

    Returns:
      Recall, greatest difference of a score, titles at a wrong rank.
    Raises:
      Refusal: the fault, as the end of a sentence that begins with "the recommendations for user ...".
    """
    exact, order, known = expected.exact[row], expected.order[row], bool(expected.known[row])
    path = recommender.BY_MODEL if known else recommender.BY_POPULARITY
    if answer[recommender.SERVED_BY].decode() != path:
        raise Refusal(f"came by {answer[recommender.SERVED_BY].decode()}, not by {path}")
    count = int(answer[recommender.NUM_RETURNED])
    remaining = min(expected.k, int(np.isfinite(exact).sum()))
    if count != remaining:
        raise Refusal(f"number {count}, and {remaining} of the {expected.k} requested titles remain")
    found = exact_search.positions(answer[features.MOVIE_TITLE][:count], expected.positions, "hold")
    if len(set(found)) < count:
        raise Refusal("hold a title twice")
    if not np.isfinite(exact[found]).all():
        raise Refusal("hold a title that the user has already rated, or that the request excludes")
    largest = max(1.0, float(np.abs(exact[found]).max(initial=0.0)))
    difference = np.abs(answer[features.SCORE][:count] - exact[found]) / largest
    # NaN compares false, so the comparison is the one that must hold.
    if not (difference <= SCORE_TOLERANCE).all():
        raise Refusal("have scores that are not the model's")
    if not np.isfinite(answer[features.PREDICTED_RATING]).all():
        raise Refusal("have predicted ratings that are NaN or infinite")
    if not count:
        return 1.0, 0.0, 0
    best, tolerance = np.sort(order)[::-1][:count], expected.tolerance[row]
    share = float((order[found] >= best[-1] - tolerance).mean())
    if not known and share < 1.0:
        raise Refusal("are not the most popular titles")
    misplaced = int((~(np.abs(order[found] - best) <= 10 * tolerance)).sum())
    return share, float(difference.max()), misplaced
