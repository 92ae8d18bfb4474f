"""The pipeline's own data preparation on each of Beam's local runners, and what tells their outputs apart."""

from __future__ import annotations

import pathlib

import ml_metadata as mlmd
import pytest
import tensorflow as tf
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import RunOptions

from benchmarks import beam_paths
from pipeline import config
from pipeline.pipeline import create_pipeline
from runners import record
from tests.kubeflow import planted_release

STEPS = ("MovieLensExampleGen", "Transform")
# Of several processes that wait for each other the others would wait for ever where one step fails.
PROCESS = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]

Digests = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """Run the pipeline up to Transform, and then a step alone on what that first run left of the others."""
    folder = tmp_path_factory.mktemp("beam_paths")
    data = planted_release.write(folder / "data")
    connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite"))

    def run(beam: list[str], only: str | None = None) -> Digests:
        pipeline = create_pipeline(
            config=config.default(),
            data_root=str(data),
            pipeline_root=str(folder / "root"),
            push_destination=str(folder / "pushed"),
            metadata_connection_config=connection,
            beam_pipeline_args=beam,
        )
        pipeline.enable_cache = False
        store = mlmd.MetadataStore(connection)
        options = RunOptions(to_nodes=["Transform"])
        if only:
            first = min(store.get_contexts_by_type("pipeline_run"), key=lambda run: run.id).name
            options = RunOptions(from_nodes=[only], to_nodes=[only], base_pipeline_run_id=first)
        LocalDagRunner().run(pipeline, run_options=options)
        return beam_paths.digests(
            [
                {"step": step.node_id, "outputs": {output.key: output.uri for output in step.outputs}}
                for step in record.latest_run(store)
                if step.node_id in STEPS and step.state == "run"
            ]
        )

    return run


@pytest.fixture(scope="module")
def in_memory(run) -> Digests:
    return run(["--direct_running_mode=in_memory"])


@pytest.mark.parametrize("path", ["processes", "job service"])
def test_every_runner_makes_the_same_of_the_same_data(
    run, in_memory: Digests, path: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(pathlib.Path(beam_paths.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", root)  # Workers that Beam starts are to find the project.
    with beam_paths.job_service(tmp_path / "service") as port:
        beam = PROCESS if path == "processes" else beam_paths.paths(port)["job service"]
        received = run(beam, STEPS[0]) | run(beam, STEPS[1])
    assert {step for step, _ in received} == set(STEPS)
    assert received == in_memory


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
