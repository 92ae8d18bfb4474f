"""Evaluate the list that a bundle's composite serves, and gate it. A step of a push, beside the proof.

Runs in the executor's process. The composite is the one that is published, loaded from its files and asked in
batches.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.progress import progress
from components.index_pusher.bundle import Bundle
from components.index_pusher.description.model_card import Data
from components.index_pusher.gates import Figures, Refusal, gate_list, gate_ranks
from components.index_pusher.served_list import asking, figures, rows
from components.index_pusher.served_list.asking import Composite
from components.index_pusher.served_list.champion import served_now
from components.index_pusher.served_list.comparison import (
    IN_SERVICE,
    ITEM_ITEM,
    POPULARITY,
    RETRIEVAL_ALONE,
    Comparison,
)
from components.index_pusher.served_list.figures import (
    CHAMPION,
    COMPARISONS,
    DEPTHS,
    DISLIKED_HIT,
    IN_WORDS,
    LIKED_HIT,
    SERVED_LIST,
    SLICES,
    Rows,
)
from modules import features
from modules.evaluation.list_measures import Scale
from serving import manifest

# The composite's own order. And among the columns of the requests: whether the model served one.
SERVED = "served"
BY_MODEL = "by_model"


def evaluate(bundle: Bundle, destination: str) -> Figures:
    """Measure the served list, compare it with other lists, and decide.

    Args:
      bundle: complete but for its description, proved or not.
      destination: where it would be published, whose served version is the champion.
    Returns:
      SERVED_LIST, SLICES, DEPTHS and COMPARISONS, lists of rows; CHAMPION, which version was compared, or
        why none.
    Raises:
      Refusal: the list is surely worse than one that it is held against, or cannot be held against it.
    """
    sources = bundle.sources
    records = rows.whole_users(sources.queries_dir, sources.config.served_list.max_ratings)
    name = str(bundle.figures["index_build"])
    needs_scann = manifest.describe_models(bundle.folder)[name]["scann"]
    composite = Composite(os.path.join(bundle.folder, name), needs_scann)
    with served_now(destination, sources.pipeline) as (champion, which):
        requests = _ask(bundle, records, composite, champion)
    counted = _counted(requests, _scale(sources.data, requests[features.RATING]))
    gate_ranks(counted.ranks)
    compared = _comparisons(counted, bundle)
    later, by_depth = _a_day_after_train(composite, requests, counted, bundle)
    measured: Figures = {
        SERVED_LIST: [
            *figures.of_rows(counted, SERVED),
            figures.served_by_model(requests[features.USER_ID], requests[BY_MODEL]),
            *later,
        ],
        SLICES: figures.of_slices(counted, SERVED),
        DEPTHS: by_depth,
        COMPARISONS: [found.row() for found in compared],
        CHAMPION: which,
    }
    measured[IN_WORDS] = in_words(measured[SERVED_LIST], counted.scale)
    try:
        gate_list(compared)
    except Refusal as refusal:
        raise Refusal(str(refusal), measured) from refusal
    progress.info("%s", measured[IN_WORDS])
    return measured


def _ask(
    bundle: Bundle, records: list[bytes], composite: Composite, champion: Composite | None
) -> dict[str, np.ndarray]:
    """Ask for a list before each rating.

    Returns:
      `[rows]` by name: the query's features but for the history, the title, the rating and the slices;
      BY_MODEL; asking.COUNTED; and the title's rank in each order.
    """
    candidates = bundle.models.candidates
    titles_by_id = dict(zip(candidates.ids.tolist(), candidates.titles.tolist(), strict=True))
    columns: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(records), rows.BATCH):
        ratings = rows.parse(records[start : start + rows.BATCH])
        titles = ratings.queries[features.MOVIE_TITLE]
        excluded = asking.excluded_titles(ratings.excluded, titles_by_id)
        lists = composite.ask(ratings.queries, excluded)
        served = lists.ranks(titles)
        found = {
            **{name: column for name, column in ratings.queries.items() if column.ndim == 1},
            **ratings.slices,
            features.RATING: ratings.ratings,
            BY_MODEL: lists.by_model,
            SERVED: served,
            **asking.reference_ranks(bundle.models.retrieval, ratings, served, lists.by_model),
        }
        if champion:
            found[IN_SERVICE] = champion.ask(ratings.queries, excluded).ranks(titles)
        for name, column in found.items():
            columns.setdefault(name, []).append(column)
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _scale(data: Data, ratings: np.ndarray) -> Scale:
    """Return the release's scale; ratings of another source tell their highest themselves."""
    return Scale(float(data.config.spec.scale.highest) if data.config else float(ratings.max()))


