"""Data that arrives as spans: which folders a run reads. Pure.

    data_root/span-7/               the ratings of one stretch of time, in the release's own format
    data_root/span-7/version-2/     the span corrected, if rows came late or were wrong
    data_root/                      movies and users; a span may bring more of them, or new rows of known ones

Spans are numbered in the order of time. The highest version replaces the others as a whole; files in the
span's folder itself are version 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from common.errors import DataError
from components.movielens_example_gen.config import DataConfig, SpansConfig
from components.movielens_example_gen.sources import parts

# Folders of spans and of versions, as globs.
SPAN_GLOB, VERSION_GLOB = "span-*", "version-*"

_FOLDER = re.compile(r"(?:^|/)(?P<folder>span-(?P<span>[0-9]+)(?:/version-(?P<version>[0-9]+))?)/[^/]+$")


class Span(NamedTuple):
    """One version of a span.

    Attributes:
      number: of the span; version: 0 if the folder has none.
      folder: its name below the data root.
    """

    number: int
    version: int
    folder: str


class Window(NamedTuple):
    """The spans that one run reads.

    Attributes:
      spans: ascending, the last one is the newest; earlier: the spans before them, ascending.
      missing: span numbers within the window that do not exist.
    """

    spans: tuple[Span, ...]
    earlier: tuple[Span, ...] = ()
    missing: tuple[int, ...] = ()


def patterns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the globs, below the data root, of files of any span.

    >>> patterns(["u.data"])
    ('span-*/u.data', 'span-*/version-*/u.data')
    """
    return tuple(
        f"{folder}/{name}" for folder in (SPAN_GLOB, f"{SPAN_GLOB}/{VERSION_GLOB}") for name in names
    )


def input_patterns(config: DataConfig) -> dict[str, tuple[str, ...]]:
    """Return the globs, below the input folder, of all files that a run may read, by part of the input."""
    files = {part: parts.patterns(names) for part, names in config.input_files().items()}
    if not config.spans:
        return files
    return {
        part: patterns(names) if part == "ratings" else (*names, *patterns(names))
        for part, names in files.items()
    }


def versions(paths: Iterable[str], requested: Mapping[int, int] | None = None) -> list[Span]:
    """Find one version of each span, ascending.

    Args:
      paths: of the ratings files, matches of `patterns`.
      requested: version of each span to read, by the span's number; None for the latest of every span.
    Raises:
      DataError: a folder has no number, two have the same, or a requested version does not exist.

    >>> versions(["in/span-2/u.data", "in/span-1/u.data", "in/span-1/version-3/u.data"])
    [Span(number=1, version=3, folder='span-1/version-3'), Span(number=2, version=0, folder='span-2')]
    >>> versions(["in/span-2/u.data", "in/span-1/u.data", "in/span-1/version-3/u.data"], {1: 0})
    [Span(number=1, version=0, folder='span-1')]
    """
    there: dict[tuple[int, int], Span] = {}
    for path in sorted(paths):
        found = _FOLDER.search(parts.whole(path))
        if not found:
            raise DataError(
                f"The folders of spans and versions must be named span-NUMBER and version-NUMBER; received "
                f"{path}. Rename the folder, or move it elsewhere."
            )
        span = Span(int(found["span"]), int(found["version"] or 0), found["folder"])
        other = there.setdefault(span[:2], span)
        if other.folder != span.folder:
            raise DataError(
                f"A version of a span must lie in one folder; {other.folder} and {span.folder} have the "
                "same numbers. Remove one of them."
            )
    chosen = dict(sorted(there)) if requested is None else requested
    if missing := sorted(set(chosen.items()) - set(there)):
        number, version = missing[0]
        raise DataError(
            f"Version {version} of span {number} must be there, because data.spans.versions names it. Put it "
            "back, or name another version."
        )
    return [there[pair] for pair in sorted(chosen.items())]


def window(spans: Sequence[Span], config: SpansConfig) -> Window:
    """Choose the spans that a run reads.

    Args:
      spans: ascending, distinct numbers.
      config: number of spans, and number of the last one.
    Raises:
      DataError: there is no such span, or one is missing and gaps stop a run.

    >>> spans = [Span(number, 0, f"span-{number}") for number in (1, 2, 3, 5)]
    >>> [span.number for span in window(spans, SpansConfig(window=2, newest=3)).spans]
    [2, 3]
    >>> window(spans, SpansConfig(gaps="warn")).missing
    (4,)
    """
    known = [span for span in spans if config.newest is None or span.number <= config.newest]
    if not known or (config.newest is not None and known[-1].number != config.newest):
        raise DataError(
            f"Span {'(any)' if config.newest is None else config.newest} must be there to be read; found "
            f"{_numbers([span.number for span in spans])}. Name another folder, or another newest span."
        )
    newest = known[-1].number
    first = known[0].number if config.window is None else max(known[0].number, newest - config.window + 1)
    chosen = tuple(span for span in known if span.number >= first)
    missing = tuple(sorted(set(range(first, newest)) - {span.number for span in chosen}))
    if missing and config.gaps == "stop":
        raise DataError(
            f"Spans {first} to {newest} must be there without a gap; missing: {_numbers(missing)}. Deliver "
            'the missing spans, or set data.spans.gaps to "warn" to go on without them.'
        )
    return Window(chosen, tuple(span for span in known if span.number < first), missing)


def summary(window: Window) -> str:
    """Describe in one line the spans that are read.

    >>> summary(Window((Span(3, 0, "span-3"), Span(5, 1, "span-5/version-1")), missing=(4,)))
    'spans 3 to 5: 2 read, 1 of them in a later version; missing: 4'
    """
    first, newest = window.spans[0].number, window.spans[-1].number
    text = f"spans {first} to {newest}: {len(window.spans)} read"
    later = sum(span.version > 0 for span in window.spans)
    text += f", {later} of them in a later version" if later else ""
    return text + (f"; missing: {_numbers(window.missing)}" if window.missing else "")


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
