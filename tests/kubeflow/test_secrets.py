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
from runners import secrets
from runners.kubeflow.kubeflow import Kubeflow, connect
from runners.kubeflow.plan import ServiceError
from tests.kubeflow.conftest import ENVIRON, Command
from tests.kubeflow.stand_ins.fake_kubeflow import FakeKubeflow, serving
from tests.kubeflow.stand_ins.fake_vertex import FakeVertex

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


@pytest.mark.slow("a new interpreter with TFX")
def test_only_the_named_variables_of_the_environment_are_written_down(tmp_path: pathlib.Path) -> None:
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
    assert ENVIRON["MARQUEE_IMAGE"] in written, "the named variable is there"
    for text in (written, done.stdout, done.stderr):
        assert "sentinel" not in text


@pytest.mark.parametrize("platform", ["vertex", "kubeflow"])
def test_a_request_and_its_messages_hold_no_secret(
    platform: str,
    command: Command,
    vertex: FakeVertex,
    kubeflow: FakeKubeflow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    fake, requests = (vertex, vertex.calls) if platform == "vertex" else (kubeflow, kubeflow.stored["runs"])
    with caplog.at_level("DEBUG"):
        said = [
            command(fake, *arguments, "--platform", platform)
            for arguments in (("submit",), ("schedule", "--cron", "0 3 * * 1"), ("status",))
        ]
    assert {one.code for one in said} == {0}
    assert requests
    for text in (*(one.out + one.err for one in said), str(requests), str(kubeflow.stored), caplog.text):
        assert "sentinel" not in text and "a-secret" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--data", f"s3://key:{PASSWORD}@bucket/films"),
        ("--push-dir", f"https://me:{PASSWORD}@host/bundles"),
        ("--pipeline-root", f"gs://me:{PASSWORD}@bucket"),
        ("--", f'--environment_config={{"env": {{"FILMS": "https://u:{PASSWORD}@host"}}}}'),
        (f"--unknown=https://u:{PASSWORD}@host", "--"),
        ("--config", f"https://u:{PASSWORD}@host/config.json"),
        ("--resources", f"https://u:{PASSWORD}@host"),
        ("--data", f"https://host/films?access_token={PASSWORD}"),
        ("--", f"--temp_location=gs://me:{PASSWORD}/a@bucket"),
        ("--data", f"https://account.blob.example/films?sp=r&sig={PASSWORD}"),
        ("--image", f"https://me:{PASSWORD}@registry.example/steps"),
        ("--param", f"data_root=gs://me:{PASSWORD}@bucket/films"),
        ("--param", f"data_root=gs://me:a/{PASSWORD}@bucket"),
    ],
)
def test_a_url_with_a_secret_is_rejected_and_not_repeated(
    command: Command, vertex: FakeVertex, arguments: tuple[str, ...]
) -> None:
    said = command(vertex, "submit", *arguments)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert "written into specifications, metadata and logs" in line and "environment" in line
    assert PASSWORD not in line
    assert not vertex.calls


@pytest.mark.parametrize("host", [f"https://me:{PASSWORD}@kf.example", f"me:{PASSWORD}@kf.example"])
@pytest.mark.parametrize("command", ["submit", "status"])
def test_a_password_in_the_address_of_a_service_is_rejected(
    command: str, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, "--platform", "kubeflow", "--host", host]
    assert kubeflow_v2_runner.main(arguments, ENVIRON) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert "for --host put a token into KF_PIPELINES_TOKEN" in line
    assert PASSWORD not in said.out + said.err


@pytest.mark.parametrize(
    "host",
    [
        "http://kf.example",
        "kf.example:8080",
        "HTTP://10.0.0.1",
        "http://localhost.example",
        "http://[fe80::1]",
    ],
)
def test_a_token_is_not_sent_where_everybody_on_the_way_reads_it(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KF_PIPELINES_TOKEN", SECRETS["KF_PIPELINES_TOKEN"])
    assert kubeflow_v2_runner.main(["status", "--platform", "kubeflow", "--host", host], ENVIRON) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--host must begin with https://, for the token would be read on its way; received {host}" in line
    monkeypatch.delenv("KF_PIPELINES_TOKEN")
    monkeypatch.setattr(Kubeflow, "status", lambda *_: ["requested without one"])
    assert kubeflow_v2_runner.main(["status", "--platform", "kubeflow", "--host", host], ENVIRON) == 0


@pytest.mark.parametrize(
    "host",
    ["https://kf.example", "http://localhost:8080", "127.0.0.1:8080", "http://127.8.0.1", "http://[::1]:80"],
)
def test_a_token_is_sent_over_tls_and_to_this_machine(host: str) -> None:
    assert connect(host, "a-secret").runs.api_client.configuration.api_key == {"authorization": "a-secret"}


def test_a_token_does_not_follow_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    target, fake = FakeKubeflow(), FakeKubeflow()
    with serving(target) as elsewhere, serving(fake, redirect=elsewhere) as url:
        service = Kubeflow(connect(url, "a-secret"), url, "kubeflow", "marquee")
        with pytest.raises(ServiceError, match="302"):
            service.status("marquee", "marquee", 1)
    assert (fake.tokens, target.tokens) == ({"Bearer a-secret"}, set())


@pytest.mark.parametrize(
    "text",
    [
        "s3://films/a@b",
        "gs://bucket/x:y",
        "gs://bucket/x:y@z",
        "https://host:8443/films/a@b",
        "http://[::1]:9000/a@b",
        "https://host/films?sig=&design=a",
        "registry.example:5000/steps:1@sha256:00",
        "--service_account_email=steps@a-project.iam.gserviceaccount.com",
        "--s3_endpoint_url=http://host:9000",
    ],
)
def test_what_only_looks_like_a_secret_is_not_rejected(text: str) -> None:
    secrets.reject([text])


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{PASSWORD}@host",
        f"gs://me:12{PASSWORD}/x@bucket",
        f"https://host/films?SIG={PASSWORD}",
        f"https://host/films?X-Amz-Signature={PASSWORD}",
        f"https://host/films?a=b&X-Goog-Signature={PASSWORD}",
    ],
)
def test_other_urls_with_a_secret_are_rejected_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="written into") as caught:
        secrets.reject([text])
    assert PASSWORD not in str(caught.value)


def test_the_local_runner_rejects_them_too_because_flags_get_into_the_metadata(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (["--"], []):  # argparse would repeat a flag that it does not know.
        assert local_runner.main([*arguments, f"--unknown=https://me:{PASSWORD}@host"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "https://... must hold no password and no signature" in line and PASSWORD not in line
    assert local_runner.parse(["--", "--direct_num_workers=2"]).beam_options == ["--direct_num_workers=2"]
