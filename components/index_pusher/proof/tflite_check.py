"""Gates of the TFLite files: the exact ones equal their SavedModels, the quantised ones are as accurate.

Called by the builder of the bundle, in the executor's process; the files run in one without TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.index_pusher.composite import signatures
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.gates import Refusal
from components.index_pusher.index.queries import absent
from components.index_pusher.proof.parity_table import Row, greatest_difference
from components.index_pusher.proof.processes import Columns
from modules import features

# Largest difference: of a predicted rating in stars, of a score in units of the request's largest.
TOLERANCE = 1e-5
# Titles that every other request excludes: the best that it would get, so that it matters.
_EXCLUDED = 5


def with_cold_start_users(queries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Append what no real query has.

    An unknown user, an unknown title, both; then a user and an unknown one who tell nothing of themselves.

    >>> asked = with_cold_start_users({"user_id": np.array([b"7"], object), "user_age": np.array([25])})
    >>> asked["user_id"].tolist(), asked["user_age"].tolist()
    ([b'7', b'no such user', b'7', b'no such user', b'7', b'no such user'], [25, 25, 25, 25, -1, -1])
    """
    given = {features.USER_ID, features.TIMESTAMP}
    untold = {row.name: absent(row) for row in features.QUERY_FEATURES if row.name not in given}
    result = {}
    for name, column in queries.items():
        extra = column[[0] * 5]
        if name == features.USER_ID:
            extra[[0, 2, 4]] = b"no such user"
        if name == features.MOVIE_TITLE:
            extra[[1, 2]] = b"no such title"
        if name in untold:
            extra[[3, 4]] = untold[name]
        result[name] = np.concatenate([column, extra])
    return result


def path_of(model_dir: str, file: str, name: str) -> str:
    """Find a file that a Trainer must have written.

    Raises:
      Refusal: it is absent.
    """
    path = os.path.join(model_dir, features.TFLITE_DIR, file)
    if not os.path.isfile(path):
        raise Refusal(f"the {name} model holds no TFLite file at {path}")
    return path


def check_rating(ranking: Any, received: np.ndarray, asked: Mapping[str, np.ndarray]) -> Row:
    """Hold the ranking file's answers against the model's `rate` signature.

    Args:
      ranking: loaded SavedModel.
      received: `[q]` stars.
      asked: query features and movie_title by name, cold-start users among them.
    Raises:
      Refusal: they differ by more than TOLERANCE.
    """
    rated = signatures.batched(ranking.signatures[features.RATING_SIGNATURE], asked)
    expected = rated[features.PREDICTED_RATING].reshape(-1)
    if received.shape != expected.shape:
        raise Refusal(f"the TFLite file returned {len(received)} ratings for {len(expected)} queries")
    difference = np.abs(received - expected)
    # NaN compares false, so the comparison is the one that must hold.
    wrong = int((~(difference <= TOLERANCE)).sum())
    if wrong:
        worst = np.argmax(np.where(np.isnan(difference), np.inf, difference))
        raise Refusal(
            f"the TFLite file differs from its SavedModel on {wrong} of {len(expected)} queries by more than "
            f"{TOLERANCE:g} stars: {received[worst]:.6f} where {expected[worst]:.6f} was expected",
            {"tflite_max_difference": float(difference[worst])},
        )
    return Row(
        f"tflite/{features.RANKING_TFLITE}",
        "rating, stars",
        "rate of the Trainer's model",
        len(expected),
        float(difference.max()),
        TOLERANCE,
    )


def device_request(
    embeddings: np.ndarray, candidates: Candidates, asked: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Make requests to the retrieval file, and search exactly for what they ask.

    Args:
      embeddings: `[q, d]` of the queries, by the SavedModel.
      candidates: its catalogue.
      asked: query features by name.
    Returns:
      The inputs by name; `[q, n]` scores, minus infinity for what a request tells of or excludes.
    """
    exact = embeddings @ candidates.embeddings.T
    rows = {title: position for position, title in enumerate(candidates.titles)}
    for row, told in zip(exact, asked[features.HISTORY_TITLE], strict=True):
        row[[rows[title] for title in told if title in rows]] = -np.inf
    best = np.argsort(-exact, axis=1, kind="stable")[:, :_EXCLUDED]
    exclude = np.full((len(exact), features.DEVICE_EXCLUDED), b"", object)
    for place in range(0, len(exact), 2):
        exclude[place, : best.shape[1]] = candidates.titles[best[place]]
        exact[place, best[place]] = -np.inf
    return {**asked, features.EXCLUDE_TITLE: exclude}, exact


def check_retrieval(answer: Columns, exact: np.ndarray, candidates: Candidates) -> Row:
    """Hold the retrieval file's answers against exact search.

    Args:
      answer: the outputs by name.
      exact: `[q, n]`, of `device_request`.
      candidates: the catalogue.
    Raises:
      Refusal: a wrong number of titles, or one that is told of or excluded, or twice.
    """
    where = f"the TFLite file {features.RETRIEVAL_TFLITE}"
    rows = {title: position for position, title in enumerate(candidates.titles)}
    titles, scores = answer[features.MOVIE_TITLE], answer[features.SCORE]
    worst = 0.0
    for place, of_query in enumerate(exact):
        best = np.sort(of_query[np.isfinite(of_query)])[::-1][: titles.shape[1]]
        count = int(answer[features.NUM_RETURNED][place])
        if count != len(best):
            raise Refusal(f"{where} returned {count} titles where {len(best)} remain")
        found = [rows[title] for title in titles[place, :count]]
        if len(set(found)) < count or not np.isfinite(of_query[found]).all():
            raise Refusal(f"{where} returned a title twice, or one that the request tells of or excludes")
        if [candidates.ids[row] for row in found] != answer[features.MOVIE_ID][place, :count].tolist():
            raise Refusal(f"{where} returned ids that are not its titles'")
        largest = max(1.0, float(np.abs(best).max(initial=0.0)))
        given = scores[place, :count]
        # Its own title's score, and that of the title that exact search has in this place.
        for expected in (of_query[found], best):
            worst = max(worst, greatest_difference(given, expected, largest))
    return Row(
        f"tflite/{features.RETRIEVAL_TFLITE}",
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
    of_received, of_exact = (np.sqrt(np.mean(np.square(each - labels))) for each in (received, exact))
    return float(of_received - of_exact) if np.isfinite(of_received) else float("inf")


def top_100_loss(received: Columns, exact: Columns, rated: np.ndarray) -> float:
    """Share of rated titles among what the exact file returned, less the share among a quantised one's.

    Args:
      received: outputs of the quantised file.
      exact: outputs of the exact one.
      rated: `[q]` titles.
    """
    if not np.isfinite(received[features.SCORE]).all():
        return float("inf")
    found = [(each[features.MOVIE_TITLE] == rated[:, None]).any(axis=1).mean() for each in (exact, received)]
    return float(found[0] - found[1])
