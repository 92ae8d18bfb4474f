"""Bad rows as text, and their counts; workers write them, and the executor reads them after the run.

One JSON object a line: file, line, reason, and the row with bytes that are no UTF-8 escaped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from components.movielens_example_gen.parsing.parse import Fault

COUNTS_FILE = "counts.json"
ROWS_SUFFIX = ".jsonl"
_LONGEST_ROW = 10_000
_QUOTED_ROW = 80

# Parts of the input that have rows of their own.
RATINGS, MOVIES, USERS = "ratings", "movies", "users"


class BadRow(NamedTuple):
    """A row that cannot be used.

    Attributes:
      file: name below the input folder; line: number from 1; row: the unchanged row.
    """

    file: str
    line: int
    fault: Fault
    row: bytes | str


def to_json(bad: BadRow) -> str:
    r"""Write one bad row as one line.

    >>> to_json(BadRow("u.data", 3, Fault("bytes", "byte 2 is not ascii"), b"1\xff\t2"))
    '{"file": "u.data", "line": 3, "reason": "byte 2 is not ascii", "row": "1\\\\xff\\t2"}'
    """
    row = bad.row if isinstance(bad.row, str) else bad.row.decode("utf-8", "backslashreplace")
    if len(row) > _LONGEST_ROW:
        row = f"{row[:_LONGEST_ROW]}... ({len(row):,} characters)"
    return json.dumps({"file": bad.file, "line": bad.line, "reason": bad.fault.reason, "row": row})


def quote(line: str) -> str:
    """Describe a bad row, as `to_json` wrote it, in one line.

    >>> quote(to_json(BadRow("u.data", 3, Fault("columns", "expected 4 columns, found 1"), b"x")))
    "u.data, line 3: expected 4 columns, found 1: 'x'"
    """
    bad = json.loads(line)
    row = bad["row"] if len(bad["row"]) <= _QUOTED_ROW else bad["row"][:_QUOTED_ROW] + "..."
    return f"{bad['file']}, line {bad['line']}: {bad['reason']}: {row!r}"


def tally(part: str, read: int, bad: Iterable[BadRow]) -> Counter[str]:
    """Count the rows of one part of the input.

    >>> sorted(tally("users", 2, [BadRow("u.user", 1, Fault("age", "..."), b"")]).items())
    [('bad_users', 1), ('bad_users_age', 1), ('users_read', 2)]
    """
    counts = Counter({f"{part}_read": read})
    for row in bad:
        counts[f"bad_{part}"] += 1
        counts[f"bad_{part}_{row.fault.kind}"] += 1
    return counts


def too_many(counts: Mapping[str, int], max_bad_share: float) -> list[str]:
    """Name the parts of the input whose share of bad rows is too great.

    >>> too_many({"ratings_read": 1000, "bad_ratings": 2}, 0.001)
    ['2 of 1,000 ratings (0.2 %)']
    """
    return [
        f"{bad:,} of {read:,} {part} ({100 * bad / read:.3g} %)"
        for part in (RATINGS, MOVIES, USERS)
        if (bad := counts.get(f"bad_{part}", 0)) > max_bad_share * (read := counts.get(f"{part}_read", 0))
    ]
