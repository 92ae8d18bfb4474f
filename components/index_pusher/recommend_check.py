"""Gate of the saved composite: reloaded, it must answer real users as exact search would.

Runs in the executor's process, on the files about to be published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from components.index_pusher import recommender, signatures
from components.index_pusher.gates import Refusal
from components.index_pusher.index_gate import SCORE_TOLERANCE, TIE_TOLERANCE
from components.index_pusher.queries import absent
from components.index_pusher.signatures import Candidates
from modules import features

STRANGER = b"no such user"
_BATCH = 64


def check_recommend(
    path: str, retrieval: Any, candidates: Candidates, queries: Mapping[str, np.ndarray], k: int
) -> float:
    """Ask the saved composite for real users and for a stranger.

    Args:
      path: the composite.
      retrieval: the loaded retrieval model, which tells what exact search finds and who has seen what.
      candidates: its catalogue.
      queries: query features by name, as of queries.read_queries.
      k: titles per user, at most the catalogue.
    Returns:
      Share of the exact best k unseen titles that was recommended, mean over users.
    Raises:
      Refusal: a seen title, a title twice, one too few, a value that is not finite, the wrong path.
    """
    serve = tf.saved_model.load(path).signatures[features.SERVING_SIGNATURE]
    rows = {title: position for position, title in enumerate(candidates.titles)}
    shares = []
    for batch in _batches(with_stranger(queries)):
        request = {name: tf.constant(column) for name, column in batch.items()}
        answer = signatures.call(serve, {**request, recommender.K: tf.constant(k)})
        columns = {name: tensor.numpy() for name, tensor in answer.items()}
        viewers = signatures.call(retrieval.signatures[features.SEEN_SIGNATURE], request)
        seen, known = viewers[features.SEEN].numpy(), viewers[features.USER_KNOWN].numpy()
        exact = np.where(
            known[:, None],
            signatures.embed(retrieval, batch) @ candidates.embeddings.T,
            candidates.popularity.astype(np.float32),
        )
        for user, user_id in enumerate(batch[features.USER_ID]):
            exact[user, seen[user][seen[user] >= 0]] = -np.inf
            row = {name: column[user] for name, column in columns.items()}
            try:
                shares.append(check_answer(row, rows, exact[user], bool(known[user]), k))
            except Refusal as refusal:
                name = user_id.decode("utf-8", "replace")
                raise Refusal(f"the recommendations for user {name} {refusal}") from refusal
    return float(np.mean(shares))


def with_stranger(queries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep the query features, and append an unknown user, who tells of no title."""
    names = [row.name for row in features.QUERY_FEATURES]
    columns = {name: np.concatenate([queries[name], queries[name][:1]]) for name in names}
    columns[features.USER_ID][-1] = STRANGER
    for row in features.HISTORY_FEATURES:
        columns[row.name][-1] = absent(row)
    return columns


def _batches(queries: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(queries[features.USER_ID]), _BATCH):
        yield {name: column[start : start + _BATCH] for name, column in queries.items()}


def check_answer(
    answer: Mapping[str, Any], rows: Mapping[bytes, int], exact: np.ndarray, known: bool, k: int
) -> float:
    """Hold one user's recommendations against exact search.

    Args:
      answer: the composite's outputs for this user.
      rows: position of each title in the catalogue.
      exact: `[n]` scores; minus infinity for what the user has seen.
      known: whether the user occurs in train or tells of a title of the catalogue.
      k: titles that were asked for.
    Returns:
      Share of the exact best that was recommended; a title tied with the last of them counts.
    Raises:
      Refusal: what is wrong, as the end of a sentence that begins with whose recommendations they are.
    """
    path = recommender.BY_MODEL if known else recommender.BY_POPULARITY
    if answer[recommender.SERVED_BY].decode() != path:
        raise Refusal(f"came by {answer[recommender.SERVED_BY].decode()}, not by {path}")
    count = int(answer[recommender.NUM_RETURNED])
    best = np.sort(exact[np.isfinite(exact)])[::-1][:k]
    if count != len(best):
        raise Refusal(f"number {count} where {len(best)} of the {k} asked for remain")
    found = [rows[title] for title in answer[features.MOVIE_TITLE][:count]]
    if len(set(found)) < count:
        raise Refusal("hold a title twice")
    if not np.isfinite(exact[found]).all():
        raise Refusal("hold a title that the user has already rated")
    largest = max(1.0, float(np.abs(best).max(initial=0.0)))
    if not (np.abs(answer[features.SCORE][:count] - exact[found]) <= SCORE_TOLERANCE * largest).all():
        raise Refusal("carry scores that are not the model's")
    if not np.isfinite(answer[features.PREDICTED_RATING]).all():
        raise Refusal("carry predicted ratings that are NaN or infinite")
    share = float((exact[found] >= best[-1] - TIE_TOLERANCE * largest).mean()) if count else 1.0
    if not known and share < 1.0:
        raise Refusal("are not the most popular titles")
    return share
