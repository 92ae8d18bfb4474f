"""Every command against services on loopback that speak the real ones' messages: requests and output."""

from __future__ import annotations

import pathlib

import grpc
import pytest
from google.cloud import aiplatform_v1 as api

import kubeflow_v2_runner
from pipeline.config import Config
from runners.kubeflow import compiling
from runners.kubeflow import kubeflow as kubeflow_module
from runners.kubeflow import vertex as vertex_module
from tests.kubeflow.conftest import ENVIRON, PROJECT, REGION, Command, compile_with
from tests.kubeflow.stand_ins import fake_kubeflow
from tests.kubeflow.stand_ins.fake_kubeflow import FakeKubeflow
from tests.kubeflow.stand_ins.fake_vertex import FakeVertex

PARENT = f"projects/{PROJECT}/locations/{REGION}"
ACCOUNT = "steps@a-project.iam.gserviceaccount.com"
CRON = ("--cron", "0 3 * * 1")
KUBEFLOW = ("--platform", "kubeflow")


def test_vertex_begins_a_run_with_its_account_and_parameters(command: Command, vertex: FakeVertex) -> None:
    said = command(
        vertex, "submit", "--run-id", "first", "--service-account", ACCOUNT, "--param", "retrieval_epochs=3"
    )
    assert (said.code, said.err) == (0, "")
    assert f"{PARENT}/pipelineJobs/first\n" in said.out
    assert f"https://console.cloud.google.com/vertex-ai/pipelines/locations/{REGION}/runs/first" in said.out
    job = vertex.jobs[f"{PARENT}/pipelineJobs/first"]
    assert job.service_account == ACCOUNT
    assert dict(job.runtime_config.parameter_values) == {"retrieval_epochs": 3}
    assert job.runtime_config.gcs_output_directory == "gs://a-bucket/marquee"


def test_vertex_begins_runs_by_the_clock_pauses_goes_on_and_deletes(
    command: Command, vertex: FakeVertex
) -> None:
    said = command(vertex, "schedule", *CRON, "--time-zone", "Europe/Berlin", "--name", "weekly")
    assert (said.code, said.err) == (0, "")
    (schedule,) = vertex.schedules.values()
    assert schedule.cron == "TZ=Europe/Berlin 0 3 * * 1"
    assert schedule.allow_queueing
    assert command(vertex, "pause", "--name", "weekly").out == "paused weekly; `resume` lets it go on\n"
    assert (
        "schedule weekly  paused  TZ=Europe/Berlin 0 3 * * 1"
        in command(vertex, "status", "--name", "weekly").out
    )
    assert command(vertex, "resume", "--name", "weekly", "--catch-up").out == "resumed weekly\n"
    assert schedule.state.name == "ACTIVE" and schedule.catch_up
    assert command(vertex, "delete", "--name", "weekly").out == "deleted weekly\n"
    assert not vertex.schedules


def test_one_schedule_drives_both_platforms(
    command: Command, vertex: FakeVertex, kubeflow: FakeKubeflow, tmp_path: pathlib.Path
) -> None:
    written = tmp_path / "schedule.json"
    written.write_text('{"cron": "30 4 * * 2", "window": 8}')
    job = compile_with(tmp_path / "job.json", "--preset", "retraining")
    for fake, flags in ((vertex, ()), (kubeflow, KUBEFLOW)):
        said = command(
            fake, "schedule", "--schedule", str(written), "--preset", "retraining", *flags, job=job
        )
        assert (said.code, said.err) == (0, "")
    (schedule,) = vertex.schedules.values()
    assert schedule.cron == "TZ=UTC 30 4 * * 2"
    parameters = schedule.create_pipeline_job_request.pipeline_job.runtime_config.parameter_values
    assert dict(parameters) == {"window": 8}
    (recurring,) = kubeflow.stored["recurringruns"]
    assert recurring["trigger"] == {"cron_schedule": {"cron": "0 30 4 * * 2"}}
    assert recurring["runtime_config"]["parameters"] == {"window": 8}
    written.write_text('{"cron": "never"}')
    said = command(vertex, "schedule", "--schedule", str(written), "--name", "other")
    assert said.code == 2 and "cron must be minute, hour" in said.err and len(said.err.splitlines()) == 1
    written.write_text('{"cron": "0 3 L * *"}')
    said = command(vertex, "schedule", "--schedule", str(written), "--name", "other")
    assert said.code == 2 and len(said.err.splitlines()) == 1
    assert said.err.startswith(f"kubeflow_v2_runner.py: {written}: cron must have no days such as the last")


