"""What `index.diversity` costs and gains: figures of a pushed bundle's lists, for several weights.

Run it with `python -m benchmarks.quality.diversity`; `--help` lists the flags. The bundle's composite is
asked for the pool that a diverse list is chosen from, before each rating that the push evaluated it on and a
day after train. The composite's own function then chooses, at each weight.
"""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks import bundles, table
from common import parquet
from components.index_pusher.bundle import RECOMMEND_EXACT
from components.index_pusher.composite.diversity import POOL, Diversity, maximal_marginal_relevance
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.config import ServedListConfig
from components.index_pusher.description import provenance
from components.index_pusher.description.model_card import Data
from components.index_pusher.index import vectors
from components.index_pusher.served_list import asking, figures, rows
from components.index_pusher.served_list.asking import Composite
from components.index_pusher.served_list.figures import A_DAY_AFTER_TRAIN, BEFORE_EACH_RATING
from components.index_pusher.served_list.rows import Train
from modules import features
from modules.evaluation.list_measures import DEPTH, Scale
from serving import manifest

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
COLUMNS = (
    (BEFORE_EACH_RATING, "liked_hit_10"),
    (BEFORE_EACH_RATING, "graded_ndcg_10"),
    (A_DAY_AFTER_TRAIN, "liked_in_10"),
    (A_DAY_AFTER_TRAIN, "graded_ndcg_10"),
    (A_DAY_AFTER_TRAIN, "genre_diversity"),
    (A_DAY_AFTER_TRAIN, "genre_miscalibration"),
    (A_DAY_AFTER_TRAIN, "coverage"),
)
_ORDER = "diverse"


class Pool(NamedTuple):
    """The best of some requests.

    Attributes:
      positions: `[q, POOL]`, -1 for none; scores: theirs, descending.
      by_model: `[q]`, whether the model served a request, and not popularity.
    """

    positions: np.ndarray
    scores: np.ndarray
    by_model: np.ndarray

    def best(self, diversity: Diversity) -> np.ndarray:
        """Choose `[q, DEPTH]` positions, -1 for none."""
        chosen = [
            maximal_marginal_relevance(
                tf.constant(self.scores[part]),
                tf.constant(self.positions[part] >= 0),
                tf.constant(diversity.genres[self.positions[part]], tf.float32),
                tf.constant(np.where(self.by_model[part], diversity.weight, 0.0), tf.float32),
                tf.constant(DEPTH),
            ).numpy()
            for part in _parts(len(self.positions))
        ]
        return np.take_along_axis(self.positions, np.concatenate(chosen), axis=1)


class Requests(NamedTuple):
    """Requests to a composite, and its answers.

    Attributes:
      users, titles, ratings: `[rows]`, of eval; pool: before each of them.
      names, daily: users of both splits; a day after each one's last rating of train.
      candidates, train: the catalogue, and what train tells of it and of these users.
    """

    users: np.ndarray
    titles: np.ndarray
    ratings: np.ndarray
    pool: Pool
    names: list[bytes]
    daily: Pool
    candidates: Candidates
    train: Train


def _parts(size: int) -> list[slice]:
    return [slice(start, start + rows.BATCH) for start in range(0, size, rows.BATCH)]


def read_catalogue(bundle: pathlib.Path) -> Candidates:
    """Read the candidates from the bundle's vectors."""
    columns = parquet.read_table(str(bundle / vectors.VECTORS / vectors.FILE))
    titles, ids = (
        np.array([text.encode() for text in columns[name].to_pylist()], object)
        for name in (features.MOVIE_TITLE, features.MOVIE_ID)
    )
    popularity = columns[vectors.POPULARITY].to_numpy()
    return Candidates(titles, ids, popularity, np.zeros((len(titles), 0), np.float32))


def ask(bundle: pathlib.Path, examples: pathlib.Path) -> Requests:
    """Ask a bundle's composite by both protocols of docs/serving.md."""
    candidates = read_catalogue(bundle)
    composite = Composite(str(bundle / RECOMMEND_EXACT), needs_scann=False)
    records = rows.whole_users(_split(examples, features.EVAL_SPLIT), ServedListConfig().max_ratings)
    ratings = rows.parse(records)
    titles_by_id = dict(zip(candidates.ids, candidates.titles, strict=True))
    excluded = asking.excluded_titles(ratings.excluded, titles_by_id)
    titles, users = (ratings.queries[name] for name in (features.MOVIE_TITLE, features.USER_ID))
    counted = ~(excluded == titles[:, np.newaxis]).any(axis=1)
    pool = _pool(composite, ratings.queries, excluded, candidates)
    train = rows.read_train(_split(examples, features.TRAIN_SPLIT), np.unique(users).tolist(), candidates)
    names, first = np.unique(users, return_index=True)
    known = np.array([name in train.latest for name in names])
    names, first = names[known], first[known]
    single = {
        row.name: ratings.queries[row.name][first] for row in features.QUERY_FEATURES if not row.repeated
    }
    queries = asking.a_day_later(single, np.array([train.latest[name] for name in names]))
    daily = _pool(composite, queries, np.zeros((len(names), 0), object), candidates)
    of_counted = Pool(*(column[counted] for column in pool))
    judged = users[counted], titles[counted], ratings.ratings[counted]
    return Requests(*judged, of_counted, names.tolist(), daily, candidates, train)


