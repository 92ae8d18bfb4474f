"""Each step that is made of Beam on each of its local runners, and what tells their outputs apart."""

from __future__ import annotations

import contextlib
import pathlib

import pandas
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma

from benchmarks.runners import beam_paths
from common import parquet
from components.batch_recommender import answers
from modules import features
from tests.helpers import planted_release
from tests.helpers.beam import eager
from tests.helpers.planted_pipeline import PlantedPipeline, Uris

PREPARATION = ("MovieLensExampleGen", "StatisticsGen.ratings", "Transform")
CONSUMERS = ("Evaluator.multitask", "BatchRecommender")
# Of several processes that wait for each other the others would wait for ever where one step fails.
PROCESS = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]


@pytest.fixture(scope="module", params=["processes", "job service", "lists"])
def other(planted_pipeline: PlantedPipeline, request, tmp_path_factory: pytest.TempPathFactory) -> Uris:
    """What the same steps make of the same inputs on another runner, or on lists, as in other tests."""
    root = str(pathlib.Path(beam_paths.__file__).parents[1])
    made: Uris = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PYTHONPATH", root)  # Of Beam's workers.
        if request.param == "job service":
            port = stack.enter_context(beam_paths.job_service(tmp_path_factory.mktemp("service")))
            beam = beam_paths.paths(port)["job service"]
        else:
            beam = PROCESS if request.param == "processes" else list(eager.FLAGS)
        for step in (*PREPARATION, *CONSUMERS):
            made |= planted_pipeline.again(step, beam)
    return made


@pytest.fixture(scope="module")
def expected(planted_pipeline: PlantedPipeline) -> dict[tuple[str, str], str]:
    """Digests of what the run itself made."""
    return digests(planted_pipeline.uris)


def digests(uris: Uris) -> dict[tuple[str, str], str]:
    return {
        artifact: beam_paths.digest(pathlib.Path(uri))
        for artifact, uri in uris.items()
        if artifact[0] in PREPARATION
    }


@pytest.mark.e2e
def test_every_runner_makes_the_same_of_the_same_data(
    planted_pipeline: PlantedPipeline, other: Uris, expected: dict[tuple[str, str], str]
) -> None:
    received = digests(other)
    assert {step for step, _ in received} == set(PREPARATION)
    assert received == expected
    artifact = ("StatisticsGen.ratings", "statistics")
    moments, of_first = _moments(other[artifact]), _moments(planted_pipeline.uris[artifact])
    assert moments.keys() == of_first.keys() and any(moments.values())
    for feature, values in of_first.items():
        assert moments[feature] == pytest.approx(values, rel=1e-9), feature


