"""Figures of served lists, with intervals over users, from ranks and from lists. Pure.

Two protocols. "Before each rating": every rating of eval is a request at its own moment, with the history
that was known then, and the figures are means over ratings. "A day after train": every user of both splits
is a request a day after the last rating of train, whose list is judged by all ratings that the user has in
eval, and the figures are means over users.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.index_pusher.served_list.comparison import Comparison, finite
from components.index_pusher.served_list.rows import Train
from modules.evaluation import list_measures as measures
from modules.evaluation.list_measures import DEPTH, Scale
from modules.evaluation.measures import interval, means

# Keys in the manifest: rows of figures, of slices, and of comparisons, and which version was compared.
SERVED_LIST, SLICES, COMPARISONS = "served_list", "served_list_slices", "served_list_comparisons"
CHAMPION = "served_list_champion"
# And rows of what the first titles of a list show, beside what is popular.
DEPTHS = "served_list_depths"
# The most important of these figures as a sentence, which model card, summary and recommend.py print.
IN_WORDS = "served_list_in_words"
BEFORE_EACH_RATING, A_DAY_AFTER_TRAIN = "before each rating", "a day after train"
# Number of lists, which coverage and the Gini coefficient depend on.
LISTS = "lists"
# What lists are gated by.
GRADED_NDCG = f"graded_ndcg_{DEPTH}"
LIKED_HIT, DISLIKED_HIT = f"liked_hit_{DEPTH}", f"disliked_hit_{DEPTH}"

_FIRST = (1, 2, 3, 5, DEPTH)
_OF_ROWS = (LIKED_HIT, DISLIKED_HIT, f"ndcg_{DEPTH}", GRADED_NDCG, f"mrr_{DEPTH}", "mean_rating_of_hits")


@dataclasses.dataclass(frozen=True)
class Rows:
    """Ratings of eval whose title a list could hold.

    Attributes:
      users, titles: `[rows]` bytes.
      ratings: `[rows]`; scale: what they mean.
      ranks: `[rows]` from 0 by order, of the rated title; infinity where it is not in the list.
      slices: `[rows]` bytes by name.
    """

    users: np.ndarray
    titles: np.ndarray
    ratings: np.ndarray
    scale: Scale
    ranks: Mapping[str, np.ndarray]
    slices: Mapping[str, np.ndarray]

    def where(self, chosen: np.ndarray) -> Rows:
        """Return some of the rows."""
        return dataclasses.replace(
            self,
            users=self.users[chosen],
            titles=self.titles[chosen],
            ratings=self.ratings[chosen],
            ranks={name: ranks[chosen] for name, ranks in self.ranks.items()},
            slices={name: values[chosen] for name, values in self.slices.items()},
        )


def of_rows(rows: Rows, order: str) -> list[dict[str, Any]]:
    """Measure an order before each rating: a row for each figure, with the ends of its interval."""
    values, lower, upper = _over_users(rows.users, _row_sums(rows, order), _finish)
    return [
        _figure(name, BEFORE_EACH_RATING, *ends)
        for name, *ends in zip(_OF_ROWS, values, lower, upper, strict=True)
    ]


def of_slices(rows: Rows, order: str) -> list[dict[str, Any]]:
    """Measure an order on every value of every slice: a row for each, with the interval of GRADED_NDCG."""
    found = []
    for name, part in _parts(rows):
        figures = {row["figure"]: row for row in of_rows(part, order)}
        graded = figures[GRADED_NDCG]
        found.append(
            {
                "slice": name,
                "rows": len(part.users),
                LIKED_HIT: figures[LIKED_HIT]["value"],
                DISLIKED_HIT: figures[DISLIKED_HIT]["value"],
                GRADED_NDCG: graded["value"],
                "lower": graded["lower"],
                "upper": graded["upper"],
            }
        )
    return found


def _parts(rows: Rows) -> Iterator[tuple[str, Rows]]:
    for name, values in rows.slices.items():
        for value in np.unique(values.astype(object)):
            yield f"{name}={value.decode('utf-8', 'replace')}", rows.where(values == value)


def compare_slices(rows: Rows, order: str, reference: str, gated: bool = True) -> list[Comparison]:
    """Compare two orders on every value of every slice."""
    return [
        dataclasses.replace(compare(part, order, reference, gated), slice=name) for name, part in _parts(rows)
    ]


def compare(rows: Rows, order: str, reference: str, gated: bool = True) -> Comparison:
    """Compare two orders on the same rows and resamples of users."""
    both = np.concatenate([_row_sums(rows, name) for name in (order, reference)], axis=1)

    def finish(totals: np.ndarray) -> np.ndarray:
        one, other = (_finish(part) for part in np.split(totals, 2, axis=-1))
        column = _OF_ROWS.index(GRADED_NDCG)
        return np.stack([other[..., column], one[..., column] - other[..., column]], axis=-1)

    values, lower, upper = _over_users(rows.users, both, finish)
    return Comparison(reference, float(values[0]), float(values[1]), float(lower[1]), float(upper[1]), gated)


def _row_sums(rows: Rows, order: str) -> np.ndarray:
    ranks, ratings = rows.ranks[order], rows.ratings.astype(np.float64)
    liked, disliked = rows.scale.liked(ratings), rows.scale.disliked(ratings)
    gains, hit, discount = rows.scale.gains(ratings), ranks < DEPTH, measures.discounts(ranks)
    columns = (
        *(np.ones(len(ranks)), liked, disliked, gains, hit),
        *(liked * hit, disliked * hit, liked * discount, gains * discount),
        *(liked * measures.reciprocals(ranks), hit * ratings),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def _finish(totals: np.ndarray) -> np.ndarray:
    """Turn totals of `_row_sums`, `[..., sums]`, into the figures of _OF_ROWS."""
    _, liked, disliked, gains, hits, *sums = np.moveaxis(totals, -1, 0)
    counts = (liked, disliked, liked, gains, liked, hits)
    with np.errstate(invalid="ignore", divide="ignore"):  # No row may be liked, or hit.
        return np.stack([value / count for value, count in zip(sums, counts, strict=True)], axis=-1)


def of_lists(lists: np.ndarray, rated: Sequence[Mapping[int, float]], scale: Scale) -> list[dict[str, Any]]:
    """Measure a list per user by what the user rated in eval.

    Args:
      lists: `[users, DEPTH]` int, positions of candidates, best first, padded with -1.
      rated: of each user, ratings by position, of titles that the list could hold.
      scale: what they mean.
    """
    names = (f"liked_in_{DEPTH}", f"disliked_in_{DEPTH}", f"ndcg_{DEPTH}", GRADED_NDCG, f"mrr_{DEPTH}")
    values = np.array([_of_list(*pair, scale) for pair in zip(lists, rated, strict=True)])
    return [_mean(name, A_DAY_AFTER_TRAIN, column) for name, column in zip(names, values.T, strict=True)]


def _of_list(shown: np.ndarray, rated: Mapping[int, float], scale: Scale) -> tuple[float, ...]:
    ratings = np.array([rated.get(int(position), math.nan) for position in shown])
    known = ~np.isnan(ratings)
    filled = np.where(known, ratings, 0.0)
    liked, disliked = known & scale.liked(filled), known & scale.disliked(filled)
    everything = np.array(list(rated.values()), np.float64)
    all_liked = scale.liked(everything).astype(np.float64)
    first = np.argmax(liked) if liked.any() else math.inf
    return (
        *(float(liked.sum()), float(disliked.sum())),
        measures.ndcg(liked.astype(np.float64), all_liked),
        measures.ndcg(np.where(known, scale.gains(filled), 0.0), scale.gains(everything)),
        float(measures.reciprocals(np.array(first, np.float64))) if all_liked.any() else math.nan,
    )


def beyond_accuracy(
    lists: np.ndarray, users: Sequence[bytes], train: Train, popularity: np.ndarray
) -> list[dict[str, Any]]:
    """Measure what a list per user shows, whatever the user thinks of it.

    Args:
      lists: `[users, DEPTH]` int, positions of candidates, padded with -1.
      users: whose they are.
      train: what these rated in train, and the genres of the candidates.
      popularity: `[candidates]`, ratings in train.
    """
    counts = _shown(lists, popularity)
    has_genres = train.genres.any(axis=1)
    by_user = []
    for user, row in zip(users, lists, strict=True):
        shown, own = row[row >= 0], train.rated[user]
        described, of_own = shown[has_genres[shown]], own[has_genres[own]]
        by_user.append(
            (
                *(popularity[titles].mean() if len(titles) else math.nan for titles in (shown, own)),
                measures.diversity(train.genres[described]),
                measures.miscalibration(
                    measures.genre_shares(train.genres[of_own]),
                    measures.genre_shares(train.genres[described]),
                ),
            )
        )
    names = ("popularity_shown", "popularity_rated", "genre_diversity", "genre_miscalibration")
    return [
        _figure(LISTS, A_DAY_AFTER_TRAIN, len(lists)),
        _figure("coverage", A_DAY_AFTER_TRAIN, float(np.mean(counts > 0))),
        _figure("gini", A_DAY_AFTER_TRAIN, measures.gini(counts)),
        _figure("gini_rated", A_DAY_AFTER_TRAIN, measures.gini(popularity)),
        *(
            _mean(name, A_DAY_AFTER_TRAIN, column)
            for name, column in zip(names, np.array(by_user).T, strict=True)
        ),
    ]


def by_depth(lists: np.ndarray, popularity: np.ndarray) -> list[dict[str, Any]]:
    """Measure what the first titles of the lists show: a row for each number of titles.

    Args:
      lists: `[users, DEPTH]` int, positions of candidates, best first, padded with -1.
      popularity: `[candidates]`, ratings in train.
    """
    found = []
    for depth in _FIRST:
        counts = _shown(lists[:, :depth], popularity)
        figures = {
            "coverage": float(np.mean(counts > 0)),
            "gini": measures.gini(counts),
            "popularity_shown": float(counts @ popularity / counts.sum()) if counts.sum() else math.nan,
        }
        found.append({"depth": depth, **{name: finite(value) for name, value in figures.items()}})
    return found


def _shown(lists: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Count how often each candidate is shown."""
    return np.bincount(lists[lists >= 0], minlength=len(popularity))


