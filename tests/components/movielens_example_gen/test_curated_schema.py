"""What the parser accepts, the curated schema accepts: a bad row is quarantined and ends no run."""

import pathlib

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.movielens_example_gen import catalogue, parse, users
from modules import features

FOLDER = pathlib.Path(__file__).parents[3] / "pipeline" / "schema"


def _curated(name: str) -> schema_pb2.Schema:
    return text_format.Parse((FOLDER / f"{name}.pbtxt").read_text(), schema_pb2.Schema())


@pytest.mark.parametrize(
    ("schema", "feature", "first", "last"),
    [
        ("ratings", features.TIMESTAMP, 1, parse.TIMESTAMP_END - 1),
        ("ratings", features.USER_AGE, features.UNKNOWN_AGE, users.OLDEST),
        ("ratings", features.MOVIE_YEAR, features.UNKNOWN_YEAR, catalogue.LATEST_YEAR),
        ("catalogue", features.MOVIE_YEAR, features.UNKNOWN_YEAR, catalogue.LATEST_YEAR),
    ],
)
def test_numbers(schema: str, feature: str, first: int, last: int) -> None:
    (domain,) = [each.int_domain for each in _curated(schema).feature if each.name == feature]
    assert domain.min <= first and last <= domain.max


def test_genders() -> None:
    (domain,) = [each for each in _curated("ratings").string_domain if each.name == "gender"]
    assert set(users.GENDERS) == set(domain.value)
