"""What the parser accepts, the curated schema accepts: a bad row is quarantined and ends no run."""

import pathlib
import shutil

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.components.example_validator import executor as validator_executor
from tfx.components.statistics_gen import executor as statistics_executor
from tfx.types import standard_artifacts

from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.parsing import catalogue, parse, users
from modules import features
from tests.helpers.beam import eager

FOLDER = pathlib.Path(__file__).parents[3] / "pipeline" / "schema"


def _curated(name: str) -> schema_pb2.Schema:
    return text_format.Parse((FOLDER / f"{name}.pbtxt").read_text(), schema_pb2.Schema())


@pytest.mark.parametrize(
    ("schema", "feature", "first", "last"),
    [
        ("ratings", features.TIMESTAMP, 1, parse.TIMESTAMP_END - 1),
        ("ratings", features.HISTORY_TIMESTAMP, 1, parse.TIMESTAMP_END - 1),
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


def _anomalies(outcome, root: pathlib.Path) -> dict[str, set[str]]:
    """Run StatisticsGen and ExampleValidator on the ratings: features that have anomalies, by split."""
    (root / "schema").mkdir(parents=True)
    shutil.copy(FOLDER / "ratings.pbtxt", root / "schema" / "schema.pbtxt")
    artifacts = {
        "schema": standard_artifacts.Schema(),
        "statistics": standard_artifacts.ExampleStatistics(),
        "anomalies": standard_artifacts.ExampleAnomalies(),
    }
    for name, artifact in artifacts.items():
        artifact.uri = str(root / name)
    context = statistics_executor.Executor.Context(
        tmp_dir=str(root / "tmp"), unique_id="1", beam_pipeline_args=list(eager.FLAGS)
    )
    # As in pipeline.py: not of what an eval row excludes.
    described = [row.name for row in features.RATING_ROW if row.name != features.EXCLUDE_ID]
    options = tfdv.StatsOptions(feature_allowlist=described).to_json()
    properties = {"exclude_splits": "[]", "stats_options_json": options}
    inputs = {"examples": [outcome.artifacts["examples"]]}
    outputs = {name: [artifact] for name, artifact in artifacts.items()}
    statistics_executor.Executor(context).Do(inputs, outputs, properties)
    validator_executor.Executor(context).Do(outputs, outputs, properties)
    return {
        split: set(
            anomalies_pb2.Anomalies.FromString(
                (root / "anomalies" / f"Split-{split}" / validator_executor.DEFAULT_FILE_NAME).read_bytes()
            ).anomaly_info
        )
        for split in ("train", "eval")
    }


@pytest.mark.slow("runs the ExampleGen and StatisticsGen many times")
def test_no_history_is_no_anomaly_and_a_wrong_one_is(write_ml_100k, run_executor, tmp_path):
    # The rows of eval are first ratings, so that a whole column has no value.
    base = write_ml_100k(extra=b"".join(b"%d\t1\t4\t%d\n" % (user, 890_000_000) for user in range(7, 12)))
    outcome = run_executor(base, DataConfig(split=SplitConfig(method="time", eval_share=5 / 32)))
    lengths = {
        split: [len(row["history_rating"]) for row in outcome.rows[split]] for split in ("train", "eval")
    }
    assert lengths["eval"] == [0] * 5
    assert 0 in lengths["train"] and max(lengths["train"]) > 1
    assert _anomalies(outcome, tmp_path / "checked") == {"train": set(), "eval": set()}
    _spoil(outcome.folder("eval"))
    found = _anomalies(outcome, tmp_path / "checked-again")
    assert found == {"train": set(), "eval": {features.HISTORY_TITLE, features.HISTORY_RATING}}


def _spoil(folder: pathlib.Path) -> None:
    """Leave the titles out of the histories, and put six stars in."""
    (path,) = folder.iterdir()
    rows = [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
    ]
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            del row.features.feature[features.HISTORY_TITLE]
            row.features.feature[features.HISTORY_RATING].float_list.value.append(6)
            writer.write(row.SerializeToString())