def test_a_schedule_of_all_spans_reads_all_spans(
    vertex: FakeVertex, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int | None] = []

    def compile_job(config: Config, *_: object) -> tuple[dict, None]:
        assert config.data.spans
        compiled.append(config.data.spans.window)
        return job, None

    written = tmp_path / "schedule.json"
    job = compile_with(tmp_path / "job.json", "--preset", "retraining")
    monkeypatch.setattr(compiling, "compile_job", compile_job)
    for name, text in (("some", '{"window": 8}'), ("all", '{"window": null}'), ("left-out", "{}")):
        written.write_text(text)
        flags = ["--schedule", str(written), "--preset", "retraining", "--name", name]
        assert kubeflow_v2_runner.main(["schedule", *flags], ENVIRON, vertex.service) == 0
    assert compiled == [12, None, 12]
    parameters = [
        dict(schedule.create_pipeline_job_request.pipeline_job.runtime_config.parameter_values or {})
        for schedule in vertex.schedules.values()
    ]
    assert parameters == [{"window": 8}, {}, {}]


def test_vertex_shows_runs_and_why_one_failed(command: Command, vertex: FakeVertex) -> None:
    assert command(vertex, "status").out.endswith("has no runs and no schedule here\n")
    command(vertex, "submit", "--run-id", "first")
    command(vertex, "submit", "--run-id", "second")
    job = vertex.jobs[f"{PARENT}/pipelineJobs/second"]
    job.state = api.PipelineState(api.PipelineState.PIPELINE_STATE_FAILED)
    job.job_detail.task_details.append(
        api.PipelineTaskDetail(task_name="transform", error={"message": "out of\nmemory."})
    )
    assert command(vertex, "status").out.splitlines() == [
        "run second  failed    transform: out of memory",
        "run first  pending",
    ]


