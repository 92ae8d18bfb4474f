"""Anomalies in words, on what TFDV really says about planted rows."""

from __future__ import annotations

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.anomaly_gate.report import Finding, describe, findings

SCHEMA = text_format.Parse(
    """
    feature {
      name: "user_rating" type: FLOAT float_domain { min: 0.5 max: 5 }
      presence { min_fraction: 1 min_count: 1 }
    }
    feature { name: "user_gender" type: BYTES domain: "gender" presence { min_fraction: 1 min_count: 1 } }
    feature { name: "movie_title" type: BYTES presence { min_fraction: 0.95 min_count: 1 } }
    feature {
      name: "timestamp" type: INT int_domain { min: 0 }
      presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }
    }
    string_domain { name: "gender" value: "F" value: "M" }
    dataset_constraints { min_examples_count: 100 }
    """,
    schema_pb2.Schema(),
)


def good_rows() -> pd.DataFrame:
    """150 rows that agree with SCHEMA."""
    return pd.DataFrame(
        {
            "user_rating": [1.0, 2.5, 5.0] * 50,
            "user_gender": ["M", "F", "M"] * 50,
            "movie_title": ["A (1990)", "B (1991)", "C, The (1992)"] * 50,
            "timestamp": [0, 1, 2] * 50,
        }
    )


def validated(rows: pd.DataFrame, schema: schema_pb2.Schema = SCHEMA) -> anomalies_pb2.Anomalies:
    return tfdv.validate_statistics(tfdv.generate_statistics_from_dataframe(rows), schema)


def with_rows(feature: str, values: list) -> pd.DataFrame:
    """Good rows with the first values of one feature replaced."""
    rows = good_rows()
    rows[feature] = values + list(rows[feature])[len(values) :]
    return rows


def test_good_rows_have_no_findings() -> None:
    assert findings(validated(good_rows())) == []
    assert describe({("ratings", "train"): validated(good_rows())}) == ""


@pytest.mark.parametrize(
    ("rows", "finding"),
    [
        pytest.param(
            with_rows("user_rating", [7.0]),
            Finding(
                "user_rating", "values must be at least 0.5 and at most 5", "unexpectedly high value: 7>5"
            ),
            id="too high",
        ),
        pytest.param(
            with_rows("timestamp", [-3]),
            Finding("timestamp", "values must be at least 0", "unexpectedly small value: -3"),
            id="too low, one bound",
        ),
        pytest.param(
            with_rows("user_gender", ["X", "X", "X"]),
            Finding(
                "user_gender",
                "values must be one of F, M",
                "examples contain values missing from the schema: X (~2%)",
            ),
            id="outside the domain",
        ),
        pytest.param(
            good_rows().drop(columns="user_rating"),
            Finding("user_rating", "every row must have it", "column is completely missing"),
            id="no such column",
        ),
        pytest.param(
            with_rows("movie_title", [None] * 15),
            Finding(
                "movie_title",
                "95.0% of the rows must have it",
                "the feature was present in fewer examples than expected: minimum fraction = 0.950000, "
                "actual = 0.900000",
            ),
            id="absent too often",
        ),
        pytest.param(
            good_rows().assign(colour="red"),
            Finding(
                "colour",
                "every feature must be named in the schema",
                "new column (column in data but not in schema)",
            ),
            id="a column too many",
        ),
        pytest.param(
            good_rows().astype({"timestamp": str}),
            Finding("timestamp", "values must be of type INT", "expected data of type: INT but got STRING"),
            id="wrong type",
        ),
        pytest.param(
            good_rows().assign(timestamp=[[1, 2]] * 150),
            Finding(
                "timestamp",
                "every row must hold exactly one value",
                "the feature has fixed value length 2 but it's not compatible with the specified shape",
            ),
            id="two values in a row",
        ),
        pytest.param(
            good_rows().head(9),
            Finding(
                "all rows",
                "there must be at least 100 rows",
                "the dataset has 9 examples, which is fewer than expected",
            ),
            id="too few rows",
        ),
        pytest.param(
            good_rows().head(0), Finding("all rows", "there must be data", "no rows at all"), id="no rows"
        ),
    ],
)
def test_each_planted_fault_is_named_with_its_rule(rows: pd.DataFrame, finding: Finding) -> None:
    assert findings(validated(rows)) == [finding]


@pytest.mark.parametrize(
    ("severity", "rules"), [("WARNING", []), ("ERROR", ["it must be as the schema has it"])]
)
def test_an_anomaly_of_another_kind_stops_unless_it_is_a_warning(severity: str, rules: list[str]) -> None:
    """Planted, as TFDV writes it for a check of one's own, which not every TFDV takes."""
    anomalies = validated(good_rows())
    info = f'severity: {severity} reason {{ type: UNKNOWN_TYPE description: "mean above 4" }}'
    anomalies.anomaly_info["user_rating"].CopyFrom(text_format.Parse(info, anomalies_pb2.AnomalyInfo()))
    assert [finding.rule for finding in findings(anomalies)] == rules


def test_every_finding_of_every_split_is_in_one_text() -> None:
    two = with_rows("user_gender", ["X"])
    two.loc[3, "user_rating"] = 0.0
    text = describe(
        {
            ("ratings", "train"): validated(good_rows()),
            ("ratings", "eval"): validated(two),
            ("catalogue", "catalogue"): validated(good_rows().drop(columns="movie_title")),
        }
    )
    assert text.splitlines() == [
        "The data does not agree with its schema, so nothing is trained on it:",
        "  ratings, split eval, user_gender: values must be one of F, M; "
        "found: examples contain values missing from the schema: X (<1%).",
        "  ratings, split eval, user_rating: values must be at least 0.5 and at most 5; "
        "found: unexpectedly low values: 0<0.5.",
        "  catalogue, split catalogue, movie_title: 95.0% of the rows must have it; "
        "found: column is completely missing.",
        "Correct the data or, where it is right, change the schema in pipeline/schema; then run again.",
    ]
