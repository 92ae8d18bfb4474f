"""Ratings with a planted preference, in the form of MovieLensExampleGen's output, and Transform run on them.

A checkerboard with its diagonal withheld: user i likes the films of i's own parity and has rated all of them
but film i; of the other films some are rated, badly. Genres, years, genders and ages say nothing about it. So
only a model that learned who goes with what puts film i first among the films that user i has not rated.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder
from tfx_bsl.public import tfxio

from components.movielens_example_gen.parsing import examples
from modules import features
from modules.data import preprocessing
from tests.helpers.beam import eager

NUM_USERS = 48
# Of each user, among the films that the user does not like.
DISLIKED = 8
LIKED_RATING, DISLIKED_RATING = 4.5, 1.5
# Films that nobody rated in train, and a user who rated nothing there.
UNRATED_TITLES = ("Ébauche, L' (1931)", "Never Seen (1950)", "Zero Stars (2001)")
COLD_START_USER = "cold-start"

Row = Mapping[str, Any]

_SCHEMA = pathlib.Path(__file__).parents[2] / "pipeline" / "schema" / "ratings.pbtxt"


def user(index: int) -> dict[str, Any]:
    """What a row says of a user; the numbers are chosen so that parity cannot be read off them."""
    return {
        features.USER_ID: f"u{index}",
        features.USER_GENDER: "FM"[index // 2 % 2],
        features.USER_AGE: 20 + index // 2,
        features.USER_OCCUPATION: ("artist", "writer", "other")[index // 2 % 3],
        features.USER_ACTIVITY: "medium",
    }


def film(index: int) -> dict[str, Any]:
    """What a row says of a film."""
    return {
        features.MOVIE_ID: str(index),
        features.MOVIE_TITLE: f"Film, {index} (19{50 + index // 2})",
        features.MOVIE_GENRES: [("Comedy", "Drama", "Western")[index // 2 % 3]] * (1 + index // 2 % 2),
        features.MOVIE_YEAR: 1950 + index // 2,
    }


def rating(user_index: int, film_index: int, number: int = 0) -> dict[str, Any]:
    """A row of the ratings, without a history; `number` of the user's rows came before.

    Two users of either parity share their timestamps, which so do not depend on parity.
    """
    liked = user_index % 2 == film_index % 2
    return {
        **user(user_index),
        **film(film_index),
        features.RATING: LIKED_RATING if liked else DISLIKED_RATING,
        features.TIMESTAMP: 880_000_000 + 70_001 * (user_index // 2) + 97 * number,
        **{feature.name: [] for feature in (*features.HISTORY_FEATURES, features.EXCLUDE_ID_FEATURE)},
        features.TITLE_POPULARITY: "torso",
        features.VISIT: features.SAME_SITTING,
    }


def with_history(row: Row, rows: Iterable[Row], length: int = features.HISTORY_LENGTH) -> dict[str, Any]:
    """A row with those of the user's rows that came before it, the latest first, so many at most."""
    before = [other for other in rows if other[features.TIMESTAMP] < row[features.TIMESTAMP]]
    before.sort(key=lambda other: -other[features.TIMESTAMP])
    before = before[:length]
    return {
        **row,
        features.HISTORY_TITLE: [other[features.MOVIE_TITLE] for other in before],
        features.HISTORY_RATING: [other[features.RATING] for other in before],
        features.HISTORY_TIMESTAMP: [other[features.TIMESTAMP] for other in before],
    }


def excluding(row: Row, rated: Iterable[Row]) -> dict[str, Any]:
    """A row of eval with the ids of what its user rated in train."""
    return {**row, features.EXCLUDE_ID: [other[features.MOVIE_ID] for other in rated]}


@dataclasses.dataclass(frozen=True)
class World:
    """Rows of the three splits.

    Attributes:
      train: all but what is withheld; a user's rows follow each other in time.
      eval: of every user the withheld film and a disliked one that train does not have, after all of train.
      catalogue: all films, in another order than that of their titles.
    """

    train: Sequence[Row]
    eval: Sequence[Row]
    catalogue: Sequence[Row]


