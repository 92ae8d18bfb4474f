"""The compiled job executed: every container, drivers included, by the command and arguments that it says."""

from __future__ import annotations

import dataclasses
import html
import json
import pathlib

import pytest

from pipeline import config as configuration
from runners.kubeflow import compiling
from runners.kubeflow.settings import Settings
from serving import manifest
from tests.helpers import planted_release
from tests.helpers.beam import eager
from tests.helpers.planted_pipeline import PlantedPipeline
from tests.helpers.processes.warm_python import launch
from tests.kubeflow import bundles
from tests.kubeflow.stand_ins import dockerfile
from tests.kubeflow.stand_ins.spec_executor import Service, Step

pytestmark = pytest.mark.e2e

EPOCHS = {f"{name}_epochs": 1 for name in ("retrieval", "ranking", "multitask")}


@dataclasses.dataclass
class Executed:
    """Two runs of one job.

    Attributes:
      root: folder of artifacts and bundles; first, second: their steps by name.
    """

    root: pathlib.Path
    job: dict
    first: dict[str, Step]
    second: dict[str, Step]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    root = tmp_path_factory.mktemp("executed")
    # Tuner.blend trains as configured. Trainers train as the job's parameters say: of multitask they differ.
    config = configuration.with_changes(
        planted_release.config(epochs=1), {"models": {"multitask": {"epochs": 4}}}
    )
    settings = Settings.model_construct(
        **{
            **Settings(
                image="i", pipeline_root="gs://b", data_root="absent", push_destination=str(root / "pushed")
            ).model_dump(),
            "pipeline_root": str(root / "root"),
            "beam_pipeline_args": eager.FLAGS,
        }
    )
    job, _ = compiling.compile_job(config, settings, root / "job.json")
    image = dockerfile.stages((dockerfile.ROOT / "Dockerfile").read_text())["steps"].environment()
    environment = {"TF_USE_LEGACY_KERAS": image["TF_USE_LEGACY_KERAS"], "PYTHONPATH": str(dockerfile.ROOT)}
    service = Service(environment, workers=2, launch=launch)
    data = planted_release.write(root / "data")
    runs = [
        {step.name: step for step in service.run(job, name, {"data_root": str(data), **EPOCHS})}
        for name in ("first", "second")
    ]
    return Executed(root, job, *runs)


def failures(steps: dict[str, Step]) -> str:
    return "\n".join(
        f"{step.name} {step.state} {step.exit_codes}: {step.log.read_text()[-3000:]}"
        for step in steps.values()
        if step.state == "failed" and step.log
    )


def test_every_container_of_the_job_ends_well_and_a_bundle_is_pushed(executed: Executed) -> None:
    assert not failures(executed.first)
    tasks = executed.job["pipelineSpec"]["root"]["dag"]["tasks"]
    assert set(executed.first) == set(tasks)
    assert {step.state for step in executed.first.values()} == {"run"}
    assert executed.first["movie-lens-example-gen"].exit_codes == (0, 0), "the driver, then the executor"
    bundle = executed.root / "pushed" / "current"
    assert bundle.resolve().name == "1"
    manifest.verify(str(bundle))


def test_the_bundle_answers_as_that_of_a_local_run_does(
    executed: Executed, planted_pipeline: PlantedPipeline
) -> None:
    users = [str(user).encode() for user in range(1, planted_release.USERS + 1)]
    received = bundles.difference(
        executed.root / "pushed" / "current", planted_pipeline.pushed / "current", users
    )
    assert received.titles == 0
    assert received.stars < 1e-5


def test_the_run_has_a_page_at_its_artifacts_uri(executed: Executed) -> None:
    (path,) = (executed.root / "root").glob("*/first/run-report_*/page")
    text = html.unescape(path.read_text())
    metrics = manifest.read(str(executed.root / "pushed" / "current"))["metrics"]
    assert "Run first</h1>" in text and "✓ Version 1 is pushed.</span>" in text
    assert metrics["served_list_in_words"] in text
    assert text.count("✓ blessed") == 3 and text.count("Version 1, served now") >= 2
    assert "loss of retrieval by epoch" in text and "Terms in the vocabularies" in text
    # The platform shows the steps and lists the runs.
    assert "All runs" not in text and 'id="steps"' not in text


def test_the_run_trained_for_as_long_as_its_parameters_said(executed: Executed) -> None:
    log = executed.first["trainer-multitask"].log
    assert log and "'epochs': 1" in log.read_text()


def test_the_same_run_again_computes_only_what_depends_on_more_than_its_inputs(executed: Executed) -> None:
    assert not failures(executed.second)
    ran = {name for name, step in executed.second.items() if step.state == "run"}
    champions = {"champion-retrieval", "champion-ranking", "champion-multitask"}
    assert ran == champions | {"index-pusher", "run-report"}
    assert executed.second["movie-lens-example-gen"].exit_codes == (0,), (
        "the driver, whose fingerprint is the same"
    )
    versions = [path.name for path in (executed.root / "pushed" / "bundles").iterdir() if path.name.isdigit()]
    assert versions == ["1"]


def test_each_model_has_a_verdict_of_its_own(executed: Executed) -> None:
    folders = executed.root / "root" / "verdicts"
    for model in ("retrieval", "ranking", "multitask"):
        (verdict,) = folders.glob(f"*/{model}/*.json")
        fields = json.loads(verdict.read_text())
        assert fields["blessed"] and f"/trainer-{model}_" in fields["model_uri"]
