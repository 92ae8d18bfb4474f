"""Compare answers of TFLite files: of exact ones with their SavedModels, of quantised ones with the exact.

Called by tflite_files.py; the files run in a process without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.index_pusher.bundle import TFLITE
from components.index_pusher.composite import signatures
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.gates import Refusal
from components.index_pusher.proof import exact_search
from components.index_pusher.proof.parity_table import Row, greatest_difference
from components.index_pusher.proof.processes import Columns
from modules import features

# Largest difference: of a predicted rating in stars, of a score in units of the request's largest.
TOLERANCE = 1e-5


def check_rating(ranking: Any, answer: Columns, columns: Mapping[str, np.ndarray]) -> Row:
    """Compare the ranking file's ratings with those of the model's `rate` signature.

    Args:
      ranking: loaded SavedModel.
      answer: the outputs by name.
      columns: query features and movie_title by name, cold-start users among them.
    """
    rated = signatures.batched(ranking.signatures[features.RATING_SIGNATURE], columns)
    expected = stars(rated)
    difference = greatest_difference(stars(answer), expected)
    trained = "rate of the Trainer's model"
    return Row(
        f"{TFLITE}/{features.RANKING_TFLITE}", "rating, stars", trained, len(expected), difference, TOLERANCE
    )


def stars(answer: Columns) -> np.ndarray:
    """Return the `[q]` ratings of an answer."""
    return answer[features.PREDICTED_RATING].reshape(-1)


def device_request(
    embeddings: np.ndarray, candidates: Candidates, columns: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Make requests to the retrieval file, and find their answers by exact search.

    Args:
      embeddings: `[q, d]` of the queries, by the SavedModel.
      candidates: its catalogue.
      columns: query features by name.
    Returns:
      The inputs by name; `[q, n]` scores, minus infinity for titles of a request's history and those that it
      excludes.
    """
    exact = embeddings @ candidates.embeddings.T
    positions = {title: position for position, title in enumerate(candidates.titles)}
    for scores, history in zip(exact, columns[features.HISTORY_TITLE], strict=True):
        scores[[positions[title] for title in history if title in positions]] = -np.inf
    best = np.argsort(-exact, axis=1, kind="stable")[:, : exact_search.EXCLUDED]
    exclude = np.full((len(exact), features.DEVICE_EXCLUDED), b"", object)
    for row in range(0, len(exact), 2):
        exclude[row, : best.shape[1]] = candidates.titles[best[row]]
        exact[row, best[row]] = -np.inf
    return {**columns, features.EXCLUDE_TITLE: exclude}, exact


def check_retrieval(answer: Columns, exact: np.ndarray, candidates: Candidates) -> Row:
    """Compare the retrieval file's answers with exact search.

    Args:
      answer: the outputs by name.
      exact: `[q, n]`, of `device_request`.
      candidates: the catalogue.
    Raises:
      Refusal: a wrong number of titles; one that is no candidate; one of the request's history, or that it
        excludes; or one twice.
    """
    subject = f"the TFLite file {features.RETRIEVAL_TFLITE}"
    positions = {title: position for position, title in enumerate(candidates.titles)}
    worst = 0.0
    for row, scores in enumerate(exact):
        best = np.sort(scores[np.isfinite(scores)])[::-1][: answer[features.MOVIE_TITLE].shape[1]]
        count = int(answer[features.NUM_RETURNED][row])
        if count != len(best):
            raise Refusal(f"{subject} returned {count} titles where {len(best)} remain")
        titles = answer[features.MOVIE_TITLE][row, :count].tolist()
        found = exact_search.positions(titles, positions, f"{subject} returned")
        if len(set(found)) < count or not np.isfinite(scores[found]).all():
            raise Refusal(f"{subject} returned a title twice, or one of the request's history or exclusions")
        if [candidates.ids[position] for position in found] != answer[features.MOVIE_ID][
            row, :count
        ].tolist():
            raise Refusal(f"{subject} returned ids that are not its titles'")
        received = answer[features.SCORE][row, :count]
        worst = max(worst, exact_search.score_difference(received, scores, found, best))
    return Row(
        f"{TFLITE}/{features.RETRIEVAL_TFLITE}",
        "score, of the request's largest; titles",
        "exact search by the Trainer's model",
        len(exact),
        worst,
        TOLERANCE,
    )


def rmse_increase(received: np.ndarray, exact: np.ndarray, labels: np.ndarray) -> float:
    """By how many stars a quantised file's error is above the exact one's; infinite where it is no number.

    >>> rmse_increase(np.array([4.0, 4.0]), np.array([3.0, 3.0]), np.array([3.0, 3.0]))
    1.0
    """
    error, exact_error = (np.sqrt(np.mean(np.square(each - labels))) for each in (received, exact))
    return float(error - exact_error) if np.isfinite(error) else float("inf")


def hit_loss(received: Columns, exact: Columns, rated: np.ndarray, depth: int) -> float:
    """Share of rated titles among the exact file's first ones, less the share among a quantised one's.

    Args:
      received: outputs of the quantised file.
      exact: outputs of the exact one.
      rated: `[q]` titles.
      depth: how many of the first count.
    """
    if not np.isfinite(received[features.SCORE]).all():
        return float("inf")
    first = (each[features.MOVIE_TITLE][:, :depth] for each in (exact, received))
    found = [(titles == rated[:, None]).any(axis=1).mean() for titles in first]
    return float(found[0] - found[1])