VERTEX_FAULTS = {
    grpc.StatusCode.PERMISSION_DENIED: (
        "Permission 'aiplatform.pipelineJobs.create' denied",
        "roles/aiplatform.user",
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("Quota exceeded for custom_model_training_cpus", "higher quota"),
    grpc.StatusCode.UNAUTHENTICATED: ("Request had invalid authentication credentials.", "gcloud auth"),
    grpc.StatusCode.INVALID_ARGUMENT: ("Machine type is not supported.", "Correct what it names"),
}


@pytest.mark.parametrize("status", VERTEX_FAULTS, ids=lambda status: status.name)
@pytest.mark.parametrize(
    "arguments", [("submit",), ("schedule", *CRON), ("status",), ("pause",), ("delete",)]
)
def test_what_vertex_rejects_is_one_line_with_a_remedy(
    command: Command, vertex: FakeVertex, status: grpc.StatusCode, arguments: tuple[str, ...]
) -> None:
    message, remedy = VERTEX_FAULTS[status]
    vertex.fault = (status, message)
    said = command(vertex, *arguments)
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert line.startswith("kubeflow_v2_runner.py: Vertex AI must ")
    assert message.rstrip(".") in line and remedy in line


@pytest.mark.parametrize("arguments", [("submit",), ("schedule", *CRON), ("status",)])
def test_a_vertex_that_does_not_answer_is_given_up(
    command: Command, vertex: FakeVertex, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertex_module, "_TIMEOUT", 0.2)
    vertex.delay = 3.0
    said = command(vertex, *arguments)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert "DeadlineExceeded" in line and "see `status` before you repeat the command" in line


def test_a_reading_call_is_tried_again_while_vertex_is_away(
    command: Command, vertex: FakeVertex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertex_module, "_AGAIN", vertex_module._AGAIN.with_timeout(0.1))
    vertex.fault = (grpc.StatusCode.UNAVAILABLE, "The service is away.")
    said = command(vertex, "status")
    assert said.code == 1 and "Try again later" in said.err and len(said.err.splitlines()) == 1


def test_a_name_that_vertex_has_is_not_taken_twice(command: Command, vertex: FakeVertex) -> None:
    command(vertex, "submit", "--run-id", "first")
    said = command(vertex, "submit", "--run-id", "first")
    assert said.code == 1
    assert "AlreadyExists" in said.err and said.err.endswith("Choose another --run-id.\n")
    command(vertex, "schedule", *CRON)
    said = command(vertex, "schedule", *CRON)
    assert said.code == 1
    assert "A schedule's name must be new" in said.err and len(vertex.schedules) == 1


def test_a_schedule_that_is_not_there_cannot_be_paused(command: Command, vertex: FakeVertex) -> None:
    said = command(vertex, "pause", "--name", "nightly")
    assert said.code == 1
    assert f"One schedule of {PARENT} must be named nightly; 0 are." in said.err


def test_status_changes_nothing_on_kubeflow(command: Command, kubeflow: FakeKubeflow) -> None:
    assert command(kubeflow, "status", *KUBEFLOW).out.endswith("has no runs and no schedule here\n")
    assert not kubeflow.stored["experiments"]


def test_kubeflow_begins_a_run_in_the_pipelines_experiment(
    command: Command, kubeflow: FakeKubeflow, compiled_job: dict
) -> None:
    for run_id in ("first", "second"):
        said = command(kubeflow, "submit", *KUBEFLOW, "--run-id", run_id, "--param", "data_root=gs://b/new")
        assert (said.code, said.err) == (0, "")
    (experiment,) = kubeflow.stored["experiments"]
    assert experiment["display_name"] == compiled_job["pipelineSpec"]["pipelineInfo"]["name"]
    run = kubeflow.stored["runs"][0]
    assert run["experiment_id"] == experiment["experiment_id"]
    assert run["pipeline_spec"] == compiled_job["pipelineSpec"]
    assert run["runtime_config"] == {
        "parameters": {"data_root": "gs://b/new"},
        "pipeline_root": "gs://a-bucket/marquee",
    }
    assert kubeflow.tokens == {"Bearer a-secret"}
    assert command(kubeflow, "status", *KUBEFLOW).out.splitlines() == [
        "run second  pending  2030-01-31 06:00Z",
        "run first  pending  2030-01-31 06:00Z",
    ]


def test_kubeflow_begins_runs_by_the_clock_pauses_goes_on_and_deletes(
    command: Command, kubeflow: FakeKubeflow
) -> None:
    name = ("--name", "weekly", *KUBEFLOW)
    assert command(kubeflow, "schedule", *CRON, *name).code == 0
    (recurring,) = kubeflow.stored["recurringruns"]
    assert recurring["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert (recurring["max_concurrency"], recurring["mode"]) == ("1", "ENABLE")
    assert command(kubeflow, "pause", *name).out == "paused weekly; `resume` lets it go on\n"
    assert command(kubeflow, "status", *name).out == "schedule weekly  disabled  0 0 3 * * 1\n"
    assert command(kubeflow, "resume", *name).out == "resumed weekly\n"
    assert command(kubeflow, "delete", *name).out == "deleted weekly\n"
    assert not kubeflow.stored["recurringruns"]


def test_the_token_goes_from_the_environment_to_kubeflow_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fake = FakeKubeflow()
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "a-secret-token")
    with fake_kubeflow.serving(fake) as url:
        command = ("status", *KUBEFLOW, "--host", url)
        assert kubeflow_v2_runner.main(command, ENVIRON) == 0
        fake.fault = (401, "Unauthenticated")
        assert kubeflow_v2_runner.main(command, ENVIRON) == 1
    said = capfd.readouterr()
    assert fake.tokens == {"Bearer a-secret-token"}
    assert "KF_PIPELINES_TOKEN" in said.err.splitlines()[-1]
    assert "a-secret-token" not in said.out + said.err


KUBEFLOW_FAULTS = {
    401: "KF_PIPELINES_TOKEN",
    403: "kubeflow-edit",
    429: "higher quota",
    503: "Try again later",
}


@pytest.mark.parametrize("status", KUBEFLOW_FAULTS)
@pytest.mark.parametrize(
    "arguments", [("submit",), ("schedule", *CRON), ("status",), ("pause",), ("delete",)]
)
def test_what_kubeflow_rejects_is_one_line_with_a_remedy(
    command: Command, kubeflow: FakeKubeflow, status: int, arguments: tuple[str, ...]
) -> None:
    kubeflow.fault = (status, "User is not allowed.")
    said = command(kubeflow, *arguments, *KUBEFLOW)
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert f"{status} User is not allowed. " in line and KUBEFLOW_FAULTS[status] in line
    assert "a-secret" not in line


def test_a_kubeflow_that_does_not_answer_is_given_up(
    command: Command, kubeflow: FakeKubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow_module, "_TIMEOUT", (0.1, 0.1))
    kubeflow.delay = 3.0
    said = command(kubeflow, "submit", *KUBEFLOW)
    assert said.code == 1
    assert "did not answer in time" in said.err and len(said.err.splitlines()) == 1


def test_a_kubeflow_that_is_not_there_is_said_to_be_so(command: Command, kubeflow: FakeKubeflow) -> None:
    unreachable = kubeflow_module.Kubeflow(
        kubeflow_module.connect("http://127.0.0.1:1"), "http://127.0.0.1:1", "kubeflow", "marquee"
    )
    kubeflow.service = lambda *_: unreachable
    said = command(kubeflow, "status", *KUBEFLOW)
    assert said.code == 1
    assert "Check --host and the network" in said.err and len(said.err.splitlines()) == 1


def test_a_name_that_kubeflow_has_is_not_taken_twice(command: Command, kubeflow: FakeKubeflow) -> None:
    for arguments in (("submit", "--run-id", "first"), ("schedule", *CRON)):
        assert command(kubeflow, *arguments, *KUBEFLOW).code == 0
        said = command(kubeflow, *arguments, *KUBEFLOW)
        assert said.code == 1 and "name must be new" in said.err


def test_kubeflows_clock_is_its_controllers_and_that_is_said_before_compiling(
    command: Command, kubeflow: FakeKubeflow, tmp_path: pathlib.Path
) -> None:
    written = tmp_path / "schedule.json"
    written.write_text('{"time_zone": "Asia/Tokyo"}')
    uncompiled: dict = {}
    for arguments, words in (
        ((*CRON, "--time-zone", "Europe/Berlin"), "--time-zone must be UTC"),
        (("--schedule", str(written)), f"time_zone in {written} must be UTC"),
    ):
        said = command(kubeflow, "schedule", *arguments, *KUBEFLOW, job=uncompiled)
        assert said.code == 2
        assert f": {words}, and the hours" in said.err and len(said.err.splitlines()) == 1
    assert not kubeflow.tokens
    allowed = ("schedule", "--schedule", str(written), "--time-zone", "UTC")
    assert command(kubeflow, *allowed, *KUBEFLOW).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resume", "--catch-up"), "leave --catch-up out"),
        (("submit", "--notify", "a@b.org"), "leave --notify out"),
        (("submit", "--label", "a=b"), "leave --label out"),
    ],
)
def test_what_kubeflow_cannot_do_is_rejected_before_a_request_is_sent(
    command: Command, kubeflow: FakeKubeflow, arguments: tuple[str, ...], words: str
) -> None:
    said = command(kubeflow, *arguments, *KUBEFLOW)
    assert said.code == 2
    assert words in said.err and len(said.err.splitlines()) == 1
    assert not kubeflow.tokens
