"""Messages for anomalies of TensorFlow Data Validation.

Pure: protos in, text out. Called by the gate's executor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

_Info = anomalies_pb2.AnomalyInfo
_WHOLE_SPLIT = "all rows"

_OUT_OF_RANGE = (
    _Info.FLOAT_TYPE_BIG_FLOAT,
    _Info.FLOAT_TYPE_SMALL_FLOAT,
    _Info.INT_TYPE_BIG_INT,
    _Info.INT_TYPE_SMALL_INT,
)
_ABSENT = (
    _Info.SCHEMA_MISSING_COLUMN,
    _Info.FEATURE_TYPE_LOW_FRACTION_PRESENT,
    _Info.FEATURE_TYPE_LOW_NUMBER_PRESENT,
    _Info.FEATURE_TYPE_NOT_PRESENT,
)


class AnomalyError(ValueError):
    """Data that does not agree with its schema."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One way in which a split does not agree with its schema.

    Attributes:
      feature: name of the feature, or `all rows` if the finding is about the whole split.
      rule: what must hold.
      found: what the data has instead.
    """

    feature: str
    rule: str
    found: str


def describe(anomalies: Mapping[tuple[str, str], anomalies_pb2.Anomalies]) -> str:
    """Put every finding on a line of its own, with what to do at the end.

    Args:
      anomalies: of ExampleValidator, by dataset and split.
    Returns:
      The text, or an empty string if all data agrees with its schema.
    """
    lines = [
        f"  {dataset}, split {split}, {finding.feature}: {finding.rule}; found: {finding.found}."
        for (dataset, split), found in anomalies.items()
        for finding in findings(found)
    ]
    if not lines:
        return ""
    return "\n".join(
        [
            "The data does not agree with its schema, so nothing is trained on it:",
            *lines,
            "Correct the data or, where it is right, change the schema in pipeline/schema; then run again.",
        ]
    )


def describe_drift(anomalies: anomalies_pb2.Anomalies) -> str:
    """Put every feature that is too far from where it was on a line of its own, with what to do at the end.

    Args:
      anomalies: what DistributionValidator found between the newest span and the window before it.
    Returns:
      The text, or an empty string where none is.
    """
    listed = findings(anomalies)
    if not listed:
        return ""
    return "\n".join(
        [
            "The newest span is not like the window before it:",
            *(f"  {finding.feature}: {finding.found}." for finding in listed),
            "See whether its rows are right; if they are, raise drift.bounds, or set drift.action to warn.",
        ]
    )


def findings(anomalies: anomalies_pb2.Anomalies) -> list[Finding]:
    """List what an Anomalies proto holds against a split, by feature name.

    Warnings are left out: a severity is a warning only where the schema says that it does not stop a run.
    An empty split is a finding, although ExampleValidator lists nothing for it.
    """
    if anomalies.data_missing:
        return [Finding(_WHOLE_SPLIT, "there must be data", "no rows at all")]
    schema = anomalies.baseline
    features = {feature.name: feature for feature in schema.feature}
    listed: list[Finding] = []
    for name, info in sorted(anomalies.anomaly_info.items()):
        feature = features.get(name, schema_pb2.Feature(name=name))
        listed += [Finding(name, _rule(kind, feature, schema), found) for kind, found in _reasons(info)]
    of_split = _reasons(anomalies.dataset_anomaly_info)
    rules = schema.dataset_constraints
    return listed + [Finding(_WHOLE_SPLIT, _dataset_rule(kind, rules), found) for kind, found in of_split]


def _reasons(info: anomalies_pb2.AnomalyInfo) -> list[tuple[int, str]]:
    """List kind and description of each reason of an anomaly that stops a run."""
    if info.severity == _Info.WARNING:
        return []
    tidy = [
        (reason.type, reason.description.replace("(upto six significant digits)", "").strip().rstrip("."))
        for reason in info.reason
    ]
    return [(kind, found[:1].lower() + found[1:]) for kind, found in tidy]


def _rule(kind: int, feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> str:
    """Say what the schema requires of a feature with an anomaly of this kind."""
    if kind in _OUT_OF_RANGE:
        return _range_rule(feature)
    if kind == _Info.ENUM_TYPE_UNEXPECTED_STRING_VALUES:
        return f"values must be one of {', '.join(_domain(feature, schema))}"
    if kind in _ABSENT:
        share = feature.presence.min_fraction
        return "every row must have it" if share in (0, 1) else f"{share:.1%} of the rows must have it"
    if kind == _Info.SCHEMA_NEW_COLUMN:
        return "every feature must be named in the schema"
    if kind == _Info.UNEXPECTED_DATA_TYPE:
        return f"values must be of type {schema_pb2.FeatureType.Name(feature.type)}"
    if kind == _Info.INVALID_FEATURE_SHAPE:
        return f"every row must hold {_shape(feature)}"
    return "it must be as the schema has it"


def _range_rule(feature: schema_pb2.Feature) -> str:
    domain = feature.float_domain if feature.HasField("float_domain") else feature.int_domain
    bounds = []
    if domain.HasField("min"):
        bounds.append(f"at least {domain.min:.12g}")
    if domain.HasField("max"):
        bounds.append(f"at most {domain.max:.12g}")
    return f"values must be {' and '.join(bounds)}"


def _domain(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> list[str]:
    if feature.HasField("string_domain"):
        return list(feature.string_domain.value)
    return [
        value for domain in schema.string_domain if domain.name == feature.domain for value in domain.value
    ]


def _shape(feature: schema_pb2.Feature) -> str:
    sizes = [str(dim.size) for dim in feature.shape.dim]
    if sizes in ([], ["1"]):
        return "exactly one value"
    return f"values of shape [{', '.join(sizes)}]"


def _dataset_rule(kind: int, constraints: schema_pb2.DatasetConstraints) -> str:
    if kind == _Info.DATASET_LOW_NUM_EXAMPLES and constraints.min_examples_count:
        return f"there must be at least {constraints.min_examples_count} rows"
    if kind == _Info.DATASET_HIGH_NUM_EXAMPLES and constraints.max_examples_count:
        return f"there must be at most {constraints.max_examples_count} rows"
    return "the number of rows must be as the schema has it"
