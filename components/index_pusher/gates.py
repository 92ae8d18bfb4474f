"""Refusals, and the check of the blessings. Called by every gate of the IndexPusher, in its executor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

# Scalars by name, and `parity`, a list of rows.
Figures = Mapping[str, Any]


class Refusal(Exception):
    """The models may not be pushed; the message says why, in words a person can act on.

    Attributes:
      figures: what had been measured when the gate refused.
    """

    def __init__(self, reason: str, figures: Figures | None = None) -> None:
        super().__init__(reason)
        self.figures: Figures = dict(figures or {})


@dataclasses.dataclass(frozen=True)
class Blessing:
    """What an Evaluator said of a model.

    Attributes:
      blessed: its `blessed` property; None where the property, or the whole artifact, is absent.
      model_uri: the model that it judged; empty where it does not say.
    """

    blessed: int | None = None
    model_uri: str = ""


def check_blessing(name: str, model_uri: str, blessing: Blessing) -> None:
    """Refuse a model that its Evaluator has not blessed.

    Args:
      name: which model, as a person knows it: `retrieval`, `ranking`.
      model_uri: the model about to be pushed.
      blessing: the verdict that came with it.
    Raises:
      Refusal: no verdict, a negative one, or one about another model.

    >>> check_blessing("ranking", "models/7", Blessing(1, "models/7"))
    >>> check_blessing("ranking", "models/7", Blessing(0, "models/7"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    components.index_pusher.gates.Refusal: the ranking model was not blessed: ...
    """
    if blessing.blessed is None:
        raise Refusal(
            f"the {name} model carries no blessing: its Evaluator gave no verdict (an Evaluator without "
            "thresholds gives none)"
        )
    if blessing.blessed != 1:
        raise Refusal(f"the {name} model was not blessed: its Evaluator's thresholds were not met")
    if blessing.model_uri and blessing.model_uri.rstrip("/") != model_uri.rstrip("/"):
        raise Refusal(
            f"the {name} model's blessing is about another model: it judged {blessing.model_uri}, "
            f"the model to push is {model_uri}"
        )