def make_world() -> World:
    """Draw which disliked films are rated, always the same ones."""
    draw = random.Random(0)
    train, held_out = [], []
    for index in range(NUM_USERS):
        others = [film_index for film_index in range(NUM_USERS) if film_index % 2 != index % 2]
        draw.shuffle(others)
        liked = [film_index for film_index in range(index % 2, NUM_USERS, 2) if film_index != index]
        films = [*liked, *others[:DISLIKED]]
        draw.shuffle(films)
        rows = [rating(index, film_index, number) for number, film_index in enumerate(films)]
        train += [with_history(row, rows, features.TRAIN_HISTORY_LENGTH) for row in rows]
        withheld = [rating(index, film_index, len(rows)) for film_index in (index, others[DISLIKED])]
        held_out += [excluding(with_history(row, rows), rows) for row in withheld]
    unrated = [
        {**film(NUM_USERS + index), features.MOVIE_TITLE: title} for index, title in enumerate(UNRATED_TITLES)
    ]
    catalogue = [*unrated, *(film(index) for index in reversed(range(NUM_USERS)))]
    return World(train, held_out, catalogue)


def serialized(row: Row) -> bytes:
    """A row as a tf.train.Example."""
    return examples.serialised(examples.columns({name: [value] for name, value in row.items()}))[0]


def write(records: Iterable[bytes], folder: pathlib.Path) -> str:
    """Write gzipped TFRecords; returns the glob pattern of the files."""
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for record in records:
            writer.write(record)
    return str(folder / "*")


def transform(
    splits: Mapping[str, Iterable[Row]], folder: pathlib.Path, vocabularies: Mapping[str, int] | None = None
) -> dict[str, str]:
    """Do what the Transform component does: analyse `train`, transform every split.

    Args:
      splits: rows by name.
      folder: to hold `graph`, the transform output, and a folder of records for each split.
      vocabularies: terms that are kept, by feature; all where a feature is not named.
    Returns:
      Glob patterns of the transformed records by split.
    """
    schema = text_format.Parse(_SCHEMA.read_text(), schema_pb2.Schema())
    source = tfxio.TFExampleBeamRecord(
        physical_format="memory", telemetry_descriptors=["tests"], schema=schema
    )
    preprocess = functools.partial(
        preprocessing.preprocessing_fn, custom_config={"vocabularies": dict(vocabularies or {})}
    )
    with beam.Pipeline(argv=list(eager.FLAGS)) as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
        config = source.TensorAdapterConfig()
        batches = {
            name: pipeline
            | f"Rows.{name}" >> beam.Create([serialized(row) for row in rows], reshuffle=False)
            | f"Batches.{name}" >> source.BeamSource()
            for name, rows in splits.items()
        }
        graph = (batches["train"], config) | tft_beam.AnalyzeDataset(preprocess)
        _ = graph | tft_beam.WriteTransformFn(str(folder / "graph"))
        for name, batch in batches.items():
            data, metadata = ((batch, config), graph) | f"Transform.{name}" >> tft_beam.TransformDataset(
                output_record_batches=True
            )
            encoder = example_coder.RecordBatchToExamplesEncoder(metadata.schema)
            _ = (
                data
                | f"Encode.{name}"
                >> beam.FlatMapTuple(lambda batch, _, encoder=encoder: encoder.encode(batch))
                | f"Write.{name}"
                >> beam.io.WriteToTFRecord(str(folder / name / "transformed"), file_name_suffix=".gz")
            )
    return transformed(splits, folder)


def transformed(splits: Iterable[str], folder: pathlib.Path) -> dict[str, str]:
    """Return the glob patterns of the records that `transform` wrote of each split."""
    return {split: str(folder / split / "transformed*") for split in splits}


def load_transform(folder: pathlib.Path) -> tft.TFTransformOutput:
    """Read the graph that `transform` wrote."""
    return tft.TFTransformOutput(str(folder / "graph"))
