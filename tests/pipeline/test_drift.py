"""The newest span against the window before it: real statistics, the validator as wired, and the gate."""

from __future__ import annotations

import json
import logging
import pathlib

import pandas as pd
import pydantic
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.components.distribution_validator.executor import Executor as DistributionValidator
from tfx.types import standard_artifacts

from common.progress import progress
from components.anomaly_gate import executor
from components.anomaly_gate.executor import Executor as AnomalyGate
from components.anomaly_gate.report import AnomalyError
from pipeline import config
from pipeline.drift import DriftConfig
from runners.reporting import report
from runners.running.record import Artifact, Step
from tests.pipeline import dag

BOUNDS = {"user_rating": 0.1, "user_gender": 0.2, "user_age": 0.3}


def rows(women: int, rating: float) -> pd.DataFrame:
    """A hundred rows, some of women, rated alike but for every tenth."""
    return pd.DataFrame(
        {
            "user_gender": ["F"] * women + ["M"] * (100 - women),
            "user_rating": ([rating] * 9 + [3.0]) * 10,
            "user_age": list(range(100)),
        }
    )


@pytest.fixture(scope="module")
def statistics() -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    kinds = {"window": rows(30, 4.0), "alike": rows(35, 4.0), "moved": rows(70, 1.0)}
    return {name: tfdv.generate_statistics_from_dataframe(frame) for name, frame in kinds.items()}


def compare(statistics, newest: str, folder: pathlib.Path) -> standard_artifacts.ExampleAnomalies:
    """Run DistributionValidator with the parameters that the wiring gives it."""
    wired = config.retraining().model_copy(update={"drift": DriftConfig(bounds=BOUNDS)})
    [node] = [n for n in dag.create(wired).components if n.id == "DistributionValidator"]
    read = standard_artifacts.ExampleStatistics()
    read.uri, read.split_names = str(folder / "statistics"), json.dumps(["train", "eval"])
    for split, name in (("train", "window"), ("eval", newest)):
        path = folder / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(statistics[name].SerializeToString())
    found = standard_artifacts.ExampleAnomalies()
    found.uri = str(folder / "anomalies")
    DistributionValidator().Do(
        {"statistics": [read], "baseline_statistics": [read]}, {"anomalies": [found]}, node.exec_properties
    )
    return found


def gate(drift: standard_artifacts.ExampleAnomalies, action: str, folder: pathlib.Path) -> None:
    """Run AnomalyGate on data that agrees with its schema."""
    fine = standard_artifacts.ExampleAnomalies()
    fine.uri, fine.split_names = str(folder / "fine"), json.dumps(["train"])
    path = folder / "fine" / "Split-train" / "SchemaDiff.pb"
    path.parent.mkdir(parents=True)
    path.write_bytes(anomalies_pb2.Anomalies().SerializeToString())
    inputs = {executor.RATINGS_KEY: [fine], executor.CATALOGUE_KEY: [fine], executor.DRIFT_KEY: [drift]}
    AnomalyGate().Do(inputs, {}, {executor.ON_DRIFT: action})


def test_a_span_with_drift_stops_the_run_or_gives_a_warning(statistics, tmp_path, caplog) -> None:
    drift = compare(statistics, "moved", tmp_path)
    with pytest.raises(AnomalyError, match="not like the window before it") as error:
        gate(drift, "stop", tmp_path / "stop")
    named = [line.split(":")[0].strip() for line in str(error.value).splitlines() if line.startswith("  ")]
    assert named == ["user_gender", "user_rating"]
    assert "drift.bounds" in str(error.value)
    caplog.set_level(logging.INFO, progress.name)
    gate(drift, "warn", tmp_path / "warn")
    assert "user_gender" in caplog.text and "user_age" not in caplog.text


def test_a_span_like_the_window_passes_in_silence(statistics, tmp_path, caplog) -> None:
    gate(compare(statistics, "alike", tmp_path), "stop", tmp_path / "gate")
    assert not caplog.text


def test_a_report_has_every_distance_and_its_bound(statistics, tmp_path) -> None:
    artifact = compare(statistics, "moved", tmp_path)
    step = Step("D", "DistributionValidator", "run", 1.0, (Artifact(1, "anomalies", artifact.uri, {}),))
    read = report.read_drift(step)
    assert {name: bound for name, (_, bound) in read.items()} == BOUNDS
    # 30 of 100 are women, then 70: both shares differ by 0.4.
    assert read["user_gender"][0] == pytest.approx(0.4)
    assert read["user_rating"][0] > 0.5
    assert read["user_age"][0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"timestamp": 0.1}, "received timestamp"),
        ({"user_age": 1.5}, "received user_age"),
        ({}, "received none"),
    ],
)
def test_bounds_of_what_cannot_be_compared_are_rejected(bounds: dict, words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        DriftConfig(bounds=bounds)


def test_without_spans_there_is_nothing_to_compare() -> None:
    with pytest.raises(pydantic.ValidationError, match="needs data.split.method span; received hash"):
        config.Config.model_validate({**config.default().model_dump(), "drift": {}})