def _split(examples: pathlib.Path, name: str) -> str:
    return str(examples / f"Split-{name}")


def _pool(
    composite: Composite, queries: Mapping[str, np.ndarray], excluded: np.ndarray, candidates: Candidates
) -> Pool:
    positions = {title: position for position, title in enumerate(candidates.titles)}
    found: list[list[int]] = []
    scores, by_model = [], []
    for part in _parts(len(excluded)):
        lists = composite.ask({name: column[part] for name, column in queries.items()}, excluded[part], POOL)
        found += [[positions.get(title, -1) for title in row] for row in lists.titles]
        scores.append(lists.scores)
        by_model.append(lists.by_model)
    # A list that was diverse already holds the same pool, in another order.
    of_all = np.concatenate(scores)
    order = np.argsort(-of_all, axis=1, kind="stable")
    return Pool(
        positions=np.take_along_axis(np.array(found), order, axis=1),
        scores=np.take_along_axis(of_all, order, axis=1),
        by_model=np.concatenate(by_model),
    )


def measure(requests: Requests, weight: float) -> dict[tuple[str, str], float]:
    """Measure the lists at a weight: figures by protocol and name."""
    diversity, scale = Diversity.of(weight, requests.train.genres), Scale(float(requests.ratings.max()))
    own = {title: position for position, title in enumerate(requests.candidates.titles)}
    positions = np.array([own.get(title, -2) for title in requests.titles])
    hits = requests.pool.best(diversity) == positions[:, np.newaxis]
    ranks = np.where(hits.any(axis=1), hits.argmax(axis=1), np.inf)
    judged = figures.Rows(requests.users, requests.titles, requests.ratings, scale, {_ORDER: ranks}, {})
    rated: dict[bytes, dict[int, float]] = {name: {} for name in requests.names}
    for user, position, rating in zip(requests.users, positions, requests.ratings, strict=True):
        if user in rated and position >= 0:
            rated[user][int(position)] = float(rating)
    lists = requests.daily.best(diversity)
    measured = [
        *figures.of_rows(judged, _ORDER),
        *figures.of_lists(lists, list(rated.values()), scale),
        *figures.beyond_accuracy(lists, requests.names, requests.train, requests.candidates.popularity),
    ]
    return {(row["protocol"], row["figure"]): row["value"] for row in measured}


def _newest(folder: pathlib.Path) -> pathlib.Path | None:
    found = [path for path in folder.glob("*") if path.name.isdecimal()]
    return max(found, key=lambda path: int(path.name), default=None)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Measure what diversity costs and gains.")
    bundles.add_flag(parser)
    parser.add_argument(
        "--examples",
        type=pathlib.Path,
        help="folder of the splits that the bundle was trained and evaluated on (default: the newest in "
        "runs/MovieLensExampleGen/examples)",
    )
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS, help="values of index.diversity")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    bundle = bundles.find(parser, options.bundle)
    examples = options.examples or _newest(pathlib.Path("runs/MovieLensExampleGen/examples"))
    if not examples or not (examples / "Split-train").is_dir():
        parser.error(f"{examples} holds no splits; name those that the bundle was made of by --examples")
    stated: dict[str, Any] = manifest.read(str(bundle))["data"]["splits"]
    folders = {name: _split(examples, name) for name in stated}
    if provenance.data(Data(), folders)["splits"] != stated:
        parser.error(f"{bundle} was made of other ratings than those in {examples}; name its --examples")
    if wrong := [weight for weight in options.weights if not 0 <= weight < 1]:
        parser.error(f"a weight must be at least 0 and below 1; received {wrong[0]:g}")
    requests = ask(bundle, examples)
    cells = []
    for weight in options.weights:
        measured = measure(requests, weight)
        cells.append([f"{weight:g}", *(f"{measured[column]:.3f}" for column in COLUMNS)])
    print(table.markdown(["diversity", *(name for _, name in COLUMNS)], cells))


if __name__ == "__main__":
    main()
