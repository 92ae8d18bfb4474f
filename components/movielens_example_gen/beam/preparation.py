"""The Beam pipeline of the data preparation, from files to files; built by the executor.

Its stages are in reading.py, grouping.py and writing.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsDict, AsSingleton, PCollection

from components.movielens_example_gen.beam import grouping, reading, writing
from components.movielens_example_gen.beam.reading import COUNTS
from components.movielens_example_gen.config import SPAN, TIME, DataConfig
from components.movielens_example_gen.sources import files
from components.movielens_example_gen.sources.rows import split_parts

# Bytes of text that one worker parses at once: some 300,000 rows, 100 MB in memory.
CHUNK_BYTES = 8 << 20
# Rows of one shard, train and eval together, roughly: with their histories some 50 MB compressed, and 150 MB
# in memory while they are sorted. Both splits have the same number of shards, because the user's train rows
# are also in the shard of the eval rows.
SHARD_ROWS = 200_000


class Folders(NamedTuple):
    """Folders that a run writes: each split's Examples, the catalogue's, and the quarantine."""

    train: str
    eval: str
    catalogue: str
    quarantine: str


def build_pipeline(
    pipeline: beam.Pipeline, inputs: files.Inputs, config: DataConfig, folders: Folders
) -> None:
    """Build the whole of the data preparation."""
    catalogue, movie_counts = _read_catalogue(pipeline, inputs.movies, config, folders)
    catalogue_view = AsSingleton(catalogue)
    shards = max(1, math.ceil(sum(source.rows for source in inputs.ratings) / SHARD_ROWS))
    ratings, rating_counts = _read_ratings(pipeline, inputs, config, folders, catalogue_view, shards)
    joined, counts = {"ratings": ratings}, [movie_counts, rating_counts]
    if inputs.users:
        joined["users"], user_counts = _read_users(pipeline, inputs.users, config, folders, shards)
        counts.append(user_counts)

    prepared, duplicate_counts = (
        joined
        | "GroupByShard" >> beam.CoGroupByKey()
        | "PrepareShard" >> beam.ParDo(grouping.PrepareShard()).with_outputs(COUNTS, main="rows")
    )
    cut = AsSingleton(_time_cut(prepared, config)) if config.split.method == TIME else None
    split, train_titles, split_counts = prepared | "SplitShard" >> beam.ParDo(
        grouping.SplitShard(config), catalogue_view, cut
    ).with_outputs(grouping.TRAIN_TITLES, COUNTS, main="rows")

    title_counts = AsSingleton(train_titles | "CountTitles" >> beam.CombineGlobally(reading.SumCounts()))
    _ = split | "WriteShard" >> beam.Map(
        writing.write_shard,
        catalogue_view,
        title_counts,
        folders._asdict(),
        shards,
        config.history_length,
        rolling=config.split.method in (TIME, SPAN) and config.split.rolling,
    )
    _ = (
        [*counts, duplicate_counts, split_counts]
        | "AllCounts" >> beam.Flatten()
        | "SumCounts" >> beam.CombineGlobally(reading.SumCounts())
        | "WriteCounts" >> beam.Map(writing.write_counts, folders.quarantine)
    )


def _read_catalogue(
    pipeline: beam.Pipeline, movies: tuple[files.Source, ...], config: DataConfig, folders: Folders
) -> tuple[PCollection, PCollection]:
    catalogue, counts = (
        pipeline
        | "MoviesFiles" >> beam.Create([movies])
        | "ReadCatalogue"
        >> beam.ParDo(reading.ReadCatalogue(config, folders.quarantine)).with_outputs(COUNTS, main="rows")
    )
    _ = catalogue | "WriteCatalogue" >> beam.Map(writing.write_catalogue, folders.catalogue)
    return catalogue, counts


def _read_users(
    pipeline: beam.Pipeline,
    users: tuple[files.Source, ...],
    config: DataConfig,
    folders: Folders,
    shards: int,
) -> tuple[PCollection, PCollection]:
    rows, counts = (
        pipeline
        | "UsersFiles" >> beam.Create([users])
        | "ReadUsers"
        >> beam.ParDo(reading.ReadUsers(config, folders.quarantine, shards)).with_outputs(COUNTS, main="rows")
    )
    return rows, counts


def _read_ratings(
    pipeline: beam.Pipeline,
    inputs: files.Inputs,
    config: DataConfig,
    folders: Folders,
    catalogue: AsSingleton,
    shards: int,
) -> tuple[PCollection, PCollection]:
    parts = split_parts(inputs.ratings, CHUNK_BYTES)
    # A part needs the number of its first line: the line breaks of the parts before it.
    earlier = [part for part in parts if part.group < 0 and part.range.end < part.source.size]
    breaks = (
        pipeline
        | "EarlierParts" >> beam.Create(earlier)
        | "SpreadEarlierParts" >> beam.Reshuffle()
        | "CountBreaks" >> beam.ParDo(reading.CountBreaks())
    )
    rows, counts = (
        pipeline
        | "RatingsParts" >> beam.Create(parts)
        | "SpreadParts" >> beam.Reshuffle()
        | "ParseRatings"
        >> beam.ParDo(
            reading.ParseRatings(config, folders.quarantine, shards), catalogue, AsDict(breaks)
        ).with_outputs(COUNTS, main="rows")
    )
    return rows, counts


def _time_cut(prepared: PCollection, config: DataConfig) -> PCollection:
    # Two passes, so that a worker holds the days, then the seconds of one day, and never all timestamps.
    target = (
        prepared
        | "DaysOfShard" >> beam.Map(grouping.days)
        | "SumDays" >> beam.CombineGlobally(reading.SumCounts())
        | "FindDay" >> beam.Map(grouping.find_day, config.split.eval_share)
    )
    return (
        prepared
        | "SecondsOfShard" >> beam.Map(grouping.seconds_of_day, AsSingleton(target))
        | "SumSeconds" >> beam.CombineGlobally(reading.SumCounts())
        | "FindSecond" >> beam.Map(grouping.find_second, AsSingleton(target))
    )
