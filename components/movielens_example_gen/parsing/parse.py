"""One line of input to its fields, or to the fault for which it cannot be used: pure, called in workers.

A row is one physical line: a quoted field may hold separators and doubled quotes, but no line break.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from components.movielens_example_gen.parsing.lines import BYTE_ORDER_MARK
from components.movielens_example_gen.sources import releases

# Kinds of fault, the last part of a count's name (`bad_ratings_columns`).
BAD_BYTES, BAD_COLUMNS, EMPTY_ID, BAD_RATING = "bytes", "columns", "empty_id", "rating"
BAD_TIMESTAMP, UNKNOWN_MOVIE = "timestamp", "unknown_movie"
BAD_TITLE, REPEATED_ID = "title", "repeated_id"
BAD_GENDER, BAD_AGE, BAD_OCCUPATION = "gender", "age", "occupation"

# Seconds since 1970, as in pipeline/schema: 0 means a missing time, and the models for devices use 32 bits,
# which end in January 2038.
TIMESTAMP_END = 2**31
_TIMESTAMP_DIGITS = len(str(TIMESTAMP_END))
# Other units of time, by their number in a second; each is also a kind of fault.
UNITS = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_EARLIEST_IN_UNITS = 10**8  # From this second on (March 1973) a time in another unit is recognised as such.


class Fault(NamedTuple):
    """Why a row cannot be used: a kind to count by, and words for a person."""

    kind: str
    reason: str


class Rating(NamedTuple):
    """One row of the ratings file; ids as written."""

    user: str
    movie: str
    rating: float
    timestamp: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """Positions of the required columns in a line.

    Attributes:
      separator, encoding: as in `releases.Table`.
      width: number of columns that every line must have.
      positions: 0-based positions of the required columns, in the order of the release's table.
    """

    separator: str
    encoding: str
    width: int
    positions: tuple[int, ...]


def fixed_layout(table: releases.Table) -> Layout:
    """Return the layout of a file without a header."""
    return Layout(table.separator, table.encoding, len(table.columns), tuple(range(len(table.columns))))


def header_layout(table: releases.Table, header: bytes) -> Layout:
    """Return the layout of a file with a header line.

    Raises:
      ValueError: a required column is missing or named twice.

    >>> header_layout(releases.RELEASES["ml-20m"].ratings, b"rating,userId,movieId,timestamp").positions
    (1, 2, 0, 3)
    """
    header = header.removeprefix(BYTE_ORDER_MARK)
    _require_our_form(table, header)
    names = split_line(header, table.separator, table.encoding)
    if isinstance(names, Fault):
        raise ValueError(f"line 1 must name the columns {','.join(table.columns)}; {names.reason}")
    names = [name.strip() for name in names]
    wrong = [column for column in table.columns if names.count(column) != 1]
    if wrong:
        raise ValueError(
            f"line 1 must name each of the columns {','.join(table.columns)} once; "
            f"received {','.join(names)[:200]!r}, where {', '.join(wrong)} is missing or repeated. "
            "Correct the header, or name the right release"
        )
    positions = tuple(names.index(column) for column in table.columns)
    return Layout(table.separator, table.encoding, len(names), positions)


def _require_our_form(table: releases.Table, header: bytes) -> None:
    # Rejects other formats that spreadsheets also call CSV, or text.
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the text must be UTF-8; it begins as UTF-16 does. Save it as CSV in UTF-8")
    if b"\r" in header:
        raise ValueError(
            "lines must end with a line feed; they end with a carriage return alone. Save the file as CSV in "
            "UTF-8, not as CSV of the Macintosh"
        )
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        columns = [column.strip(b'" ') for column in header.split(separator.encode())]
        if all(column.encode() in columns for column in table.columns):
            raise ValueError(
                f"line 1 separates the columns by {name}, and they must be separated by commas. Save it with "
                "commas: in a spreadsheet choose the comma as the separator (Excel takes it from the "
                f"system's regional settings), or let pandas read it with sep={separator!r} and write it"
            )


def split_line(line: bytes, separator: str, encoding: str) -> list[str] | Fault:
    r"""Decode one line and split it.

    >>> split_line(b'11,"American President, The (1995)",Drama', ",", "utf-8")
    ['11', 'American President, The (1995)', 'Drama']
    >>> split_line(b"caf\xe9,1", ",", "utf-8").kind
    'bytes'
    """
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError as error:
        return Fault(BAD_BYTES, f"byte {error.start + 1} is not {encoding}")
    if "\0" in text:
        return Fault(BAD_BYTES, f"byte {line.index(0) + 1} is NUL")
    if separator != "," or '"' not in text:
        return text.split(separator)
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        return Fault(BAD_COLUMNS, f"the quotes do not match ({error})")


def select(fields: Sequence[str], layout: Layout) -> list[str] | Fault:
    """Pick the required columns in the order of the release's table, stripped of surrounding blanks."""
    if len(fields) != layout.width:
        return Fault(BAD_COLUMNS, f"expected {layout.width} columns, found {len(fields)}")
    return [fields[position].strip() for position in layout.positions]


