"""The Beam stages that read: files to packed rows in shards, the catalogue, the counts.

Rows travel in batches (a shard's rows of one part of a file, packed), because Beam's cost per element, in
time and in memory, is far above the cost of a row.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems

from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.parsing import lines, parse, quarantine, splits
from components.movielens_example_gen.parsing.catalogue import Catalogue, build_catalogue, parse_movie
from components.movielens_example_gen.parsing.users import parse_user
from components.movielens_example_gen.sources import parts
from components.movielens_example_gen.sources.files import Source
from components.movielens_example_gen.sources.layouts import open_file
from components.movielens_example_gen.sources.rows import Part, read_ratings, read_table
from modules import features

# Tag of the outputs that hold Counters.
COUNTS = "counts"

# One rating: position in Catalogue.ids, stars, seconds, and 1 if the input's own split has it in eval.
PACKED = np.dtype([("movie", "<i4"), ("rating", "<f4"), ("timestamp", "<i4"), ("eval", "u1")])


def write_bad_rows(folder: str, name: str, bad: list[quarantine.BadRow]) -> None:
    """Write bad rows, if there are any, to a file of their own in the quarantine."""
    if bad:
        text = "".join(quarantine.to_json(row) + "\n" for row in bad)
        with FileSystems.create(FileSystems.join(folder, name + quarantine.ROWS_SUFFIX)) as handle:
            handle.write(text.encode("ascii"))


def _read_all(
    sources: Iterable[Source], config: DataConfig, part: str, bad: list[quarantine.BadRow]
) -> tuple[list[Any], int]:
    # Returns a table's parsed rows with distinct ids, and how many were read. A later file's row replaces an
    # earlier one's. Adds bad rows to `bad`.
    rows: dict[str, Any] = {}
    read = 0
    for _, file in itertools.groupby(sources, lambda source: parts.whole(source.name)):
        for row in _read_whole(file, config, part, bad):
            rows[row[0]] = row
            read += 1
    return list(rows.values()), read + len(bad)


def _read_whole(
    file: Iterable[Source], config: DataConfig, part: str, bad: list[quarantine.BadRow]
) -> Iterator[Any]:
    # Yields the parsed rows of all parts of a file, with distinct ids, in file order; adds bad rows to `bad`.
    table, parse_row = {
        quarantine.MOVIES: (config.spec.movies, parse_movie),
        quarantine.USERS: (config.spec.users, parse_user),
    }[part]
    seen: dict[str, str] = {}
    for source in file:
        for line, row, fields in read_table(source, table.columns if table else ()):
            parsed = fields if isinstance(fields, parse.Fault) else parse_row(fields, config.spec)
            if not isinstance(parsed, parse.Fault):
                if parsed[0] not in seen:
                    seen[parsed[0]] = f"line {line} of {source.name}"
                    yield parsed
                    continue
                words = f"id {parsed[0][:40]!r} stands in {seen[parsed[0]]} already"
                parsed = parse.Fault(parse.REPEATED_ID, words)
            bad.append(quarantine.BadRow(source.name, line, parsed, row))


class ReadCatalogue(beam.DoFn):
    """Read the movies files: one Catalogue, and its counts."""

    def __init__(self, config: DataConfig, folder: str):
        self._config = config.model_dump_json()
        self._folder = folder

    def process(self, sources: tuple[Source, ...]) -> Iterator[Any]:
        config = DataConfig.model_validate_json(self._config)
        bad: list[quarantine.BadRow] = []
        movies, read = _read_all(sources, config, quarantine.MOVIES, bad)
        write_bad_rows(self._folder, quarantine.MOVIES, bad)
        catalogue = build_catalogue(movies, config.spec.merge_titles)
        yield catalogue
        counts = quarantine.tally(quarantine.MOVIES, read, bad)
        counts["candidates"] = len(catalogue.candidates)
        counts["titles_merged"], counts["titles_renamed"] = catalogue.merged, catalogue.renamed
        yield beam.pvalue.TaggedOutput(COUNTS, counts)


class ReadUsers(beam.DoFn):
    """Read the users files: (shard, User fields), and the counts."""

    def __init__(self, config: DataConfig, folder: str, shards: int):
        self._config = config.model_dump_json()
        self._folder = folder
        self._shards = shards

    def process(self, sources: tuple[Source, ...]) -> Iterator[Any]:
        config = DataConfig.model_validate_json(self._config)
        bad: list[quarantine.BadRow] = []
        users, read = _read_all(sources, config, quarantine.USERS, bad)
        for user in users:
            yield splits.user_hash(user.user_id, config.split.seed) % self._shards, tuple(user)
        write_bad_rows(self._folder, quarantine.USERS, bad)
        yield beam.pvalue.TaggedOutput(COUNTS, quarantine.tally(quarantine.USERS, read, bad))


class CountBreaks(beam.DoFn):
    """Count a byte range's line breaks: (range, breaks)."""

    def process(self, part: Part) -> Iterator[tuple[lines.Range, int]]:
        with open_file(part.source.path) as handle:
            yield part.range, lines.count_breaks(handle, part.range)


class ParseRatings(beam.DoFn):
    """Read one part of the ratings: (shard, its users' rows as PACKED bytes by user id), and the counts."""

    def __init__(self, config: DataConfig, folder: str, shards: int):
        self._config = config.model_dump_json()
        self._folder = folder
        self._shards = shards

    def process(self, part: Part, catalogue: Catalogue, breaks: Mapping[lines.Range, int]) -> Iterator[Any]:
        config = DataConfig.model_validate_json(self._config)
        columns, scale = config.spec.ratings.columns, parse.scale_values(config.spec.scale)
        position = {movie_id: index for index, movie_id in enumerate(catalogue.ids)}
        in_eval = int(part.source.split == features.EVAL_SPLIT)
        rows: defaultdict[str, list[tuple[int, float, int, int]]] = defaultdict(list)
        bad: list[quarantine.BadRow] = []
        read = 0
        for line, row, rating in read_ratings(part, columns, scale, breaks):
            read += 1
            if not isinstance(rating, parse.Fault):
                user, movie, stars, seconds = rating
                index = position.get(movie)
                if index is not None:
                    rows[user].append((index, stars, seconds, in_eval))
                    continue
                rating = parse.Fault(parse.UNKNOWN_MOVIE, f"movie id {movie[:40]!r} is not in the catalogue")
            bad.append(quarantine.BadRow(part.source.name, line, rating, row))
        write_bad_rows(self._folder, f"{quarantine.RATINGS}-{part.number:05d}", bad)
        sharded: defaultdict[int, dict[str, bytes]] = defaultdict(dict)
        for user, packed in rows.items():
            shard = splits.user_hash(user, config.split.seed) % self._shards
            sharded[shard][user] = np.array(packed, PACKED).tobytes()
        yield from sharded.items()
        yield beam.pvalue.TaggedOutput(COUNTS, quarantine.tally(quarantine.RATINGS, read, bad))


class SumCounts(beam.CombineFn):
    """Add up Counters."""

    def create_accumulator(self) -> Counter[str]:
        return Counter()

    def add_input(self, total: Counter[str], counts: Mapping[Any, int]) -> Counter[Any]:
        for key, count in counts.items():
            total[key] += count
        return total

    def merge_accumulators(self, totals: Iterable[Counter[Any]]) -> Counter[Any]:
        merged: Counter[Any] = Counter()
        for total in totals:
            self.add_input(merged, total)
        return merged

    def extract_output(self, total: Counter[Any]) -> Counter[Any]:
        return total
