"""The model card's section on the list that is served. Pure.

Called by model_card.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from components.index_pusher.description.model_card_tables import table
from components.index_pusher.served_list.figures import (
    CHAMPION,
    COMPARISONS,
    DEPTHS,
    DISLIKED_HIT,
    GRADED_NDCG,
    IN_WORDS,
    LIKED_HIT,
    LISTS,
    SERVED_LIST,
    SLICES,
)
from modules.evaluation.results import number, span

# Of a bundle's figures, those that this section is made of.
KEYS = {SERVED_LIST, SLICES, DEPTHS, COMPARISONS, CHAMPION, IN_WORDS}


def text(figures: Mapping[str, Any]) -> str:
    """Write the section: the list's figures, what it is compared with, and its slices."""
    measured = [
        (f"`{row['figure']}`", row["protocol"], _figure(row), _span(row)) for row in figures[SERVED_LIST]
    ]
    compared = [
        (row["compared_with"], number(_value(row["reference"])), number(_value(row["gain"])), _span(row))
        for row in figures[COMPARISONS]
        if not row["slice"]
    ]
    shares = (LIKED_HIT, DISLIKED_HIT, GRADED_NDCG)
    gains = {(row["slice"], row["compared_with"]): _span(row) for row in figures[COMPARISONS] if row["slice"]}
    baselines = list(dict.fromkeys(name for _, name in gains))
    slices = [
        (
            row["slice"],
            f"{row['rows']:,}",
            *(number(_value(row[name])) for name in shares),
            _span(row),
            *(gains.get((row["slice"], name), "") for name in baselines),
        )
        for row in figures[SLICES]
    ]
    shown = ("coverage", "gini", "popularity_shown")
    depths = [(str(row["depth"]), *(number(_value(row[name])) for name in shown)) for row in figures[DEPTHS]]
    return "\n\n".join(
        [
            "## The list that is served",
            f"{figures[IN_WORDS]} The composite of this bundle was asked for ten titles, before each rating "
            "of eval and, for each user of both splits, a day after the user's last rating of train, as a "
            "server would be asked. docs/serving.md defines the figures.",
            table(("figure", "protocol", "value", "95%"), measured),
            "By the number of the list's first titles, a day after train:",
            table(("first titles", *(f"`{name}`" for name in shown)), depths),
            f"Graded nDCG before each rating, beside other orders. In service before: {figures[CHAMPION]}.",
            table(("compared with", "its value", "gain", "gain, 95%"), compared),
            "By slice:",
            table(
                (
                    *("slice", "rows", *(f"`{name}`" for name in shares), "95%"),
                    *(f"gain on {name}, 95%" for name in baselines),
                ),
                slices,
            ),
        ]
    )


def _figure(row: Mapping[str, Any]) -> str:
    return f"{row['value']:,.0f}" if row["figure"] == LISTS else number(_value(row["value"]))


def _value(value: float | None) -> float:
    return math.nan if value is None else value


def _span(row: Mapping[str, Any]) -> str:
    return "" if row["lower"] is None else span((row["lower"], row["upper"]))