def whole(text: str) -> str:
    """Write a whole number without decimals, which pandas adds to all numbers of a column with an empty cell.

    >>> whole("31.0"), whole("3.5"), whole("Vol. 0")
    ('31', '3.5', 'Vol. 0')
    """
    if "." not in text:
        return text
    number, _, decimals = text.partition(".")
    is_whole = number.removeprefix("-").isdigit() and decimals and not decimals.strip("0")
    return number if is_whole else text


def scale_values(scale: releases.Scale) -> dict[str, float]:
    """Map the usual spellings of every allowed rating to its value.

    >>> scale_values(releases.Scale("1", "2", "1"))
    {'1.0': 1.0, '1': 1.0, '2.0': 2.0, '2': 2.0}
    """
    return {text: value for value in scale.values for text in (str(value), f"{value:g}")}


def parse_rating(line: bytes, layout: Layout, scale: Mapping[str, float]) -> Rating | Fault:
    r"""Read one line of a ratings file.

    >>> layout = fixed_layout(releases.RELEASES["ml-100k"].ratings)
    >>> scale = scale_values(releases.RELEASES["ml-100k"].scale)
    >>> parse_rating(b"7\t12\t4\t881250949", layout, scale)
    Rating(user='7', movie='12', rating=4.0, timestamp=881250949)
    >>> parse_rating(b"7\t12\t6\t881250949", layout, scale)
    Fault(kind='rating', reason="rating '6' must be one of 1, 2, 3, 4, 5")
    """
    fields = split_line(line, layout.separator, layout.encoding)
    if isinstance(fields, Fault):
        return fields
    if len(fields) != layout.width:
        return Fault(BAD_COLUMNS, f"expected {layout.width} columns, found {len(fields)}")
    user, movie, rating, timestamp = layout.positions
    return check_rating(fields[user], fields[movie], fields[rating], fields[timestamp], scale)


def check_rating(
    user: str, movie: str, rating: str, timestamp: str, scale: Mapping[str, float]
) -> Rating | Fault:
    """Check the four fields of a rating.

    Args:
      scale: result of `scale_values`.
    """
    user, movie = whole(user.strip()), whole(movie.strip())
    if not user or not movie:
        return Fault(EMPTY_ID, "the user id is empty" if not user else "the movie id is empty")
    value = scale.get(rating)
    if value is None:
        value = _unusual_rating(rating, scale)
        if value is None:
            allowed = ", ".join(f"{allowed:g}" for allowed in dict.fromkeys(scale.values()))
            return Fault(BAD_RATING, f"rating {rating[:40]!r} must be one of {allowed}")
    seconds = read_seconds(timestamp)
    if seconds is None:
        return _bad_timestamp(timestamp)
    return Rating(user, movie, value, seconds)


def _bad_timestamp(text: str) -> Fault:
    kind, hint = BAD_TIMESTAMP, ""
    number = whole(text.strip())
    if number.isdigit() and number.isascii() and len(number) < 20:
        for unit, factor in UNITS.items():
            if _EARLIEST_IN_UNITS <= int(number) // factor < TIMESTAMP_END:
                kind, hint = unit, f"; it may be in {unit}"
    return Fault(
        kind,
        f"timestamp {text[:40]!r} must be whole seconds since 1970, from 1 and below {TIMESTAMP_END} "
        f"(January 2038, where 32-bit seconds end){hint}",
    )


def _unusual_rating(text: str, scale: Mapping[str, float]) -> float | None:
    # "4.00" and " 4" are ratings too; "nan", "1_0" and digits of other scripts are not.
    text = text.strip()
    if not text.isascii() or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return scale.get(str(value))


def read_seconds(text: str) -> int | None:
    """Read a rating's time; None if it is no time or out of range.

    >>> read_seconds(" 881250949"), read_seconds("881250949.0"), read_seconds("881250949000")
    (881250949, 881250949, None)
    """
    if not (text.isdigit() and text.isascii()):
        text = whole(text.strip())
        if not (text.isdigit() and text.isascii()):
            return None
    if len(text) > _TIMESTAMP_DIGITS:
        return None
    seconds = int(text)
    return seconds if 0 < seconds < TIMESTAMP_END else None
