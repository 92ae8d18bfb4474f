"""The curated schemas say of every raw feature what the contract file says, and know no other."""

from __future__ import annotations

import pathlib

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.movielens_example_gen.parsing import splits
from modules import features
from modules.features import Dtype, RawFeature

FOLDER = pathlib.Path(__file__).parents[2] / "pipeline" / "schema"
TYPES = {Dtype.BYTES: schema_pb2.BYTES, Dtype.INT: schema_pb2.INT, Dtype.FLOAT: schema_pb2.FLOAT}


def read(name: str) -> schema_pb2.Schema:
    return text_format.Parse((FOLDER / f"{name}.pbtxt").read_text(), schema_pb2.Schema())


@pytest.mark.parametrize(
    ("name", "rows"), [("ratings", features.RATING_ROW), ("catalogue", features.CATALOGUE_ROW)]
)
def test_a_schema_holds_the_features_of_its_rows(name: str, rows: tuple[RawFeature, ...]) -> None:
    described = {feature.name: feature for feature in read(name).feature}
    # The pipeline makes no statistics of what an eval row excludes.
    rows = tuple(row for row in rows if row.name != features.EXCLUDE_ID)
    assert set(described) == {row.name for row in rows}
    for row in rows:
        feature = described[row.name]
        assert feature.type == TYPES[row.dtype], row.name
        # Transform is handed one value as [batch, 1], and any number of them as a sparse column.
        assert [dim.size for dim in feature.shape.dim] == ([] if row.repeated else [1]), row.name
        assert feature.presence.min_fraction == 1.0, row.name


@pytest.mark.parametrize(
    ("domain", "levels"),
    [("activity", splits.USER_ACTIVITY_LEVELS), ("popularity", splits.TITLE_POPULARITY_LEVELS)],
)
def test_the_levels_of_slices_are_those_that_the_examples_carry(domain: str, levels: tuple) -> None:
    (found,) = [entry for entry in read("ratings").string_domain if entry.name == domain]
    assert list(found.value) == [label for _, label in levels]