def _counted(requests: Mapping[str, np.ndarray], scale: Scale) -> Rows:
    """Keep the ratings whose title a list could hold."""
    orders = (SERVED, RETRIEVAL_ALONE, POPULARITY, ITEM_ITEM, IN_SERVICE)
    every = Rows(
        users=requests[features.USER_ID],
        titles=requests[features.MOVIE_TITLE],
        ratings=requests[features.RATING],
        scale=scale,
        ranks={name: requests[name] for name in orders if name in requests},
        slices={name: requests[name] for name in rows.SLICES},
    )
    return every.where(requests[asking.COUNTED])


def _comparisons(counted: Rows, bundle: Bundle) -> list[Comparison]:
    """Compare the served list with every other order; with retrieval alone where that is another.

    On slices it is compared with the baselines, as the models are.
    """
    sources = bundle.sources
    gated = {
        RETRIEVAL_ALONE: True,
        POPULARITY: sources.must_beat_baselines,
        ITEM_ITEM: sources.must_beat_baselines,
        IN_SERVICE: True,
    }
    same = (RETRIEVAL_ALONE,) if bundle.models.order.is_retrieval_alone else ()
    others = [name for name in counted.ranks if name != SERVED and name not in same]
    overall = [figures.compare(counted, SERVED, name, gated[name]) for name in others]
    of_users = dataclasses.replace(
        counted, slices={name: counted.slices[name] for name in rows.COMPARED_SLICES}
    )
    on_slices = (
        figures.compare_slices(of_users, SERVED, name, gated[name])
        for name in (POPULARITY, ITEM_ITEM)
        if name in others
    )
    return [*overall, *itertools.chain.from_iterable(on_slices)]


def _a_day_after_train(
    composite: Composite, requests: Mapping[str, np.ndarray], counted: Rows, bundle: Bundle
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Ask for a list per user of both splits, and measure it by all that the user rated in eval.

    Returns:
      Rows of SERVED_LIST, and of DEPTHS.
    """
    candidates, sources = bundle.models.candidates, bundle.sources
    names, first = np.unique(requests[features.USER_ID], return_index=True)
    folder = sources.split_dirs.get(features.TRAIN_SPLIT, "")
    train = rows.read_train(folder, names.tolist(), candidates)
    known = np.array([name in train.latest for name in names], bool)
    if not known.any():
        return [], []
    names, first = names[known], first[known]
    positions = {title: position for position, title in enumerate(candidates.titles)}
    latest = np.array([train.latest[name] for name in names])
    of_users = {row.name: requests[row.name][first] for row in features.QUERY_FEATURES if not row.repeated}
    queries = asking.a_day_later(of_users, latest)
    lists = []
    for start in range(0, len(names), rows.BATCH):
        part = {name: column[start : start + rows.BATCH] for name, column in queries.items()}
        titles = composite.ask(part, np.zeros([len(part[features.USER_ID]), 0], object)).titles
        lists += [[positions.get(title, -1) for title in row] for row in titles]
    rated: dict[bytes, dict[int, float]] = {name: {} for name in names}
    for user, title, rating in zip(counted.users, counted.titles, counted.ratings, strict=True):
        if user in rated and title in positions:
            rated[user][positions[title]] = float(rating)
    shown = np.array(lists, np.int64)
    measured = [
        *figures.of_lists(shown, list(rated.values()), counted.scale),
        *figures.beyond_accuracy(shown, names.tolist(), train, candidates.popularity),
    ]
    return measured, figures.by_depth(shown, candidates.popularity)


def in_words(measured: Sequence[Mapping[str, Any]], scale: Scale) -> str:
    """Say how often people were shown what they then liked, and what they did not.

    >>> figures = [{"figure": "liked_hit_10", "value": 0.324}, {"figure": "disliked_hit_10", "value": None}]
    >>> in_words(figures, Scale(5.0))
    'Of the titles that people rated 4 or higher, 32% were among the ten that they would have been shown.'
    """
    values = {row["figure"]: row["value"] for row in measured}
    parts = [
        (
            "Of the titles that people rated {:g} or higher, {:.0%} were among the ten that they would have "
            "been shown",
            scale.least_liked,
            values[LIKED_HIT],
        ),
        ("of those that they rated {:g} or lower, {:.0%}", scale.most_disliked, values[DISLIKED_HIT]),
    ]
    said = [words.format(bound, share) for words, bound, share in parts if share is not None]
    return "; ".join(said) + "." if said else "No title that people liked or disliked was asked about."
