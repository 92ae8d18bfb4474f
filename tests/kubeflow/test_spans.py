"""The compiled ExampleGen on spans, one of which is missing: its driver and its executor as processes."""

from __future__ import annotations

import copy
import pathlib
import shutil

import pytest
import tensorflow as tf

from components.movielens_example_gen.config import DataConfig
from pipeline import config as configuration
from retraining.cut import cut
from runners.kubeflow import compiling
from runners.kubeflow.settings import Settings
from tests.helpers import planted_release
from tests.helpers.processes.warm_python import launch
from tests.kubeflow.stand_ins import dockerfile
from tests.kubeflow.stand_ins.spec_executor import Service, Step

pytestmark = pytest.mark.slow("runs containers in processes that import TFX")

STEP = "movie-lens-example-gen"
MISSING = 3


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("spans")
    release = planted_release.write(folder / "release")
    assert cut(release, DataConfig(), folder / "spans", days=7).spans == 5
    shutil.rmtree(folder / "spans" / f"span-{MISSING}")
    return folder / "spans"


@pytest.fixture(scope="module")
def service() -> Service:
    image = dockerfile.stages((dockerfile.ROOT / "Dockerfile").read_text())["steps"].environment()
    environment = {"TF_USE_LEGACY_KERAS": image["TF_USE_LEGACY_KERAS"], "PYTHONPATH": str(dockerfile.ROOT)}
    return Service(environment, launch=launch)


def execute(service: Service, spans: pathlib.Path, root: pathlib.Path, gaps: str, **parameters: int) -> Step:
    config = configuration.with_changes(configuration.retraining(), {"data": {"spans": {"gaps": gaps}}})
    settings = Settings(image="i", pipeline_root="gs://b", data_root=str(spans), push_destination="absent")
    settings = settings.model_copy(update={"pipeline_root": str(root)})
    job, _ = compiling.compile_job(config, settings, root / "job.json")
    job = copy.deepcopy(job)
    dag = job["pipelineSpec"]["root"]["dag"]
    dag["tasks"] = {STEP: dag["tasks"][STEP]}
    (step,) = service.run(job, "run", parameters)
    return step


def counts(root: pathlib.Path) -> dict[str, int]:
    """Count the Examples of each split."""
    found = {}
    for split in ("train", "eval"):
        files = [str(path) for path in root.glob(f"**/{STEP}_*/examples/Split-{split}/*.gz")]
        found[split] = sum(1 for _ in tf.data.TFRecordDataset(files, "GZIP"))
    return found


def rows(spans: pathlib.Path, *numbers: int) -> int:
    return sum(len((spans / f"span-{n}" / "u.data").read_bytes().splitlines()) for n in numbers)


@pytest.mark.parametrize(("window", "train"), [(0, (1, 2, 4)), (2, (4,))])
def test_the_window_is_chosen_inside_the_container(
    service: Service, spans: pathlib.Path, tmp_path: pathlib.Path, window: int, train: tuple[int, ...]
) -> None:
    step = execute(service, spans, tmp_path, "warn", window=window)
    assert step.log
    assert (step.state, step.exit_codes) == ("run", (0, 0)), step.log.read_text()[-2000:]
    assert counts(tmp_path) == {"train": rows(spans, *train), "eval": rows(spans, 5)}


def test_a_missing_span_stops_the_run_with_a_message(
    service: Service, spans: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    step = execute(service, spans, tmp_path, "stop")
    assert step.log and step.state == "failed"
    assert f"Spans 1 to 5 must be there without a gap; missing: {MISSING}." in step.log.read_text()
    assert counts(tmp_path) == {"train": 0, "eval": 0}
