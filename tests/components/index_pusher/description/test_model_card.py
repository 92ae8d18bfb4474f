"""The model card: what was recorded, in the words and numbers a reader relies on, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from typing import Any

import pytest
from tfx import types
from tfx.types import standard_artifacts

from components.index_pusher import bundle, executor
from components.index_pusher.config import BlendConfig, IndexConfig
from components.index_pusher.description import describe, model_card
from components.index_pusher.description.model_card import Data, Facts
from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.outcome import COUNTS
from modules.evaluation.results import Evaluation, Gated
from serving import manifest

RETRIEVAL = Evaluation(
    gated=(
        Gated("top_100", "", "", ">= 0.5", 0.75, (0.7, 0.8), None, True),
        Gated("top_100", "", "", "beat popularity", 0.35, (0.3, 0.4), 0.4, True, "popularity"),
        Gated("top_100", "user_gender", "user_gender=F", ">= 0.4", 0.5, (0.4, 0.6), None, True),
    ),
    others={"coverage": 0.6},
    rows=2_000,
    values={
        "": {
            **{"top_100": 0.75, "top_100_lower": 0.7, "top_100_upper": 0.8, "coverage": 0.6},
            **{"top_100_of_popularity": 0.4, "top_100_gain_on_popularity": 0.35, "example_count": 2_000.0},
            **{"top_100_gain_on_popularity_lower": 0.3, "top_100_gain_on_popularity_upper": 0.4},
        },
        "user_gender=F": {"top_100": 0.5, "example_count": 400.0, "top_100_gain_on_popularity": 0.05}
        | {"top_100_gain_on_popularity_lower": -0.01, "top_100_gain_on_popularity_upper": 0.11},
        "user_gender=M": {"top_100": 0.8125, "example_count": 1_600.0},
    },
)
RANKING = Evaluation(
    gated=(Gated("rmse", "", "", "<= 0.9", 0.875, None, None, True),),
    others={},
    rows=2_000,
    reliability=((1_500, 3.25, 3.5), (500, 4.75, 4.5)),
    values={"": {"rmse": 0.875}, "tier=a|b": {"rmse": 1.25}, "tier=c": {"rmse": 0.5}},
)
FACTS = Facts(
    data=Data(DataConfig(), {"train_rows": 8_000, "eval_rows": 2_000, "bad_ratings": 3, "bad_users": 1}),
    evaluations={"retrieval": RETRIEVAL, "ranking": RANKING},
    figures={
        **{"num_candidates": 1_664, "index_kind": "exact", "index_recall": 0.99756},
        "parity": [
            {"part": "recommend", "compared_with": "brute force", "difference": 1.25e-6},
            {"part": "ranking", "compared_with": "the Trainer's model", "difference": 0.0},
        ],
    },
    sources={"ranking_model": "aa11", "code": "bb22"},
    libraries={"tensorflow": "2.16.2", "numpy": "1.26.4"},
)


def section(card: str, title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    return found


def rows(text: str, header: str) -> list[list[str]]:
    """Cells of the table with this header."""
    lines = text.split(header + "\n", 1)[1].splitlines()[1:]
    table = lines[: next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_sections_stand_in_their_order() -> None:
    titles = re.findall(r"^## (.*)$", model_card.text(FACTS), re.MULTILINE)
    assert titles == [
        *("Data", "Protocol", "Model: retrieval", "Model: ranking", "Bundle: index and parity"),
        *("Limits", "Licence of the data", "Made of"),
    ]


def test_metrics_stand_with_intervals_baselines_and_gates() -> None:
    text = section(model_card.text(FACTS), "Model: retrieval")
    assert "2,000 rows of eval." in text
    assert rows(text, "| metric | value | 95% | must be |") == [
        ["`coverage`", "0.600", "", ""],
        ["`top_100`", "0.750", "0.700 to 0.800", ">= 0.5"],
    ]
    assert rows(text, "| metric | compared with | its value | gain | gain, 95% | must |") == [
        ["`top_100`", "popularity", "0.400", "0.350", "0.300 to 0.400", "beat popularity"]
    ]


def test_gated_metrics_stand_by_slice() -> None:
    text = section(model_card.text(FACTS), "Model: retrieval")
    assert rows(text, "| slice | rows | value | 95% | gain on popularity |") == [
        ["user_gender=F", "400", "0.500", "", "0.050 (-0.010 to 0.110)"],
        ["user_gender=M", "1,600", "0.812", "", ""],
    ]
    ranking = section(model_card.text(FACTS), "Model: ranking")
    assert "| tier=a&#124;b | missing | 1.250 |" in ranking
    assert rows(ranking, "| rows | mean prediction | mean rating |") == [
        ["1,500", "3.25", "3.50"],
        ["500", "4.75", "4.50"],
    ]


def test_the_card_has_the_bundles_figures_and_tables() -> None:
    text = section(model_card.text(FACTS), "Bundle: index and parity")
    assert rows(text, "| figure | value |") == [
        ["`index_kind`", "exact"],
        ["`index_recall`", "0.9976"],
        ["`num_candidates`", "1,664"],
    ]
    assert rows(text, "| part | compared with | difference |") == [
        ["recommend", "brute force", "1.25e-06"],
        ["ranking", "the Trainer's model", "0"],
    ]


def test_the_card_tells_of_the_list_that_is_served() -> None:
    """With figures as the step that measures it returns them; of few users no interval is known."""
    served: dict[str, Any] = {
        "served_list_in_words": "Of the titles that people liked, a third were among their ten.",
        "served_list": [
            {"figure": "liked_hit_10", "protocol": "before each rating", "value": 0.324}
            | {"lower": 0.3125, "upper": 0.34375},
            {
                "figure": "lists",
                "protocol": "a day after train",
                "value": 6040.0,
                "lower": None,
                "upper": None,
            },
            {"figure": "gini", "protocol": "a day after train", "value": 0.75, "lower": None, "upper": None},
            {"figure": "mean_rating_of_hits", "protocol": "before each rating", "value": None}
            | {"lower": None, "upper": None},
        ],
        "served_list_comparisons": [
            {
                "compared_with": "popularity",
                "reference": 0.125,
                "gain": 0.0625,
                "lower": 0.03125,
                "upper": 0.09375,
            }
            | {"gated": True, "passes": True, "slice": ""},
            {"compared_with": "popularity", "reference": 0.125, "gain": 0.0, "lower": -0.125, "upper": 0.125}
            | {"gated": True, "passes": True, "slice": "visit=return"},
        ],
        "served_list_slices": [
            {"slice": "visit=return", "rows": 1_250, "liked_hit_10": 0.25, "disliked_hit_10": None}
            | {"graded_ndcg_10": 0.125, "lower": 0.0625, "upper": 0.1875}
        ],
        "served_list_depths": [{"depth": 5, "coverage": 0.25, "gini": 0.75, "popularity_shown": None}],
        "served_list_champion": "version 7",
    }
    card = model_card.text(dataclasses.replace(FACTS, figures={**FACTS.figures, **served}))
    text = section(card, "The list that is served")
    assert "Of the titles that people liked, a third were among their ten." in text
    assert "In service before: version 7." in text
    assert rows(text, "| figure | protocol | value | 95% |") == [
        ["`liked_hit_10`", "before each rating", "0.324", "0.312 to 0.344"],
        ["`lists`", "a day after train", "6,040", ""],
        ["`gini`", "a day after train", "0.750", ""],
        ["`mean_rating_of_hits`", "before each rating", "missing", ""],
    ]
    assert rows(text, "| compared with | its value | gain | gain, 95% |") == [
        ["popularity", "0.125", "0.062", "0.031 to 0.094"]
    ]
    by_depth = "| first titles | `coverage` | `gini` | `popularity_shown` |"
    assert rows(text, by_depth) == [["5", "0.250", "0.750", "missing"]]
    by_slice = (
        "| slice | rows | `liked_hit_10` | `disliked_hit_10` | `graded_ndcg_10` | 95% "
        "| gain on popularity, 95% |"
    )
    assert rows(text, by_slice) == [
        ["visit=return", "1,250", "0.250", "missing", "0.125", "0.062 to 0.188", "-0.125 to 0.125"]
    ]
    assert "served_list" not in section(card, "Bundle: index and parity")
    served["served_list_slices"] = []
    unsliced = model_card.text(dataclasses.replace(FACTS, figures=served))
    assert rows(unsliced, by_slice) == [], "no rating is of a title that a list could hold"


def test_limits_follow_from_the_figures() -> None:
    text = section(model_card.text(FACTS), "Limits")
    assert "- retrieval: `top_100` is worst on user_gender=F, 0.500 (0.750 over all rows)." in text
    assert "- ranking: `rmse` is worst on tier=a|b, 1.250 (0.875 over all rows)." in text, (
        "an error is bad high"
    )
    on_women = "on user_gender=F, `top_100` does not beat that of popularity; gain -0.010 to 0.110."
    assert f"- retrieval: {on_women}" in text
    assert "on all rows" not in text, "there the whole interval is above 0"
    assert "- 4 rows of the input could not be used" in text
    assert "- Under a random split a user's other ratings, later ones too, are in train." in text


def test_the_card_describes_a_split_by_time() -> None:
    data = Data(DataConfig(split=SplitConfig(method="time", eval_share=0.1)), {})
    card = model_card.text(dataclasses.replace(FACTS, data=data))
    assert (
        "Split time: all rows from one timestamp on are eval, all before it train. Share of eval: 0.1."
        in card
    )
    assert "Under a random split" not in card and "could not be used" not in card


@pytest.mark.parametrize(
    "release, words",
    [
        ("ml-100k", "may not be passed on without separate permission"),
        ("ml-25m", "may be passed on under the same conditions only"),
        ("custom", "their licence is not known to the pipeline"),
    ],
)
def test_the_licence_is_that_of_the_release(release: str, words: str) -> None:
    card = model_card.text(dataclasses.replace(FACTS, data=Data(DataConfig(release=release), {})))
    assert words in section(card, "Licence of the data")


def test_the_card_leaves_out_values_that_were_not_recorded() -> None:
    nothing = Facts(data=Data(), evaluations={}, figures={}, sources={}, libraries={})
    card = model_card.text(nothing)
    assert section(card, "Data").strip() == "Not recorded."
    assert "The split is not recorded." in section(card, "Protocol")
    assert "## Model" not in card
    assert section(card, "Licence of the data").strip() == "The data's licence is not recorded."
    stated = re.sub(r"95%|SHA-256", "", card)
    assert not re.findall(r"\d", stated), "no number without a source"


def test_a_bundle_without_evaluations_has_a_card_of_the_rest(pushed) -> None:
    card = (pushed.destination / "current" / "MODEL_CARD.md").read_text()
    figures = rows(section(card, "Bundle: index and parity"), "| figure | value |")
    assert ["`num_candidates`", "300"] in figures
    digests = pushed.planted.sources.digests()
    assert all(f"`{digest}`" in section(card, "Made of") for digest in digests.values())
    listed = json.loads((pushed.destination / "current" / "manifest.json").read_text())["files"]
    assert "MODEL_CARD.md" in listed


@pytest.mark.parametrize("held", [True, False])
def test_the_card_has_a_multitask_model_if_the_bundle_holds_it(
    planted, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    written: dict[str, dict] = {}
    monkeypatch.setattr(
        model_card, "write", lambda folder, data, evaluations, *_: written.update(evaluations)
    )
    monkeypatch.setattr(describe, "read_evaluation", lambda path: RETRIEVAL)
    both = {"retrieval": "a", "multitask": "b"}
    sources = dataclasses.replace(
        planted.sources, evaluation_dirs=both, multitask_dir=planted.sources.retrieval_dir * held
    )
    models: Any = None
    describe.describe(bundle.Bundle(sources, str(tmp_path), models, [], {}), {"code": "0"}, {})
    expected = both if held else {"retrieval": "a"}
    assert written == expected
    # Of no models, so that nothing that reads manifests would take it.
    written_manifest = json.loads((tmp_path / manifest.MANIFEST).read_text())
    assert set(written_manifest["evaluations"]) == set(expected)


@pytest.mark.parametrize("configured, weight", [(None, 1.5), (0.0, 0.0)])
def test_a_weight_that_was_chosen_holds_unless_the_configuration_has_one(
    configured: float | None, weight: float
) -> None:
    chosen = standard_artifacts.HyperParameters()
    chosen.set_float_custom_property("rating_weight", 1.5)
    config = IndexConfig(blend=BlendConfig(rating_weight=configured))
    assert executor._with_weight(config, [chosen]).blend.rating_weight == weight
    assert executor._with_weight(config, []) == config


class _Stop(Exception):
    pass


def test_the_executor_hands_on_what_the_artifacts_tell(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = {}

    def push(sources, *_: object) -> dict:
        handed["sources"] = sources
        raise _Stop

    monkeypatch.setattr(executor, "push", push)

    def artifact(kind: type, name: str) -> types.Artifact:
        made = kind()
        made.uri = str(tmp_path / name)
        return made

    examples = artifact(standard_artifacts.Examples, "examples")
    examples.split_names = '["train", "eval"]'
    config = DataConfig(release="ml-1m")
    examples.set_string_custom_property("data_config", config.model_dump_json())
    for count, name in enumerate(COUNTS):
        examples.set_int_custom_property(name, count)
    inputs = {
        "examples": [examples],
        **{f"{name}_model": [artifact(standard_artifacts.Model, name)] for name in ("retrieval", "ranking")},
        **{
            f"{name}_evaluation": [artifact(standard_artifacts.ModelEvaluation, f"evaluated_{name}")]
            for name in ("ranking", "multitask")
        },
    }
    with pytest.raises(_Stop):
        executor.Executor().Do(
            inputs,
            {"pushed_model": [artifact(standard_artifacts.PushedModel, "pushed")]},
            {
                **{
                    "push_destination": "d",
                    "index_config": "{}",
                    "publish_config": "{}",
                    "source_digest": "0",
                },
                "must_beat_baselines": 0,
                "pipeline_name": "films-ml-1m",
            },
        )
    assert handed["sources"].data == Data(config, {name: count for count, name in enumerate(COUNTS)})
    assert handed["sources"].must_beat_baselines is False
    assert handed["sources"].pipeline == "films-ml-1m"
    assert handed["sources"].split_dirs == {
        name: str(tmp_path / "examples" / f"Split-{name}") for name in ("eval", "train")
    }
    assert handed["sources"].evaluation_dirs == {
        name: str(tmp_path / f"evaluated_{name}") for name in ("ranking", "multitask")
    }
