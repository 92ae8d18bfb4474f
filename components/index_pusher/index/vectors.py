"""The candidate vectors as one Parquet file, for a vector database; its format is in docs/vectors.md.

Runs in the executor's process, on the files about to be published.
"""

from __future__ import annotations

import os

import pyarrow as pa

from common import parquet
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.gates import Refusal
from modules import features

VECTORS = "vectors"
FILE = "candidates.parquet"
VECTOR = "vector"
POPULARITY = "popularity"
# Keys of the schema's metadata.
FORMAT_KEY, SIMILARITY_KEY = b"marquee.format", b"marquee.similarity"
FORMAT, SIMILARITY = b"1", b"inner_product"


def write(candidates: Candidates, folder: str) -> str:
    """Write the candidates in the order of the catalogue, the one in which the index counts positions.

    Args:
      candidates: the retrieval model's catalogue.
      folder: of the bundle.
    Returns:
      Path of the file.
    Raises:
      Refusal: what is read back is not what was written.
    """
    os.makedirs(os.path.join(folder, VECTORS))
    path = os.path.join(folder, VECTORS, FILE)
    parquet.write_table(table(candidates), path)
    check(path, candidates)
    return path


def table(candidates: Candidates) -> pa.Table:
    """Return the rows with their schema: ids and titles as text, vectors as lists of one fixed length."""
    dim = candidates.embeddings.shape[1]
    # Parquet's name of a list's element. pyarrow 18 reads its own name, `item`, back as `element`.
    element = pa.field("element", pa.float32())
    schema = pa.schema(
        [
            pa.field(features.MOVIE_ID, pa.string(), nullable=False),
            pa.field(features.MOVIE_TITLE, pa.string(), nullable=False),
            pa.field(POPULARITY, pa.int64(), nullable=False),
            pa.field(VECTOR, pa.list_(element, dim), nullable=False),
        ],
        metadata={FORMAT_KEY: FORMAT, SIMILARITY_KEY: SIMILARITY},
    )
    columns = [
        pa.array([entry.decode() for entry in candidates.ids], pa.string()),
        pa.array([entry.decode() for entry in candidates.titles], pa.string()),
        pa.array(candidates.popularity, pa.int64()),
        pa.FixedSizeListArray.from_arrays(pa.array(candidates.embeddings.ravel(), pa.float32()), dim),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def check(path: str, candidates: Candidates) -> None:
    """Read the file back and compare every value with the candidates.

    Raises:
      Refusal: the first column that differs.
    """
    read, expected = parquet.read_table(path), table(candidates)
    if not read.schema.equals(expected.schema, check_metadata=True):
        raise Refusal(f"the candidate vectors read back with another schema: {read.schema}")
    for name in expected.column_names:
        if not read[name].equals(expected[name]):
            raise Refusal(f"the candidate vectors read back with another column {name}")
