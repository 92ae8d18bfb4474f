"""Compare the titles that a part of a bundle returned with exact search. Called by the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.index_pusher.gates import Refusal
from components.index_pusher.proof.parity_table import greatest_difference

# Titles that every other request excludes: its best ones, so that the exclusion has an effect.
EXCLUDED = 5


def positions(titles: Sequence[bytes], catalogue: Mapping[bytes, int], subject: str) -> list[int]:
    """Find the titles that a part returned.

    Args:
      titles: titles that the part returned.
      catalogue: position of each candidate.
      subject: beginning of the message: the part, with its verb.
    Raises:
      Refusal: a title is no candidate.

    >>> positions([b"B (1999)"], {b"A (1990)": 0, b"B (1999)": 1}, "recommend returned")
    [1]
    """
    for title in titles:
        if title not in catalogue:
            raise Refusal(f"{subject} {title.decode('utf-8', 'replace')!r}, which is no candidate")
    return [catalogue[title] for title in titles]


def score_difference(
    received: np.ndarray, scores: np.ndarray, found: Sequence[int], best: np.ndarray
) -> float:
    """Compare one request's scores with exact ones, in units of the largest of the best.

    Args:
      received: scores of the returned titles.
      scores: `[n]` exact scores of all candidates.
      found: positions of the returned titles.
      best: the expected scores, best first.
    Returns:
      The greatest difference from the exact score of the same title, and from that of the title that exact
      search has at the same rank.
    """
    largest = max(1.0, float(np.abs(best).max(initial=0.0)))
    return max(greatest_difference(received, expected, largest) for expected in (scores[found], best))
