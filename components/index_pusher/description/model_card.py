"""The model card of a bundle, in Markdown: what a run itself recorded, and what the code does with it.

Runs in the executor's process; `text` is pure. A figure that nobody recorded is said to be missing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from components.index_pusher.description import model_card_list
from components.index_pusher.description.model_card_tables import model, not_better, table, weakest
from components.index_pusher.index.scann_operations import BRUTE_FORCE, MISSING
from components.movielens_example_gen.config import GIVEN, HASH, SPAN, TIME, DataConfig
from components.movielens_example_gen.sources.releases import CUSTOM
from modules import features
from modules.evaluation.results import Evaluation, read_evaluation
from serving.manifest import libraries

FILE = "MODEL_CARD.md"

_SPLITS = {
    HASH: "hash: every row falls to train or eval by a seeded hash of itself. So train holds rows that are "
    "later than a row of eval, as under any random split; what a query carries is from before its own second",
    TIME: "time: all rows from one timestamp on are eval, all before it train",
    GIVEN: "given: the input came divided into train and eval",
    SPAN: "span: the newest span is eval, all earlier ones that were read are train",
}
_CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM "
    "Transactions on Interactive Intelligent Systems 5(4)."
)


@dataclasses.dataclass(frozen=True)
class Data:
    """The properties of the ratings' artifact.

    Attributes:
      config: release and split; None if the artifact does not record them.
      counts: the ExampleGen's, by name.
    """

    config: DataConfig | None = None
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Facts:
    """The contents of a card.

    Attributes:
      data: release, split and counts of the ratings.
      evaluations: of each model by its folder in the bundle; empty if none was given.
      figures: measured values of the bundle: single ones, and lists of rows with the same keys.
      sources: digests of the artifacts that it was made of.
      libraries: versions by name.
    """

    data: Data
    evaluations: Mapping[str, Evaluation]
    figures: Mapping[str, Any]
    sources: Mapping[str, str]
    libraries: Mapping[str, str]


def write(
    folder: str,
    data: Data,
    evaluation_dirs: Mapping[str, str],
    sources: Mapping[str, str],
    figures: Mapping[str, Any],
) -> None:
    """Write the card into a bundle.

    Args:
      folder: of the bundle.
      data: what the ratings' artifact tells.
      evaluation_dirs: folders of the Evaluators' results, by what the model does in the bundle.
      sources: digests of what the bundle is made of.
      figures: what was measured of it.
    """
    merged: dict[str, str] = {}
    for name, path in evaluation_dirs.items():
        # One model may be both; its evaluation is then written once.
        merged[path] = f"{merged[path]} and {name}" if path in merged else name
    facts = Facts(
        data=data,
        evaluations={name: read_evaluation(path) for path, name in merged.items()},
        figures=figures,
        sources=sources,
        libraries=libraries(),
    )
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as file:
        file.write(text(facts))


def text(facts: Facts) -> str:
    """Write the card: data, protocol, figures of models, list and bundle, limits, licence, sources."""
    parts = [
        "# Model card\n\nA bundle of recommendation models: it recommends titles that a user has not rated, "
        "and predicts ratings. Every figure here was recorded by the run that made it; its version is that "
        "of the folder it was published to.",
        _data(facts.data),
        _protocol(facts),
        *(model(name, evaluation) for name, evaluation in facts.evaluations.items()),
        *([model_card_list.text(facts.figures)] if facts.figures.keys() & model_card_list.KEYS else []),
        _bundle({name: value for name, value in facts.figures.items() if name not in model_card_list.KEYS}),
        _limits(facts),
        _licence(facts.data.config),
        _sources(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _data(data: Data) -> str:
    if data.config is None and not data.counts:
        return "## Data\n\nNot recorded."
    rows = [(name.replace("_", " "), f"{count:,}") for name, count in data.counts.items()]
    lines = ["## Data"]
    if config := data.config:
        origin = "files of one's own" if config.release == CUSTOM else f"{config.spec.url}"
        lines.append(
            f"Release `{config.release}` ({origin}). Ratings are {config.spec.scale}. A row carries at most "
            f"{config.history_length} of its user's ratings from before its own second, in train at most "
            f"{features.TRAIN_HISTORY_LENGTH}."
        )
    return "\n\n".join([*lines, table(("count", "rows"), rows)])


def _protocol(facts: Facts) -> str:
    config = facts.data.config
    if config is None:
        split = "The split is not recorded."
    else:
        drawn = config.split.method in (HASH, TIME)
        share = f" Share of eval: {config.split.eval_share:g}." if drawn else ""
        seed = f" Seed: {config.split.seed}." if config.split.method == HASH else ""
        split = f"Split {_SPLITS[config.split.method]}.{share}{seed}"
    candidates = facts.figures.get("num_candidates")
    among = f"all {candidates:,} titles" if isinstance(candidates, int) else "all titles"
    return (
        f"## Protocol\n\n{split} Figures are of the eval split, which no model was trained on. Retrieval is "
        f"ranked among {among}, ties counted against the model; `unseen` takes the titles out that the query "
        "knows its user to have rated, as in serving. Intervals are 95%, by resampling users. Baselines are "
        "fitted to train and measured on the same rows with the same candidates; the gain is the model's "
        "lead over one."
    )


def _bundle(figures: Mapping[str, Any]) -> str:
    """Write what was measured of the bundle: single figures, then those that are tables of their own."""
    lists = {name: value for name, value in figures.items() if isinstance(value, list)}
    rows = [(f"`{name}`", _written(figures[name])) for name in sorted(figures.keys() - lists.keys())]
    parts = [
        "## Bundle: index and parity",
        "Measured on real queries of the eval split before publishing. Recall is the share of the exact "
        "best that is returned; latencies are medians of single queries on the machine of the run; "
        "differences are the greatest over all queries.",
        *([f"{MISSING}. So `recommend` is `recommend_exact`."] * (figures.get("index_kind") == BRUTE_FORCE)),
        table(("figure", "value"), rows),
    ]
    for name, entries in sorted(lists.items()):
        if entries:
            cells = [[_written(value) for value in entry.values()] for entry in entries]
            parts += [f"`{name}`:", table([key.replace("_", " ") for key in entries[0]], cells)]
    return "\n\n".join(parts)


def _written(value: Any) -> str:
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    )


def _limits(facts: Facts) -> str:
    limits = [*weakest(facts.evaluations), *not_better(facts.evaluations)]
    config, counts = facts.data.config, facts.data.counts
    if config and config.split.method == HASH:
        limits.append(
            "Under a random split a user's other ratings, later ones too, are in train. What the models "
            "reach on days to come is measured by a split by time, not here."
        )
    if bad := sum(counts.get(f"bad_{part}", 0) for part in ("ratings", "movies", "users")):
        limits.append(f"{bad:,} rows of the input could not be used and are not in any figure.")
    limits.append(
        "The models know users and titles only from the data above. A user who is not in train, and whose "
        "request has no history, gender, age or occupation, is served by popularity."
    )
    return "\n".join(["## Limits", "", *(f"- {limit}" for limit in limits)])


def _licence(config: DataConfig | None) -> str:
    if config is None:
        words = "The data's licence is not recorded."
    elif config.release == CUSTOM:
        words = "The data are files of one's own; their licence is not known to the pipeline."
    else:
        passing = (
            "may be passed on under the same conditions only"
            if config.spec.redistributable
            else "may not be passed on without separate permission"
        )
        words = (
            "The models were made from data of GroupLens Research at the University of Minnesota, whose "
            f"README sets the conditions: for research; no endorsement may be implied; the data {passing}; "
            f"commercial use needs permission; publications cite: {_CITATION}"
        )
    return f"## Licence of the data\n\n{words}"


def _sources(facts: Facts) -> str:
    digests = [(name.replace("_", " "), f"`{digest}`") for name, digest in sorted(facts.sources.items())]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(facts.libraries.items()))
    return "\n\n".join(
        ["## Made of", table(("source", "SHA-256 or digest"), digests), f"Libraries: {versions}."]
    )
