"""Compare a composite's answers with exact search by the Trainers' models.

Runs in the executor's process; the answers come from another one (see saved_model_check.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.index_pusher.composite import recommender, signatures
from components.index_pusher.composite.diversity import POOL, Diversity
from components.index_pusher.composite.order import Order
from components.index_pusher.gates import Refusal
from components.index_pusher.index.selection import SCORE_TOLERANCE, TIE_TOLERANCE
from components.index_pusher.proof import diversity_check, exact_search
from modules import features


@dataclasses.dataclass(frozen=True)
class Oracle:
    """Results of the Trainers' models and exact search for some requests.

    Attributes:
      request: the composite's inputs, by name.
      positions: of each title in the catalogue.
      exact: `[q, n]` scores of the order, or popularity for cold-start users; minus infinity for titles that
        were seen or are excluded.
      order: `[q, n]` what is sorted by: `exact`, minus infinity outside of a pool.
      diversity: what known users' best are then put in another order by, if anything.
      tolerance: `[q]` greatest difference between two values of `order` that counts as a tie.
      known: `[q]` whether the model knows the user, see features.USER_KNOWN.
      k: number of requested titles.
    """

    request: Mapping[str, np.ndarray]
    positions: Mapping[bytes, int]
    exact: np.ndarray
    order: np.ndarray
    diversity: Diversity | None
    tolerance: np.ndarray
    known: np.ndarray
    k: int


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How answers compare with the oracle's.

    Attributes:
      recall: share of the best k that was recommended, mean over the requests; a title tied with the last of
        them counts, and with a diversity every title of its pool.
      score_difference: greatest difference of a score, in units of the request's largest.
      misplaced: number of titles, over all requests, at whose rank exact search has another, ties aside.
    """

    recall: float
    score_difference: float
    misplaced: int


def oracle(order: Order, queries: Mapping[str, np.ndarray], k: int) -> Oracle:
    """Search exactly, with the Trainers' models.

    Args:
      order: the composite's.
      queries: query features by name, as of queries.parse, cold-start users among them.
      k: titles per request, at most the catalogue.
    """
    candidates = order.candidates
    query = {row.name: queries[row.name] for row in features.QUERY_FEATURES}
    users = signatures.batched(order.retrieval.signatures[features.SEEN_SIGNATURE], query)
    seen, known = users[features.SEEN], users[features.USER_KNOWN]
    exact = np.where(
        known[:, None],
        order.embed(query) @ candidates.embeddings.T,
        candidates.popularity.astype(np.float32),
    )
    _exclude(exact, seen)
    excluded = np.argsort(-exact, axis=1, kind="stable")[:, : exact_search.EXCLUDED].astype(np.int32)
    excluded[~np.isfinite(np.take_along_axis(exact, excluded, axis=1))] = -1
    excluded[1::2] = -1
    _exclude(exact, excluded)
    titles = np.append(candidates.titles.astype(object), b"")[excluded]
    request = {**query, recommender.K: np.asarray(k, np.int32), recommender.EXCLUDE_TITLE: titles}
    ordered = exact
    if not order.is_one_search:
        exact, ordered = _pooled(exact, order, query, known, max(k, order.pool))
    largest = np.maximum(1.0, np.abs(np.where(np.isfinite(exact), exact, 0.0)).max(axis=1))
    positions = {title: position for position, title in enumerate(candidates.titles)}
    tolerance = TIE_TOLERANCE * largest
    return Oracle(request, positions, exact, ordered, order.diversity, tolerance, known, k)


def _exclude(exact: np.ndarray, positions: np.ndarray) -> None:
    """Give these positions of each row, -1 for none, a score of minus infinity."""
    for scores, row in zip(exact, positions, strict=True):
        scores[row[row >= 0]] = -np.inf


def _pooled(
    exact: np.ndarray, order: Order, queries: Mapping[str, np.ndarray], known: np.ndarray, pool: int
) -> tuple[np.ndarray, np.ndarray]:
    """Add the weighted ratings of each known user's best `pool` titles, in NumPy.

    Returns:
      `[q, n]` scores; and the same, minus infinity outside the pool.
    """
    pool = min(pool, exact.shape[1])
    pooled = np.argsort(-exact, axis=1, kind="stable")[:, :pool]
    ratings = signatures.rate_pairs(order.ranking, queries, order.candidates.titles[pooled])
    scores = np.take_along_axis(exact, pooled, axis=1) + np.where(known[:, None], order.weight * ratings, 0.0)
    scored, ordered = exact.copy(), np.full(exact.shape, -np.inf)
    np.put_along_axis(scored, pooled, scores, axis=1)
    np.put_along_axis(ordered, pooled, scores, axis=1)
    return scored, ordered


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
    best, tolerance = np.sort(order)[::-1], float(expected.tolerance[row])
    diversity = expected.diversity if known else None
    pool = min(POOL, int(np.isfinite(order).sum())) if diversity else 0
    share = float((order[found] >= best[max(count, pool) - 1] - tolerance).mean())
    if not known and share < 1.0:
        raise Refusal("are not the most popular titles")
    misplaced = ~(np.abs(order[found] - best[:count]) <= 10 * tolerance)
    wrong = int(misplaced[pool:].sum())
    if diversity:
        wrong += diversity_check.misplaced(found[:pool], order, diversity, 10 * tolerance)
    return share, float(difference.max()), wrong
