"""The gates of the IndexPusher, which decide whether models are pushed. Called in its executor.

Checks compare and return figures; a gate decides on these figures. A check itself raises a Refusal only if
the values that it compares are unsound, so that there is no figure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.index_pusher.proof.parity_table import Row
from components.index_pusher.served_list.comparison import Comparison

# Scalars by name, and `parity`, a list of rows.
Figures = dict[str, Any]


class Refusal(Exception):
    """The models may not be pushed; the message says why, so that a user can act on it.

    Attributes:
      figures: values that were measured before.
    """

    def __init__(self, reason: str, figures: Figures | None = None) -> None:
        super().__init__(reason)
        self.figures = dict(figures or {})


@dataclasses.dataclass(frozen=True)
class Blessing:
    """An Evaluator's verdict on a model.

    Attributes:
      blessed: its `blessed` property; None if the property, or the whole artifact, is absent.
      model_uri: the model that it evaluated; empty if the artifact does not name it.
    """

    blessed: int | None = None
    model_uri: str = ""


def gate_blessing(name: str, model_uri: str, blessing: Blessing) -> None:
    """Refuse a model that its Evaluator has not blessed.

    Args:
      name: name of the model: `retrieval`, `ranking`.
      model_uri: the model to be pushed.
      blessing: the verdict that came with it.
    Raises:
      Refusal: no verdict, a negative one, or one about another model.

    >>> gate_blessing("ranking", "models/7", Blessing(1, "models/7"))
    >>> gate_blessing("ranking", "models/7", Blessing(0, "models/7"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    components.index_pusher.gates.Refusal: the ranking model was not blessed: ...
    """
    if blessing.blessed is None:
        raise Refusal(
            f"the {name} model has no blessing: its Evaluator gave no verdict (an Evaluator without "
            "thresholds gives none)"
        )
    if blessing.blessed != 1:
        raise Refusal(f"the {name} model was not blessed: its Evaluator's thresholds were not met")
    if blessing.model_uri and blessing.model_uri.rstrip("/") != model_uri.rstrip("/"):
        raise Refusal(
            f"the {name} model's blessing is about another model: it judged {blessing.model_uri}, "
            f"the model to push is {model_uri}"
        )


def gate_recall(subject: str, recall: float, best: str, min_recall: float) -> None:
    """Refuse an index that finds too few of the exact best.

    Args:
      subject: beginning of the message: the index, with its verb.
      recall: share of the exact best that was found.
      best: name of the exact best.
      min_recall: the least share that passes.
    Raises:
      Refusal: the share is less, or NaN.

    >>> gate_recall("the index returns", 0.9, "the exact top 100", 0.9)
    >>> gate_recall("the index returns", 0.5, "the exact top 100", 0.9)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    components.index_pusher.gates.Refusal: the index returns 0.5000 of the exact top 100, under the ...
    """
    if not recall >= min_recall:
        raise Refusal(
            f"{subject} {recall:.4f} of {best}, under the threshold of {min_recall}; search more leaves or "
            "reorder more candidates"
        )


def gate_parity(rows: Sequence[Row]) -> None:
    """Refuse a bundle in which two parts disagree.

    Raises:
      Refusal: the first comparison that does not pass.

    >>> gate_parity([Row("ranking", "rating", "the Trainer's model", 400, 0.0, 1e-4)])
    >>> gate_parity([Row("ranking", "rating", "the Trainer's model", 400, 0.5, 1e-4)])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    components.index_pusher.gates.Refusal: ranking differs from the Trainer's model: rating by 0.5, ...
    """
    for row in rows:
        if not row.passes:
            raise Refusal(
                f"{row.part} differs from {row.compared_with}: {row.measure} by {row.difference:.3g}, and "
                f"{row.bound:.3g} is allowed, on {row.queries} queries"
            )


def gate_ranks(ranks: Mapping[str, np.ndarray]) -> None:
    """Refuse to compare lists where a rated title has no place, since a score is not finite.

    Args:
      ranks: `[rows]` by order.
    Raises:
      Refusal: a rank is NaN.

    >>> gate_ranks({"retrieval alone": np.array([0.0, np.inf])})
    >>> gate_ranks({"retrieval alone": np.array([0.0, np.nan])})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    components.index_pusher.gates.Refusal: retrieval alone has no rank for 1 of 2 ratings of eval, since a ...
    """
    for name, column in ranks.items():
        if without := int(np.isnan(column).sum()):
            raise Refusal(
                f"{name} has no rank for {without:,} of {len(column):,} ratings of eval, since a score is "
                "not finite; see whether the losses in training were"
            )


def gate_list(comparisons: Sequence[Comparison]) -> None:
    """Refuse a list that is surely worse than one that it is held against.

    Raises:
      Refusal: the first comparison in which the whole 95% interval of the gain is below 0, or which, over all
        ratings, has no interval, since there are too few users or no rating has a gain.

    >>> gate_list([Comparison("popularity", 0.2, -0.1, -0.3, 0.1)])
    >>> gate_list([Comparison("popularity", 0.2, -0.1, -0.15, -0.05)])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    components.index_pusher.gates.Refusal: the served list is worse than popularity: its graded nDCG@10 ...
    """
    for found in comparisons:
        if found.passes:
            continue
        if math.isnan(found.upper):
            raise Refusal(
                f"the served list cannot be compared with {found.compared_with}: of the ratings in eval, "
                "none above 0 is of a title that a list could hold"
            )
        if math.isinf(found.upper):
            raise Refusal(
                "too few users have ratings in eval to compare the served list with "
                f"{found.compared_with}; at least 5 are needed"
            )
        where = f" on {found.slice}" if found.slice else ""
        raise Refusal(
            f"the served list is worse than {found.compared_with}{where}: its graded nDCG@10 is "
            f"{found.reference + found.gain:.4f}, that of {found.compared_with} {found.reference:.4f}, the "
            f"interval of the difference {found.lower:.4f} to {found.upper:.4f}"
        )
