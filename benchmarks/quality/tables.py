"""The tables of the quality benchmark, laid out from its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks import table
from benchmarks.figures import ALL, WORDS
from benchmarks.quality.results import Result
from benchmarks.splits import COLD, COLD_GROUPS, LEAVE_ONE_OUT, OFFICIAL, RANDOM, ROLLING, STATIC, TIME
from modules.features import FIRST_VISIT, RETURN_VISIT, SAME_SITTING

_DIGITS = 3
_SECONDS_DIGITS = 1
_RMSE = "rmse"
# That tables by group of rows show.
_GROUPED = ("top_10_unseen", "top_100_unseen", "ndcg_10_unseen", "graded_ndcg_10", _RMSE)
# Of a list of ten.
_LIST = ("liked_10", "disliked_10", "graded_ndcg_10")

# The groups of rows, and how tables name them.
GROUPS = {
    ALL: ALL,
    **{group: group.replace(COLD, "cold-start") for group in COLD_GROUPS},
    FIRST_VISIT: "no rating known",
    SAME_SITTING: "same sitting",
    RETURN_VISIT: "return visit",
}

Results = Sequence[Result]
Cell = Callable[[Results], str]


def of(protocol: str, view: str = STATIC, split: str | None = None) -> Callable[[Result], bool]:
    """Say which results belong in a column: those of a protocol, or of one of its splits."""
    return lambda result: (
        (result.key.protocol, result.key.view) == (protocol, view) and split in (None, result.key.split)
    )


def values(results: Iterable[Result], group: str, figure: str) -> list[float]:
    """Collect a figure of a group of rows, by result; those that have none are left out."""
    found = (getattr(result.groups[group], figure) if group in result.groups else None for result in results)
    return [value for value in found if value is not None]


def median(wanted: Callable[[Result], bool], figure: str, group: str = ALL, spread: bool = False) -> Cell:
    """Return what writes a figure's median, with its least and greatest value where `spread`."""

    def write(results: Results) -> str:
        text = table.spread(values(filter(wanted, results), group, figure), _DIGITS)
        return text if spread else text.split(" ")[0]

    return write


def laid_out(
    results: Results, columns: Sequence[tuple[str, Cell]], timed: Callable[[Result], bool] | None = None
) -> str:
    """Format a table, a row for each method that has a value; an empty text if none has.

    Args:
      columns: words and contents; those without a value are left out.
      timed: which results' seconds of training stand in a last column.
    """
    methods = list(dict.fromkeys(result.key.method for result in results))
    rows = []
    for method in methods:
        own = [result for result in results if result.key.method == method]
        cells = [cell(own) for _, cell in columns]
        if any(cells):
            taken = [result.seconds for result in own if timed and timed(result)]
            seconds = table.spread(taken, _SECONDS_DIGITS).split(" ")[0]
            rows.append([method, *cells, seconds])
    kept = [i for i in range(len(columns) + 1) if any(row[i + 1] for row in rows)]
    words = [words for words, _ in columns] + ["seconds to train"]
    header = ["", *(words[i] for i in kept)]
    return table.markdown(header, [[row[0], *(row[i + 1] for i in kept)] for row in rows]) if rows else ""


def summary(results: Results) -> str:
    """Lay out the tables that README quotes, of recommendations, lists and ratings: medians alone."""
    official, rolling, last = of(OFFICIAL, split="u1"), of(TIME, ROLLING), of(LEAVE_ONE_OUT, ROLLING)
    recommending = [
        *_columns("", of(RANDOM), "top_100", "top_10_unseen", "top_100_unseen"),
        *_columns("u1: ", official, "top_100_unseen"),
        *_columns("time, static: ", of(TIME), "top_100_unseen"),
        *_columns("time, rolling: ", rolling, "top_10_unseen", "top_100_unseen", "ndcg_10_unseen"),
        *_columns("return visits: ", rolling, "top_10_unseen", "top_100_unseen", group=RETURN_VISIT),
        *_columns("cold-start users: ", rolling, "top_100_unseen", group=COLD),
        *_columns("leave-one-out: ", last, "top_10_unseen", "ndcg_10_unseen"),
    ]
    lists = [
        *_columns("", of(RANDOM), *_LIST),
        *_columns("time, rolling: ", rolling, *_LIST),
        *_columns("return visits: ", rolling, "graded_ndcg_10", group=RETURN_VISIT),
        *_columns("cold-start users: ", rolling, "graded_ndcg_10", group=COLD),
    ]
    rating = [
        *_columns("", of(RANDOM), _RMSE),
        *_columns("u1: ", official, _RMSE),
        *_columns("time, static: ", of(TIME), _RMSE),
        *_columns("time, rolling: ", rolling, _RMSE),
        *_columns("return visits: ", rolling, _RMSE, group=RETURN_VISIT),
        *_columns("leave-one-out: ", last, _RMSE),
    ]
    tables = (laid_out(results, columns, of(RANDOM)) for columns in (recommending, lists, rating))
    return "\n\n".join(filter(None, tables))


def _columns(
    prefix: str, wanted: Callable[[Result], bool], *figures: str, group: str = ALL
) -> list[tuple[str, Cell]]:
    return [(prefix + WORDS[figure], median(wanted, figure, group)) for figure in figures]


def details(results: Results) -> list[tuple[str, str]]:
    """Lay out a table for each protocol, medians with their ranges: titles and tables."""
    tables = []
    for title, wanted in (
        ("Random split", of(RANDOM)),
        ("u1 to u5", of(OFFICIAL)),
        ("Time cut, static", of(TIME)),
        ("Time cut, rolling", of(TIME, ROLLING)),
        ("Leave-one-out", of(LEAVE_ONE_OUT, ROLLING)),
    ):
        columns = [(words, median(wanted, figure, spread=True)) for figure, words in WORDS.items()]
        splits = list(dict.fromkeys(result.key.split for result in results if wanted(result)))
        tables.append((f"{title}: {', '.join(splits)}", laid_out(results, columns, wanted)))
        tables += _groups(title, results, wanted)
    return [(title, text) for title, text in tables if text]


def _groups(title: str, results: Results, wanted: Callable[[Result], bool]) -> list[tuple[str, str]]:
    found = [result.groups for result in results if wanted(result)]
    headings = {}
    for group, words in GROUPS.items():
        sizes = sorted({groups[group].rows for groups in found if group in groups})
        if sizes:
            rows = " to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))
            headings[group] = f"{words} ({rows} rows)"
    return [
        (
            f"{title}: {WORDS[figure]}, by group of rows",
            laid_out(results, [(words, median(wanted, figure, group)) for group, words in headings.items()]),
        )
        for figure in _GROUPED
    ]