def served_by_model(users: np.ndarray, by_model: np.ndarray) -> dict[str, Any]:
    """Return the share of requests that the model served, mean over users; popularity served the others."""
    found, index = np.unique(users, return_inverse=True)
    sums = np.bincount(index, weights=by_model.astype(np.float64), minlength=len(found))
    return _mean("served_by_model", BEFORE_EACH_RATING, sums / np.bincount(index, minlength=len(found)))


def _mean(name: str, protocol: str, values: np.ndarray) -> dict[str, Any]:
    """Average over the users that have a value."""
    present = values[~np.isnan(values)]
    sums = np.stack([np.ones(len(present)), present], axis=1)
    if not len(present):
        return _figure(name, protocol, math.nan)
    mean, lower, upper = _over_users(np.arange(len(present)), sums, means)
    return _figure(name, protocol, mean[0], lower[0], upper[0])


def _over_users(
    users: np.ndarray, sums: np.ndarray, finish: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finish the sums over all rows; return the figures and the ends of their intervals."""
    found, index = np.unique(users, return_inverse=True)
    by_user = np.zeros((len(found), sums.shape[1]))
    np.add.at(by_user, index, sums)
    return finish(by_user.sum(axis=0)), *interval(by_user, finish, len(found))


def _figure(
    name: str, protocol: str, value: float, lower: float = math.nan, upper: float = math.nan
) -> dict[str, Any]:
    ends = {"value": value, "lower": lower, "upper": upper}
    return {"figure": name, "protocol": protocol, **{key: finite(end) for key, end in ends.items()}}
