"""Tables in Markdown, aligned so that a terminal shows them too."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table, its first column to the left and the others to the right.

    Raises:
      ValueError: a row has not as many cells as the header.
    """
    wrong = [row for row in rows if len(row) != len(header)]
    if wrong:
        raise ValueError(f"a row must have {len(header)} cells; received {wrong[0]!r}")
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = []
    for row in (header, rule, *rows):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float], digits: int) -> str:
    """Write a median with the least and the greatest value; one value alone; nothing for none."""
    if not values:
        return ""
    least, median, most = (f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return median if len(values) == 1 else f"{median} ({least} to {most})"
