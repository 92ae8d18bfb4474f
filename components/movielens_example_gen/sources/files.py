"""Find and check the input files, through Beam's file systems (local, gs://, ...), before any is read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from apache_beam.io.filesystems import FileSystems

from common.errors import DataError
from components.movielens_example_gen.config import SPAN, DataConfig, SpansConfig
from components.movielens_example_gen.parsing import parse
from components.movielens_example_gen.sources import emptiness, layouts, listing, parts, releases, spans
from modules import features

# A guess, to choose the number of output files: "12345,678,3.5,1112486027" and a line break.
_BYTES_PER_ROW = 20


class Source(NamedTuple):
    """One input file.

    Attributes:
      path: its path or URI.
      name: its name below the input folder.
      layout: positions of the required columns.
      header: whether line 1 is a header.
      size: bytes.
      split: `train` or `eval` if the input is already split, else empty.
      groups: rows per row group of a Parquet file; empty for text.
    """

    path: str
    name: str
    layout: parse.Layout
    header: bool
    size: int
    split: str = ""
    groups: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows; an estimate if the file is text."""
        return sum(self.groups) if self.groups else math.ceil(self.size / _BYTES_PER_ROW)


class Inputs(NamedTuple):
    """Everything that one run reads.

    Attributes:
      ratings: several if the input has spans, or if a file was written in parts.
      movies, users: likewise; rows of a later span's file replace earlier ones.
      window: the spans, if the input has them.
    """

    ratings: tuple[Source, ...]
    movies: tuple[Source, ...]
    users: tuple[Source, ...]
    window: spans.Window | None = None


def find_inputs(input_base: str, config: DataConfig) -> Inputs:
    """Find the release's files and check that each has the required columns.

    Raises:
      DataError: a file is missing, empty, ambiguous or of another form, or a span is missing.
    """
    if config.spans:
        return _find_spans(input_base, config, config.spans)
    release, names = config.spec, config.input_files()
    ratings: list[Source] = []
    for part in names:
        if part.startswith("ratings"):
            split = part.removeprefix("ratings").lstrip("_")
            found = _find(input_base, names[part], release.ratings, config)
            ratings += [source._replace(split=split) for source in found]
    movies = _find(input_base, names["movies"], release.movies, config)
    users: tuple[Source, ...] = ()
    if release.users and not (release.users.optional and not _there(input_base, names["users"])):
        users = _find(input_base, names["users"], release.users, config)
    return Inputs(tuple(ratings), movies, users)


def _find_spans(input_base: str, config: DataConfig, requested: SpansConfig) -> Inputs:
    release, files = config.spec, config.input_files()
    sizes = listing.sizes(input_base, spans.patterns(parts.patterns(files["ratings"])))
    window = spans.window(spans.versions(sizes, requested.versions), requested)
    newest = window.spans[-1]

    def inside(span: spans.Span, names: Sequence[str]) -> list[str]:
        return [f"{span.folder}/{name}" for name in names]

    ratings: list[Source] = []
    for span in window.spans:
        names = inside(span, files["ratings"])
        # A span may have no ratings at all.
        if span is newest or any(
            _has_rows(input_base, name, release.ratings) for name in sizes if parts.whole(name) in names
        ):
            split = (
                features.EVAL_SPLIT
                if config.split.method == SPAN and span is newest
                else features.TRAIN_SPLIT
            )
            found = _find(input_base, names, release.ratings, config)
            ratings += [source._replace(split=split) for source in found]

    def every(names: Sequence[str], table: releases.Table) -> tuple[Source, ...]:
        folders = [list(names), *(inside(span, names) for span in (*window.earlier, *window.spans))]
        found = (_find(input_base, paths, table, config) for paths in folders if _there(input_base, paths))
        return tuple(itertools.chain.from_iterable(found))

    movies = every(files["movies"], release.movies)
    if not movies:
        _find(input_base, files["movies"], release.movies, config)  # Raises, and names the missing file.
    users = every(files["users"], release.users) if release.users else ()
    if release.users and not (users or release.users.optional):
        _find(input_base, files["users"], release.users, config)
    return Inputs(tuple(ratings), movies, users, window)


def _there(input_base: str, names: Sequence[str]) -> dict[str, int]:
    return listing.sizes(input_base, parts.patterns(names))


def _find(
    input_base: str, names: Sequence[str], table: releases.Table, config: DataConfig
) -> tuple[Source, ...]:
    # Returns one file, or all parts of one file that hold rows.
    there = _there(input_base, names)
    found = sorted({parts.whole(name) for name in there})
    if len(found) != 1:
        raise DataError(
            f"The folder {input_base} must hold {'one of ' * (len(names) > 1)}{', '.join(names)} "
            f"(release {config.release}, split method {config.split.method}); found "
            f"{', '.join(found) or 'none of it'}. Name the folder that holds the files, or another release."
        )
    if len(there) > 1:
        there = {name: size for name, size in there.items() if _has_rows(input_base, name, table)}
        if not there:
            raise DataError(f"{found[0]} in {input_base} must hold rows, and none of its parts does.")
    return tuple(_source(input_base, name, there[name], table) for name in sorted(there))


def _source(input_base: str, name: str, size: int, table: releases.Table) -> Source:
    path = FileSystems.join(input_base, name)
    if not size:
        raise DataError(f"{path} must hold rows, and is empty. Fetch or write it anew.")
    with layouts.open_file(path) as handle:
        if parts.is_parquet(name):
            layout, groups = layouts.of_parquet(handle, path, table)
            return Source(path, name, layout, False, size, groups=groups)
        return Source(path, name, layouts.of_text(handle, path, table), table.header, size)


def _has_rows(input_base: str, name: str, table: releases.Table) -> bool:
    with layouts.open_file(FileSystems.join(input_base, name)) as handle:
        return emptiness.has_rows(handle, name, table.header)
