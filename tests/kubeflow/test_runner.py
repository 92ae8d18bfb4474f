"""The command line: what it takes from where, and mistakes in words."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import google.auth
import pytest
from click import testing
from google.auth.credentials import AnonymousCredentials
from tfx.tools.cli import cli_main

import kubeflow_v2_runner
from pipeline import config
from tests.kubeflow.conftest import ENVIRON, PROJECT, REGION, Command, compile_with
from tests.kubeflow.stand_ins import fake_vertex
from tests.kubeflow.stand_ins.fake_vertex import FakeVertex

ROOT = pathlib.Path(kubeflow_v2_runner.__file__).parent
CRON = ("--cron", "0 3 * * 1")
NAME = config.default().pipeline_name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", "--run-id", "First Run"), "A run's id must be up to 128 lower-case letters"),
        (
            ("submit", "--param", "epochs=3"),
            "--param must be NAME=VALUE of one of data_root, multitask_epochs",
        ),
        (("submit", "--param", "retrieval_epochs=many"), "--param retrieval_epochs must be a whole number"),
        (("submit", "--resources", "Trainer"), "--resources must be written like STEP=cpu:8"),
        (("submit", "--resources", "Trainer.*=cpu:none"), "--resources must be written like STEP=cpu:8"),
        (("submit", "--resources", "Trainer.*=disk:9"), "--resources must be written like STEP=cpu:8"),
        (("submit", "--data", "gs://films/[new]"), "data_root must lead to a folder without * ? ["),
        (("submit", "--notify", "somebody"), "must be an address such as a@b.org; received 'somebody'"),
        (("submit", "--label", "Team=x"), "--label must be KEY=VALUE of lower-case letters"),
        (("submit", "--retries", "-1"), "--retries: Input should be greater than or equal to 0; received -1"),
        (("submit", "--pipeline-root", "/tmp/x"), "--pipeline-root: String should match pattern"),
        (("submit", "--config", "absent.json"), "absent.json must be a readable JSON file"),
        (("schedule", "--cron", "0 3 * *"), "--cron: cron must be minute, hour, day of the month, month and"),
        (("schedule", "--cron", "@daily"), "Not five fields; received '@daily'"),
        (("schedule", "--cron", ""), "Not five fields; received ''"),
        (("schedule", "--cron", "99 99 * * *"), "Bad minute; received '99 99 * * *'"),
        (("schedule", "--cron", "0 0 31 2 *"), "Bad day-of-month; received '0 0 31 2 *'"),
        (("schedule", "--cron", "0 3 * * 1#2"), "--cron: cron must have no days such as the last or the"),
        (("schedule", "--cron", "0 3 L * *"), "--cron: cron must have no days such as the last or the"),
        (("schedule", "--cron", "0 3 * * 5L"), "--cron: cron must have no days such as the last or the"),
        (("schedule", "--cron", "0 3 */2 * 1"), "read it as `and`, others as `or`; write numbers"),
        (("schedule", *CRON, "--time-zone", "Berlin"), "--time-zone: time_zone must be an IANA name such as"),
        (("schedule", *CRON, "--start", "2030-01-31T06:00"), "--start: it must have an offset"),
    ],
)
def test_a_mistake_is_one_line_and_no_request_is_sent(
    command: Command, vertex: FakeVertex, arguments: tuple[str, ...], words: str
) -> None:
    said = command(vertex, *arguments)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert line.startswith("kubeflow_v2_runner.py: ") and words in line
    assert not vertex.calls


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/20 3,15 * JAN-MAR,DEC MON-FRI/2", "0,20,40 3,15 * 1,2,3,12 1,3,5"),
        ("0 3 */10 * *", "0 3 1,11,21,31 * *"),
        ("0 3 1,15 * 1", "0 3 1,15 * 1"),
        ("30 0-12/3 * * 7", "30 0,3,6,9,12 * * 0"),
        # Either is enough where both are restricted.
        ("0 3 1-31 * 1", "0 3 * * *"),
        ("0 3 13 * SUN-SAT", "0 3 * * *"),
        ("0 3 1,* * 1", "0 3 * * *"),
    ],
)
def test_the_platforms_receive_cron_in_plain_numbers(
    command: Command, vertex: FakeVertex, cron: str, expected: str
) -> None:
    said = command(vertex, "schedule", "--cron", cron)
    assert (said.code, said.err) == (0, "")
    (schedule,) = vertex.schedules.values()
    assert schedule.cron == f"TZ=UTC {expected}"


def test_a_window_has_two_spans_or_is_as_configured(
    command: Command, vertex: FakeVertex, tmp_path: pathlib.Path
) -> None:
    job = compile_with(tmp_path / "job.json", "--preset", "retraining")
    submit = ("submit", "--preset", "retraining", "--param")
    said = command(vertex, *submit, "window=1", job=job)
    assert said.code == 2 and len(said.err.splitlines()) == 1 and not vertex.calls
    assert "--param window must be 2 spans or more" in said.err and said.err.endswith("received '1'\n")
    for window in (0, 2):
        assert command(vertex, *submit, f"window={window}", "--run-id", f"w{window}", job=job).code == 0
    parameters = [dict(run.runtime_config.parameter_values) for run in vertex.jobs.values()]
    assert parameters == [{"window": 0}, {"window": 2}]


def test_the_folder_of_a_user_s_own_data_finds_their_runs_and_no_run_reads_another(
    command: Command, vertex: FakeVertex, tmp_path: pathlib.Path
) -> None:
    own = ("--release", "custom", "--data")
    job = compile_with(tmp_path / "job.json", *own, "gs://b/films")
    said = command(vertex, "submit", *own, "gs://b/films", "--param", "data_root=gs://b/books", job=job)
    assert said.code == 2 and len(said.err.splitlines()) == 1 and not vertex.jobs
    assert "--param data_root must be left out where the data are your own" in said.err
    assert command(vertex, "submit", *own, "gs://b/films", "--run-id", "first", job=job).code == 0
    assert "run first" in command(vertex, "status", *own, "gs://b/films/").out
    assert "run first" not in command(vertex, "status", *own, "gs://b/books").out


def test_where_the_data_are_a_user_s_own_their_folder_must_be_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != "MARQUEE_PIPELINE_ROOT"}
    assert kubeflow_v2_runner.main(["status", "--release", "custom"], environ) == 2
    assert capsys.readouterr().err.endswith(": give it, or set MARQUEE_PIPELINE_ROOT\n")


def test_a_training_on_several_workers_is_not_compiled(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"strategy": "multi_worker"}')
    output = tmp_path / "job.json"
    flags = ["--config", str(path), "--output", str(output)]
    assert kubeflow_v2_runner.main(["compile", *flags], ENVIRON) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"kubeflow_v2_runner.py: {path}: strategy multi_worker needs a Trainer started on each of several "
        "workers, and this runner starts one: set strategy to mirrored, or none"
    )
    assert not output.exists()


@pytest.mark.parametrize("missing", ["MARQUEE_IMAGE", "MARQUEE_PIPELINE_ROOT"])
def test_a_value_without_flag_and_variable_is_rejected(
    missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != missing}
    assert kubeflow_v2_runner.main(["compile"], environ) == 2
    assert capsys.readouterr().err.endswith(f": give it, or set {missing}\n")


@pytest.mark.parametrize(
    ("flags", "missing"),
    [((), "GOOGLE_CLOUD_PROJECT"), (("--project", "p"), "GOOGLE_CLOUD_REGION")],
)
def test_a_service_is_not_guessed_at(
    flags: tuple[str, ...], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubeflow_v2_runner.main(["status", *flags], {}) == 2
    assert capsys.readouterr().err.endswith(f": give it, or set {missing}\n")
    assert kubeflow_v2_runner.main(["status", "--platform", "kubeflow"], {}) == 2
    assert capsys.readouterr().err.endswith(": give it, or set KF_PIPELINES_ENDPOINT\n")


def test_a_step_that_is_not_there_is_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--output", str(tmp_path / "job.json"), "--resources", "Trainers=cpu:8"]
    assert kubeflow_v2_runner.main(["compile", *flags], ENVIRON) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--resources must name a step of the pipeline; received 'Trainers'. Its steps are: Anomaly" in line


def test_a_file_that_cannot_be_written_is_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert kubeflow_v2_runner.main(["compile", "--output", str(tmp_path / "file" / "job.json")], ENVIRON) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line


def test_without_credentials_the_error_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    assert kubeflow_v2_runner.main(["status"], ENVIRON) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "DefaultCredentialsError" in line and "gcloud auth application-default login" in line


def test_runs_are_named_after_the_pipeline_and_the_time(command: Command, vertex: FakeVertex) -> None:
    assert command(vertex, "submit").code == 0
    (name,) = vertex.jobs
    assert name.rpartition("/")[2].startswith(f"{NAME}-20")


def test_help_is_quick_and_lists_every_command() -> None:
    script = (
        "import sys, kubeflow_v2_runner\n"
        "try: kubeflow_v2_runner.main(['--help'])\n"
        "finally: print(sorted({'tfx', 'tensorflow', 'google.auth', 'kfp'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.endswith("[]\n")
    for name in ("compile", "submit", "schedule", "status", "pause", "resume", "delete"):
        assert f"    {name} " in done.stdout


@pytest.mark.slow("TFX's command line starts interpreters with TFX")
def test_tfxs_own_command_line_takes_this_runner(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two seconds that no other test needs.
    from google.cloud import aiplatform
    from google.cloud.aiplatform.utils import gcs_utils

    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VERTEX_HOME", str(tmp_path / "home"))
    # It asks `pip` what is installed.
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)

    def tfx(*arguments: str) -> str:
        return testing.CliRunner().invoke(cli_main.cli_group, [*arguments, "--engine=vertex"]).output

    path = f"--pipeline_path={ROOT / 'kubeflow_v2_runner.py'}"
    assert f'Pipeline "{NAME}" created successfully.' in tfx("pipeline", "create", path)

    vertex = FakeVertex()
    # It would look for the bucket, at Google, and go on without an answer after two minutes.
    monkeypatch.setattr(
        gcs_utils, "create_gcs_bucket_for_pipeline_artifacts_if_it_does_not_exist", lambda **_: None
    )
    monkeypatch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), PROJECT))
    with fake_vertex.serving(vertex) as clients:
        monkeypatch.setattr(
            aiplatform.initializer.global_config, "create_client", lambda *_, **__: clients.pipelines
        )
        said = tfx(
            *("run", "create", f"--pipeline_name={NAME}", f"--project={PROJECT}", f"--region={REGION}"),
            "--runtime_parameter=data_root=gs://b/new",
        )
    assert f"Run created for pipeline: {NAME}" in said
    (job,) = vertex.jobs.values()
    assert "champion-ranking" in job.pipeline_spec["root"]["dag"]["tasks"]
    assert job.runtime_config.parameter_values["data_root"] == "gs://b/new"
