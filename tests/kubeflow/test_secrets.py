"""No secret gets into a specification, a request or what is printed."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

import kubeflow_v2_runner
import local_runner
from tests.kubeflow.conftest import ENVIRON, Command
from tests.kubeflow.fake_kubeflow import FakeKubeflow
from tests.kubeflow.fake_vertex import FakeVertex

ROOT = pathlib.Path(kubeflow_v2_runner.__file__).parent
# What a build machine has in its environment, and in its home.
SECRETS = {
    "KF_PIPELINES_TOKEN": "sentinel-kubeflow-token",
    "AWS_ACCESS_KEY_ID": "sentinel-aws-key-id",
    "AWS_SECRET_ACCESS_KEY": "sentinel-aws-secret",
    "AWS_SESSION_TOKEN": "sentinel-aws-session",
    "AZURE_STORAGE_CONNECTION_STRING": "sentinel-azure",
    "GITHUB_TOKEN": "sentinel-github",
    "PIP_INDEX_URL": "https://user:sentinel-index@packages.example/simple",
    "DATABASE_URL": "postgres://user:sentinel-database@db.example/ml",
}
PASSWORD = "hush-hush"


def test_nothing_of_the_environment_but_what_is_asked_for_is_written_down(tmp_path: pathlib.Path) -> None:
    keys = tmp_path / "home" / "application_default_credentials.json"
    keys.parent.mkdir()
    keys.write_text(json.dumps({"type": "authorized_user", "refresh_token": "sentinel-refresh"}))
    environ = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")},
        **{"HOME": str(keys.parent), "GOOGLE_APPLICATION_CREDENTIALS": str(keys)},
        **ENVIRON,
        **SECRETS,
    }
    output = tmp_path / "job.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "kubeflow_v2_runner.py"), "compile", "--output", str(output)],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    written = output.read_text()
    assert ENVIRON["MARQUEE_IMAGE"] in written, "what is asked for is there"
    for text in (written, done.stdout, done.stderr):
        assert "sentinel" not in text


@pytest.mark.parametrize("platform", ["vertex", "kubeflow"])
def test_a_request_and_what_is_said_of_it_hold_no_secret(
    platform: str,
    command: Command,
    vertex: FakeVertex,
    kubeflow: FakeKubeflow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    fake, asked = (vertex, vertex.calls) if platform == "vertex" else (kubeflow, kubeflow.stored["runs"])
    with caplog.at_level("DEBUG"):
        said = [
            command(fake, *arguments, "--platform", platform)
            for arguments in (("submit",), ("schedule", "--cron", "0 3 * * 1"), ("status",))
        ]
    assert {one.code for one in said} == {0}
    assert asked
    for text in (*(one.out + one.err for one in said), str(asked), str(kubeflow.stored), caplog.text):
        assert "sentinel" not in text and "a-secret" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--", f"--s3_secret_access_key={PASSWORD}"),
        ("--", "--s3_session_token", PASSWORD),
        ("--", f"--azure_connection_string={PASSWORD}"),
        ("--data", f"s3://key:{PASSWORD}@bucket/films"),
        ("--push-dir", f"https://me:{PASSWORD}@host/bundles"),
        ("--pipeline-root", f"gs://me:{PASSWORD}@bucket"),
        ("--image", f"https://me:{PASSWORD}@registry.example/steps"),
        ("--param", f"data_root=gs://me:{PASSWORD}@bucket/films"),
    ],
    ids=lambda arguments: arguments[0] + arguments[1].split("=")[0][:12],
)
def test_a_secret_that_is_told_is_refused_and_not_repeated(
    command: Command, vertex: FakeVertex, arguments: tuple[str, ...]
) -> None:
    said = command(vertex, "submit", *arguments)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert "written into specifications, metadata and logs" in line and "environment" in line
    assert PASSWORD not in line
    assert not vertex.calls


def test_so_it_is_on_this_machine_where_flags_get_into_the_metadata(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        local_runner.parse(["--", f"--s3_secret_access_key={PASSWORD}"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--s3_secret_access_key must not be given" in said.splitlines()[-1] and PASSWORD not in said
    assert local_runner.parse(["--", "--direct_num_workers=2"]).beam_options == ["--direct_num_workers=2"]