def test_a_cluster_is_compared_with_the_in_memory_runner(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {}

    def run(
        data: pathlib.Path, root: pathlib.Path, until: str, config: pathlib.Path, beam: list[str]
    ) -> list:
        flags[root.name] = beam
        root.mkdir()
        (root / "rows").write_text("the cluster's" if root.name == "job-service" else "the same")
        return [{"step": until, "outputs": {"examples": str(root)}}]

    monkeypatch.setattr(beam_paths, "run", run)
    monkeypatch.setattr(beam_paths.fetch, "resolve_data", lambda *_: tmp_path)
    pool = ["--job-endpoint=head:8099", "--environment-type=EXTERNAL", "--environment-config=head:50000"]
    assert beam_paths.main([*pool, f"--root={tmp_path / 'shared'}"]) == 1
    assert "no" in capsys.readouterr().out.split()
    portable = ["--runner=PortableRunner", "--job_endpoint=head:8099"]
    assert flags == {
        "in-memory": ["--direct_running_mode=in_memory"],
        "job-service": [
            *(*portable, "--environment_type=EXTERNAL", "--environment_config=head:50000"),
            "--job_server_timeout=7200",
        ],
    }


@pytest.mark.parametrize("flag", ["--environment-type", "--environment-config"])
def test_workers_without_the_service_that_they_are_of_are_rejected(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        beam_paths.main([flag, "EXTERNAL"])
    assert f"{flag} is of the workers of a --job-endpoint; name that too" in capsys.readouterr().err


def test_a_run_that_fails_ends_in_what_it_said(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        beam_paths.partial, "command", lambda *_: ["sh", "-c", "echo No worker came >&2; exit 1"]
    )
    monkeypatch.setattr(beam_paths.fetch, "resolve_data", lambda *_: tmp_path)
    root = tmp_path / "shared"
    assert beam_paths.main(["--job-endpoint=head:8099", f"--root={root}"]) == 2
    said = "error: the run below in-memory must succeed; its log ends: No worker came\n"
    assert capsys.readouterr().err == said


def _moments(uri: str) -> dict[tuple, tuple[float, float]]:
    """Mean and standard deviation of each number, by split and feature."""
    return {
        (split, *feature.path.step): (feature.num_stats.mean, feature.num_stats.std_dev)
        for split in (features.TRAIN_SPLIT, features.EVAL_SPLIT)
        for feature in tfdv.load_stats_binary(f"{uri}/Split-{split}/FeatureStats.pb").datasets[0].features
        if feature.HasField("num_stats")
    }


@pytest.mark.e2e
def test_every_runner_measures_a_model_alike(planted_pipeline: PlantedPipeline, other: Uris) -> None:
    evaluator = CONSUMERS[0]
    received, expected = (_metrics(uris[evaluator, "evaluation"]) for uris in (other, planted_pipeline.uris))
    assert received.keys() == expected.keys()
    assert {"rmse", "top_100_categorical_accuracy"} <= {name for _, name in received}
    for metric, value in expected.items():
        assert received[metric] == pytest.approx(value, rel=1e-6, nan_ok=True), metric
    (verdict,), (first,) = (
        [path.name for path in pathlib.Path(uris[evaluator, "blessing"]).iterdir()]
        for uris in (other, planted_pipeline.uris)
    )
    assert verdict == first == "BLESSED"


@pytest.mark.e2e
def test_every_runner_recommends_the_same(planted_pipeline: PlantedPipeline, other: Uris) -> None:
    received, expected = (
        _recommended(uris[CONSUMERS[1], "recommendations"]) for uris in (other, planted_pipeline.uris)
    )
    assert len(expected) == 10 * planted_release.USERS
    pandas.testing.assert_frame_equal(received, expected, rtol=1e-6)


def _metrics(folder: str) -> dict[tuple[str, str], float]:
    """Read the numbers by slice and name."""
    found = {}
    for key, by_output in tfma.load_eval_result(folder).slicing_metrics:
        for name, value in by_output[""][""].items():
            if "doubleValue" in value:
                found[str(key), name] = value["doubleValue"]
    return found


def _recommended(folder: str) -> pandas.DataFrame:
    tables = [parquet.read_table(path) for path in pathlib.Path(folder).glob("*.parquet")]
    rows = pandas.concat([table.to_pandas() for table in tables])
    return rows.sort_values([features.USER_ID, answers.RANK], ignore_index=True)


def _write(folder: pathlib.Path, files: dict[str, list[dict[str, list[int]]]]) -> pathlib.Path:
    folder.mkdir()
    for name, rows in files.items():
        with tf.io.TFRecordWriter(str(folder / f"{name}.gz"), "GZIP") as writer:
            for row in rows:
                features = {
                    key: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                    for key, value in row.items()
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    return folder


def test_a_digest_is_of_what_records_say_not_of_how_they_are_cut_and_ordered(tmp_path: pathlib.Path) -> None:
    one, two = {"a": [1], "b": [2, 3]}, {"a": [4], "b": []}
    whole = beam_paths.digest(_write(tmp_path / "whole", {"0": [one, two, two]}))
    turned = {key: one[key] for key in ("b", "a")}
    assert beam_paths.digest(_write(tmp_path / "cut", {"0": [two], "1": [two, turned]})) == whole
    for name, rows in (("fewer", [one, two]), ("other", [one, two, {"a": [4], "b": [0]}])):
        assert beam_paths.digest(_write(tmp_path / name, {"0": rows})) != whole
