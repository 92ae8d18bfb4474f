"""From Examples to Parquet in Beam: the users of train, and the pushed model's recommendations for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import shared

from common import parquet
from components.batch_recommender import answers
from components.batch_recommender.config import BatchConfig
from components.index_pusher.index import scann_operations
from modules import features

# Users in one request: enough to keep a core busy, few enough for the scores of a million titles.
BATCH = 128
PREFIX, SUFFIX = "recommendations", ".parquet"


class Model:
    """A loaded composite; a class of our own, because Beam's shared handle needs weak references."""

    def __init__(self, path: str) -> None:
        """Load the SavedModel; if ScaNN is installed, register its operations first."""
        if scann_operations.installed():
            scann_operations.load()
        self._loaded = tf.saved_model.load(path)  # A reference, without which its tables would be freed.
        self.serve = self._loaded.signatures[features.SERVING_SIGNATURE]


class Recommend(beam.DoFn):
    """Recommend to batches of users; every worker process loads the model once for all its threads."""

    def __init__(self, path: str, config: BatchConfig, timestamp: int, version: int) -> None:
        """Store the arguments; the workers load the model, not the process that builds the pipeline."""
        self._path, self._config = path, config
        self._timestamp, self._version = timestamp, version
        self._handle = shared.Shared()

    def setup(self) -> None:
        """Load the model, or take the one that this process has loaded."""
        self._model = self._handle.acquire(lambda: Model(self._path), tag=self._path)

    def process(self, element: Sequence[bytes]) -> Iterator[pa.Table]:
        """Yield one table for a batch of users."""
        serve = self._model.serve
        specs = serve.structured_input_signature[1]
        request = answers.request(specs, element, self._config.k, self._timestamp)
        answer = {name: tensor.numpy() for name, tensor in serve(**request).items()}
        yield answers.rows(element, answer, self._version)


def user_of(record: bytes) -> bytes:
    """Read the user of a serialized rating."""
    return tf.train.Example.FromString(record).features.feature[features.USER_ID].bytes_list.value[0]


def build_pipeline(
    pipeline: beam.Pipeline,
    train_pattern: str,
    model: str,
    folder: str,
    config: BatchConfig,
    timestamp: int,
    version: int,
) -> None:
    """Recommend to every user of the train split.

    Args:
      pipeline: to add the steps to.
      train_pattern: glob pattern of the split's TFRecords.
      model: the composite's folder.
      folder: folder of the Parquet files.
      config: number of titles for each user.
      timestamp: time of the requests, Unix seconds.
      version: of the bundle, a column of every row.
    """
    _ = (
        pipeline
        | "Ratings" >> beam.io.ReadFromTFRecord(train_pattern)
        | "User" >> beam.Map(user_of)
        | "Users" >> beam.Distinct()
        | "Batches" >> beam.BatchElements(min_batch_size=BATCH, max_batch_size=BATCH)
        | "Recommend" >> beam.ParDo(Recommend(model, config, timestamp, version))
        | "Parquet"
        >> beam.io.WriteToParquetBatched(
            os.path.join(folder, PREFIX), answers.SCHEMA, file_name_suffix=SUFFIX
        )
    )


def counts(folder: str) -> dict[str, int]:
    """Count in the written files, on any of Beam's file systems, `users` with a title, and `rows`."""
    (found,) = FileSystems.match([FileSystems.join(folder, f"{PREFIX}*{SUFFIX}")])
    users = rows = 0
    for metadata in found.metadata_list:
        with FileSystems.open(metadata.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            ranks = parquet.read_table(file, columns=[answers.RANK])[answers.RANK].to_numpy()
        users, rows = users + int((ranks == 1).sum()), rows + len(ranks)
    return {"users": users, "rows": rows}
