"""The input files: found and checked, through Beam's file systems (local, gs://, ...), before any is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from apache_beam.io.filesystems import FileSystems

from common.errors import DataError
from components.movielens_example_gen.config import SPAN, DataConfig, SpansConfig
from components.movielens_example_gen.parsing import parse
from components.movielens_example_gen.sources import emptiness, layouts, listing, releases, spans
from modules import features

# A guess, to choose the number of output files: "12345,678,3.5,1112486027" and a line break.
_BYTES_PER_ROW = 20


class Source(NamedTuple):
    """One input file.

    Attributes:
      path: where it is.
      name: what a person knows it by: its name below the input folder.
      layout: places of the wanted columns.
      header: True where line 1 is not data.
      size: bytes.
      split: `train` or `eval` where the input is already split, else empty.
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
        """Rows, roughly where the file is text."""
        return sum(self.groups) if self.groups else math.ceil(self.size / _BYTES_PER_ROW)


class Inputs(NamedTuple):
    """Everything that one run reads.

    Attributes:
      movies, users: several where spans bring them; a later file's rows take the place of earlier ones.
      window: the spans, where the input has them.
    """

    ratings: tuple[Source, ...]
    movies: tuple[Source, ...]
    users: tuple[Source, ...]
    window: spans.Window | None = None


def find_inputs(input_base: str, config: DataConfig) -> Inputs:
    """Find the release's files and check that each has the columns it should have.

    Raises:
      DataError: a file is missing, empty, ambiguous or of another form, or a span is missing.
    """
    if config.spans:
        return _find_spans(input_base, config, config.spans)
    release, files = config.spec, config.input_files()
    ratings = []
    for part, names in files.items():
        if part.startswith("ratings"):
            source = _find(input_base, names, release.ratings, config)
            ratings.append(source._replace(split=part.removeprefix("ratings").lstrip("_")))
    movies = _find(input_base, files["movies"], release.movies, config)
    users = []
    if release.users and not (release.users.optional and not listing.sizes(input_base, files["users"])):
        users.append(_find(input_base, files["users"], release.users, config))
    return Inputs(tuple(ratings), (movies,), tuple(users))


def _find_spans(input_base: str, config: DataConfig, wanted: SpansConfig) -> Inputs:
    release, files = config.spec, config.input_files()
    sizes = listing.sizes(input_base, spans.patterns(files["ratings"]))
    window = spans.window(spans.versions(sizes, wanted.versions), wanted)
    newest = window.spans[-1]

    def inside(span: spans.Span, names: Sequence[str]) -> list[str]:
        return [f"{span.folder}/{name}" for name in names]

    ratings = []
    for span in window.spans:
        names = inside(span, files["ratings"])
        # Nothing may have happened in a stretch of time.
        if span is newest or any(
            _has_rows(input_base, name, release.ratings) for name in names if name in sizes
        ):
            held_out = config.split.method == SPAN and span is newest
            source = _find(input_base, names, release.ratings, config)
            ratings.append(source._replace(split=features.EVAL_SPLIT if held_out else features.TRAIN_SPLIT))

    def whole(names: Sequence[str], table: releases.Table) -> tuple[Source, ...]:
        folders = [list(names), *(inside(span, names) for span in (*window.earlier, *window.spans))]
        return tuple(
            _find(input_base, paths, table, config) for paths in folders if listing.sizes(input_base, paths)
        )

    movies = whole(files["movies"], release.movies)
    if not movies:
        _find(input_base, files["movies"], release.movies, config)  # Says what is missing.
    users = whole(files["users"], release.users) if release.users else ()
    if release.users and not (users or release.users.optional):
        _find(input_base, files["users"], release.users, config)
    return Inputs(tuple(ratings), movies, users, window)


def _find(input_base: str, names: Sequence[str], table: releases.Table, config: DataConfig) -> Source:
    there = listing.sizes(input_base, names)
    if len(there) != 1:
        raise DataError(
            f"The folder {input_base} must hold {'one of ' * (len(names) > 1)}{', '.join(names)} "
            f"(release {config.release}, split method {config.split.method}); found "
            f"{', '.join(there) or 'none of it'}. Name the folder that holds the files, or another release."
        )
    [(name, size)] = there.items()
    path = FileSystems.join(input_base, name)
    if not size:
        raise DataError(f"{path} must hold rows, and is empty. Fetch or write it anew.")
    with layouts.open_file(path) as handle:
        if name.endswith(emptiness.PARQUET):
            layout, groups = layouts.of_parquet(handle, path, table)
            return Source(path, name, layout, False, size, groups=groups)
        return Source(path, name, layouts.of_text(handle, path, table), table.header, size)


def _has_rows(input_base: str, name: str, table: releases.Table) -> bool:
    with layouts.open_file(FileSystems.join(input_base, name)) as handle:
        return emptiness.has_rows(handle, name, table.header)
