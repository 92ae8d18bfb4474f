"""The tables of the quality benchmark, laid out from its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks import table
from benchmarks.quality.results import Result
from benchmarks.splits import ALL, COLD, GROUPS, OFFICIAL, RANDOM, ROLLING, STATIC, TIME

_DIGITS = 3
_SECONDS_DIGITS = 1
TOP_100, TOP_100_UNSEEN, RMSE = "top_100", "top_100_unseen", "rmse"
_EXCLUDED = "top-100, excluded"

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


def _seconds(wanted: Callable[[Result], bool]) -> Cell:
    def write(results: Results) -> str:
        taken = [result.seconds for result in results if wanted(result)]
        return table.spread(taken, _SECONDS_DIGITS).split(" ")[0]

    return write


def laid_out(results: Results, columns: Sequence[tuple[str, Cell]]) -> str:
    """Format a table, a method in each row; an empty text if no column has a value."""
    methods = list(dict.fromkeys(result.key.method for result in results))
    rows = []
    for method in methods:
        own = [result for result in results if result.key.method == method]
        cells = [cell(own) for _, cell in columns]
        if any(cells):
            rows.append([method, *cells])
    kept = [i for i in range(len(columns)) if any(row[i + 1] for row in rows)]
    if not kept:
        return ""
    header = ["", *(columns[i][0] for i in kept)]
    return table.markdown(header, [[row[0], *(row[i + 1] for i in kept)] for row in rows])


def summary(results: Results) -> str:
    """Lay out the table that README quotes: medians alone."""
    random, rolling = of(RANDOM), of(TIME, ROLLING)
    columns = [
        ("top-100", median(random, TOP_100)),
        (_EXCLUDED, median(random, TOP_100_UNSEEN)),
        ("RMSE", median(random, RMSE)),
        (f"u1: {_EXCLUDED}", median(of(OFFICIAL, split="u1"), TOP_100_UNSEEN)),
        ("u1: RMSE", median(of(OFFICIAL, split="u1"), RMSE)),
        (f"time, static: {_EXCLUDED}", median(of(TIME), TOP_100_UNSEEN)),
        ("RMSE, static", median(of(TIME), RMSE)),
        (f"time, rolling: {_EXCLUDED}", median(rolling, TOP_100_UNSEEN)),
        ("cold-start users", median(rolling, TOP_100_UNSEEN, COLD)),
        ("RMSE, rolling", median(rolling, RMSE)),
        ("seconds to train", _seconds(random)),
    ]
    return laid_out(results, columns)


def details(results: Results) -> list[tuple[str, str]]:
    """Lay out a table for each protocol, medians with their ranges: titles and tables."""
    tables = []
    for title, wanted in (
        ("Random split", of(RANDOM)),
        ("u1 to u5", of(OFFICIAL)),
        ("Time cut, static", of(TIME)),
        ("Time cut, rolling", of(TIME, ROLLING)),
    ):
        columns = [
            ("top-100", median(wanted, TOP_100, spread=True)),
            (_EXCLUDED, median(wanted, TOP_100_UNSEEN, spread=True)),
            ("RMSE", median(wanted, RMSE, spread=True)),
            ("seconds to train", _seconds(wanted)),
        ]
        splits = list(dict.fromkeys(result.key.split for result in results if wanted(result)))
        tables.append((f"{title}: {', '.join(splits)}", laid_out(results, columns)))
        if any(COLD in result.groups for result in results if wanted(result)):
            tables += _groups(title, results, wanted)
    return [(title, text) for title, text in tables if text]


def _words(group: str) -> str:
    # Files of raw figures have the short name.
    return group.replace(COLD, "cold-start")


def _groups(title: str, results: Results, wanted: Callable[[Result], bool]) -> list[tuple[str, str]]:
    rows = {name: group.rows for result in filter(wanted, results) for name, group in result.groups.items()}
    return [
        (
            f"{title}: {words}, by group of rows",
            laid_out(
                results,
                [
                    (f"{_words(group)} ({rows[group]} rows)", median(wanted, figure, group))
                    for group in GROUPS
                    if group in rows
                ],
            ),
        )
        for figure, words in ((TOP_100_UNSEEN, _EXCLUDED), (RMSE, "RMSE"))
    ]
