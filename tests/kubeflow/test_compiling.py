"""The compiled job: against a golden file, the specification's own protobufs, and KFP's compiler."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline import config
from pipeline.beam_flags import LOCAL_RUNNER
from runners.kubeflow import report_step
from tests.kubeflow import skeleton
from tests.kubeflow.conftest import ENVIRON, compile_with
from tests.kubeflow.stand_ins import mailing


def proto(job: dict) -> pipeline_spec_pb2.PipelineSpec:
    """Read the specification strictly: an unknown field is an error."""
    return json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())


def containers(job: dict) -> dict[str, dict]:
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"] for name, executor in executors.items()}


@pytest.mark.parametrize("preset", config.PRESETS)
def test_each_presets_job_is_that_of_its_golden_file(preset: str, tmp_path: pathlib.Path) -> None:
    job = compile_with(tmp_path / "job.json", "--preset", preset)
    received = skeleton.describe(job)
    assert received == skeleton.golden(preset).read_text(), f"where it is meant, run: {skeleton.COMMAND}"
    data = f"{ENVIRON['MARQUEE_PIPELINE_ROOT']}/data/ml-100k"
    named = config.of_data(config.PRESETS[preset](), data)
    assert proto(job).pipeline_info.name == named.pipeline_name


def test_no_preset_has_the_champions_of_another() -> None:
    assert len({preset().pipeline_name for preset in config.PRESETS.values()}) == len(config.PRESETS)


def test_only_models_that_go_through_train_in_epochs_have_epochs_to_set(tmp_path: pathlib.Path) -> None:
    def declared(head: str) -> set[str]:
        (tmp_path / "head.json").write_text(json.dumps({"models": {"ranking": {"head": head}}}))
        job = compile_with(tmp_path / "job.json", "--config", str(tmp_path / "head.json"))
        return {
            name for name in job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"] if "epochs" in name
        }

    assert declared("bayesian") == {"retrieval_epochs", "multitask_epochs"}
    assert declared("factorization") == {"retrieval_epochs", "ranking_epochs", "multitask_epochs"}


def test_the_job_is_a_specification_2_1_that_holds_together(compiled_job: dict) -> None:
    spec = proto(compiled_job)
    assert spec.schema_version == "2.1.0"
    tasks = spec.root.dag.tasks
    executors = spec.deployment_spec["executors"]
    for name, task in tasks.items():
        assert re.fullmatch("[a-z0-9-]+", name) and task.task_info.name == name
        component = spec.components[task.component_ref.name]
        assert component.executor_label in executors
        for key, source in task.inputs.artifacts.items():
            producer = source.task_output_artifact.producer_task
            outputs = spec.components[tasks[producer].component_ref.name].output_definitions
            assert source.task_output_artifact.output_artifact_key in outputs.artifacts, (name, key)
            assert producer in task.dependent_tasks
        for key, source in task.inputs.parameters.items():
            if source.HasField("task_output_parameter"):
                producer = source.task_output_parameter.producer_task
                outputs = spec.components[tasks[producer].component_ref.name].output_definitions
                assert source.task_output_parameter.output_parameter_key in outputs.parameters, (name, key)
                assert producer in task.dependent_tasks


def test_no_step_is_left_to_a_resolver(compiled_job: dict) -> None:
    assert all("container" in e for e in compiled_job["pipelineSpec"]["deploymentSpec"]["executors"].values())


def test_the_page_of_a_run_has_kfps_type_html(compiled_job: dict) -> None:
    outputs = compiled_job["pipelineSpec"]["components"]["comp-run-report"]["outputDefinitions"]
    named = {"schemaTitle": dsl.HTML.schema_title, "schemaVersion": dsl.HTML.schema_version}
    assert outputs == {"artifacts": {"page": {"artifactType": named}}}
    assert named["schemaTitle"] == "system.HTML"


def test_each_models_champion_is_its_own(compiled_job: dict) -> None:
    tasks = compiled_job["pipelineSpec"]["root"]["dag"]["tasks"]

    def folder(task: str) -> str:
        return tasks[task]["inputs"]["parameters"]["verdicts"]["runtimeValue"]["constant"]

    models = ("retrieval", "ranking", "multitask")
    assert len({folder(f"champion-{model}") for model in models}) == len(models)
    for model in models:
        assert folder(f"champion-{model}") == folder(f"evaluator-{model}")
        assert folder(f"champion-{model}").endswith(f"{config.default().pipeline_name}/{model}")


def test_pipelines_of_a_user_s_own_data_have_champions_by_their_folder_and_read_no_other(
    tmp_path: pathlib.Path,
) -> None:
    def compiled(data: str) -> tuple[str, str]:
        job = compile_with(tmp_path / "job.json", "--release", "custom", "--data", data)
        assert "data_root" not in job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
        tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
        parameters = [
            tasks[task]["inputs"]["parameters"][name]["runtimeValue"]["constant"]
            for task, name in (("movie-lens-example-gen", "input_base"), ("champion-ranking", "verdicts"))
        ]
        assert parameters[0] == data
        return parameters[0], parameters[1]

    (_, films), (_, again), (_, books) = map(compiled, ("gs://b/films", "gs://b/films/", "gs://b/books"))
    assert films == again != books


def test_a_path_of_this_machine_is_nowhere_in_the_job(compiled_job: dict) -> None:
    root = str(pathlib.Path(__file__).parents[2])
    assert root not in json.dumps(compiled_job)
    assert str(pathlib.Path.home()) not in json.dumps(compiled_job)


def test_every_setting_reaches_the_steps_that_are_meant(tmp_path: pathlib.Path) -> None:
    job = compile_with(
        tmp_path / "job.json",
        *(
            "--resources",
            "Trainer.*=cpu:8,memory:32",
            "--no-cache",
            "--retries",
            "3",
            "--label",
            "team=films",
        ),
        *("--resources", "Trainer.retrieval=accelerator:NVIDIA_TESLA_T4:2", "--data", "gs://b/films"),
    )
    proto(job)
    resources = {name: container.get("resources") for name, container in containers(job).items()}
    assert resources["trainer-ranking"] == {"cpuLimit": 8.0, "memoryLimit": 32.0}
    accelerator = {"type": "NVIDIA_TESLA_T4", "count": "2"}
    assert resources["trainer-retrieval"] == {**resources["trainer-ranking"], "accelerator": accelerator}
    assert [name for name, limits in resources.items() if limits] == sorted(
        (f"trainer-{model}" for model in ("retrieval", "ranking", "multitask")),
        key=list(resources).index,
    )
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"].values()
    assert {json.dumps(task["cachingOptions"]) for task in tasks} == {"{}"}
    assert {task["retryPolicy"]["maxRetryCount"] for task in tasks} == {3}
    assert job["labels"]["team"] == "films"
    parameters = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert parameters["data_root"]["defaultValue"] == "gs://b/films"


def test_the_first_step_may_have_resources_too(tmp_path: pathlib.Path) -> None:
    job = compile_with(tmp_path / "job.json", "--resources", "MovieLensExampleGen=memory:64")
    assert containers(job)["movie-lens-example-gen"]["resources"] == {"memoryLimit": 64.0}


def test_on_kubeflow_the_step_without_a_fingerprint_is_not_cached(tmp_path: pathlib.Path) -> None:
    job = compile_with(tmp_path / "job.json", "--platform", "kubeflow")
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    assert tasks["movie-lens-example-gen"]["cachingOptions"] == {}
    assert tasks["transform"]["cachingOptions"] == {"enableCache": True}


def test_tuned_runs_have_no_epochs_to_set(tmp_path: pathlib.Path) -> None:
    job = compile_with(tmp_path / "job.json", "--tune")
    assert sorted(job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]) == [
        "data_root",
        "push_destination",
    ]
    assert "tuner-ranking" in job["pipelineSpec"]["root"]["dag"]["tasks"]
    proto(job)


def test_with_spans_a_run_may_set_the_window(tmp_path: pathlib.Path) -> None:
    (tmp_path / "spans.json").write_text('{"data": {"spans": {"window": 12}, "split": {"method": "span"}}}')
    job = compile_with(tmp_path / "job.json", "--config", str(tmp_path / "spans.json"))
    assert job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]["window"]["defaultValue"] == 0
    first = job["pipelineSpec"]["root"]["dag"]["tasks"]["movie-lens-example-gen"]
    assert first["inputs"]["parameters"]["window"] == {"componentInputParameter": "window"}
    proto(job)


def test_without_dataflow_beams_steps_name_the_runner_in_their_own_process(tmp_path: pathlib.Path) -> None:
    args = containers(compile_with(tmp_path / "job.json"))["transform"]["args"]
    assert [flag for flag in args if flag.startswith("--runner")] == [f"--runner={LOCAL_RUNNER}"]


def test_dataflow_runs_beams_steps_in_the_steps_own_image(tmp_path: pathlib.Path) -> None:
    job = compile_with(tmp_path / "job.json", "--dataflow", "--", "--max_num_workers=4")
    for name in ("movie-lens-example-gen", "statistics-gen-ratings", "transform", "evaluator-ranking"):
        flags = containers(job)[name]["args"]
        assert "--runner=DataflowRunner" in flags and "--max_num_workers=4" in flags
        assert f"--sdk_container_image={ENVIRON['MARQUEE_IMAGE']}" in flags
        assert "--temp_location=gs://a-bucket/marquee/dataflow" in flags
        assert "--project=a-project" in flags and "--region=europe-west4" in flags


def test_a_mail_is_sent_as_kfps_own_compiler_would_have_it_sent(tmp_path: pathlib.Path) -> None:
    spec = compile_with(tmp_path / "job.json", "--notify", "a@b.org")["pipelineSpec"]
    proto({"pipelineSpec": spec})

    compiler.Compiler().compile(mailing.pipeline, str(tmp_path / "kfp.yaml"))
    theirs = yaml.safe_load((tmp_path / "kfp.yaml").read_text())
    names = {"comp-exit-handler-1": "comp-pipeline-steps", "exit-handler-1": "pipeline-steps"}
    expected = json.loads(re.sub("|".join(names), lambda name: names[name[0]], json.dumps(theirs)))
    task = expected["root"]["dag"]["tasks"]["notification-email"]
    del task["cachingOptions"]
    assert spec["root"]["dag"]["tasks"]["notification-email"] == task
    for kind, name in (("components", "comp-notification-email"), ("executors", "exec-notification-email")):
        where = spec if kind == "components" else spec["deploymentSpec"]
        other = expected if kind == "components" else expected["deploymentSpec"]
        assert where[kind][name] == other[kind][name]
    # All run-time parameters are handed on to the steps, which are one level down now.
    inner = spec["components"]["comp-pipeline-steps"]
    assert inner["inputDefinitions"] == spec["root"]["inputDefinitions"]
    handed = spec["root"]["dag"]["tasks"]["pipeline-steps"]["inputs"]["parameters"]
    assert handed == {
        name: {"componentInputParameter": name} for name in spec["root"]["inputDefinitions"]["parameters"]
    }
    assert "transform" in inner["dag"]["tasks"]


def test_a_yaml_file_holds_the_specification_alone(compiled_job: dict, tmp_path: pathlib.Path) -> None:
    compile_with(tmp_path / "new" / "spec.yaml")
    assert yaml.safe_load((tmp_path / "new" / "spec.yaml").read_text()) == compiled_job["pipelineSpec"]


def test_a_page_that_cannot_be_made_says_why_and_fails_no_job(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = tmp_path / "page.html"
    parameters = {"sources": "{}", "push_destination": "", "pipeline": "p", "run": "r", "show_ids": 0}
    report_step.write(
        {
            "inputs": {"parameterValues": parameters, "artifacts": {"absent": {}}},
            "outputs": {"artifacts": {report_step.PAGE: {"artifacts": [{"uri": str(page)}]}}},
        }
    )
    assert "No report could be written: " in page.read_text()
    assert "KeyError: 'artifacts'" in caplog.text
