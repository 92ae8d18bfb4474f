"""A report as a run leaves one, of figures that are made up, with names that a page must not believe."""

from __future__ import annotations

from typing import Any

from components.run_report.contents import (
    Bundle,
    Data,
    Drift,
    Model,
    RatingShare,
    Report,
    Step,
    Title,
    Viewer,
)
from modules.evaluation.results import Evaluation, Gated

SCRIPT = "<script>alert(1)</script>"
HEBREW = "שלום (1997)"
CARD = f"""# Model card

## Limits <img src="x">

- {SCRIPT} [link](https://example.org) ![](https://example.org/x.png) <https://example.org>

| slice | rows |
| --- | --- |
| tier={SCRIPT} | 1,250 |
"""
FORMULA = "$x_1$ & \"$y\" 'z'"


def evaluation(passes: bool = True) -> Evaluation:
    """Return one whose gate on a slice, of a name that is foreign text, passes or fails."""
    value = 0.75 if passes else 0.25
    return Evaluation(
        gated=(
            Gated("top_100", "", "", ">= 0.5", 0.625, (0.5625, 0.6875), None, True),
            Gated("top_100", "", "", "beat popularity", 0.25, (0.2, 0.3), 0.375, True, "popularity"),
            Gated("top_100", "tier", f"tier={SCRIPT}", ">= 0.5", value, None, None, passes),
        ),
        others={"coverage": 0.5},
        rows=2_000,
        reliability=((1_500, 3.25, 3.5), (500, 4.75, 4.5)),
    )


def figures() -> dict[str, Any]:
    """Return what the IndexPusher measured."""
    return {
        "brute_force_latency_ms": 0.75,
        "index_chosen_because": "the first of 2 settings whose recall reaches 0.995",
        "index_kind": "hashed",
        "index_recall": 0.9975,
        "index_settings": [
            {"leaves_to_search": 1, "reordering": 500, "recall": 0.875, "latency_ms": 0.25},
            {"leaves_to_search": 1, "reordering": 1_000, "recall": 0.9975, "latency_ms": 0.375},
        ],
        "parity": [
            {
                **{"part": "recommend", "measure": "score", "compared_with": "brute force"},
                **{"queries": 400, "difference": 1.5e-6, "bound": 1e-5},
            }
        ],
        "served_list": [
            {"figure": "coverage", "protocol": "a day", "value": 0.25, "lower": None, "upper": None}
        ],
        "served_list_champion": "version 1",
        "served_list_comparisons": [
            {"compared_with": "popularity", "slice": name, "reference": 0.125, "gain": 0.0625}
            | {"lower": 0.05, "upper": 0.07, "gated": True, "passes": True}
            for name in ("", "visit=return")
        ],
        "served_list_depths": [
            {"depth": 1, "coverage": 0.125, "gini": 0.875, "popularity_shown": 160.0},
            {"depth": 10, "coverage": 0.25, "gini": 0.75, "popularity_shown": 80.0},
        ],
        "served_list_in_words": "Of the titles that people liked, 34% were shown.",
        "served_list_slices": [
            {"slice": f"tier={SCRIPT}", "rows": 30, "liked_hit_10": 0.5, "disliked_hit_10": None}
            | {"graded_ndcg_10": 0.25, "lower": 0.125, "upper": 0.375}
        ],
    }


def report(passes: bool = True) -> Report:
    """Return the report of a run that pushed version 2, or refused to."""
    titles = [
        Title(title=SCRIPT, score=2.5, predicted=4.25, rated=5.0),
        Title(title=HEBREW, score=1.5, predicted=3.5),
    ]
    results = {
        "rows": [8_000, 2_000],
        "models": [
            {"name": "retrieval", "blessed": passes, "metrics": {"top_100": [0.625, 0.5]}}
            | {"refused_because": "" if passes else SCRIPT}
        ],
        "pushed_version": 2 if passes else None,
        "not_pushed_because": "" if passes else SCRIPT,
        "drift": {"user_age": (0.25, 0.125)},
    }
    return Report(
        run="20260102-030405",
        pipeline="planted",
        ended="2026-01-02 03:04",
        seconds=61.5,
        results=results,
        steps=[
            Step(name="Transform", state="cached", seconds=0.1, figure="", reads=[]),
            Step(
                name="Trainer.retrieval",
                state="run",
                seconds=40.0,
                figure=SCRIPT,
                reads=["Transform"],
                peak_bytes=1_250_000_000,
            ),
        ],
        data=Data(
            release="custom",
            split="hash",
            counts={"train_rows": 8_000},
            bad_rows=[f"u.data, line 3: '{SCRIPT}'"],
            ratings=[
                RatingShare(rating=1.0, by_split={"train": 0.25, "eval": 0.375}),
                RatingShare(rating=2.0, by_split={"train": 0.75, "eval": 0.625}),
            ],
            popularity=[40, 20, 10, 1],
            vocabularies={"movie_title": 4},
        ),
        drift=[Drift(feature="user_age", distance=0.25, bound=0.125)],
        models=[
            Model(
                name="retrieval",
                blessed=passes,
                champion=7,
                hyperparameters={"epochs": 2, "query_features": ["user_id", SCRIPT]},
                training={"loss": {1: 2.5, 2: 2.25}, "top-100": {1: 0.5, 2: 0.625}},
                tuned="",
                evaluation=evaluation(passes),
            )
        ],
        bundle=Bundle(
            version=2 if passes else None,
            reason="" if passes else f"the list is worse: {SCRIPT}",
            destination="/srv/models/2" if passes else "",
            figures=figures(),
            sizes={"recommend": 2_500_000, "manifest.json": 900} if passes else {},
            card=CARD if passes else "",
        ),
        served=2,
        viewers=[
            Viewer(
                name=SCRIPT,
                rows=12,
                latest=[Title(title=FORMULA, rated=4.5)],
                served={2: titles, 1: titles[:1]},
            )
        ],
    )
