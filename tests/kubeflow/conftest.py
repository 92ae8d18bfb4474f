"""A compiled job, compiled once, and the command line driven against services on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import pytest

import kubeflow_v2_runner
from pipeline.config import of_data
from runners.kubeflow import compiling
from runners.kubeflow.kubeflow import Kubeflow
from runners.kubeflow.kubeflow import connect as connect_kubeflow
from runners.kubeflow.vertex import Vertex
from tests.kubeflow.stand_ins import fake_kubeflow, fake_vertex

PROJECT, REGION = "a-project", "europe-west4"
ENVIRON = {
    "MARQUEE_IMAGE": "registry.example/marquee@sha256:" + "0" * 64,
    "MARQUEE_PIPELINE_ROOT": "gs://a-bucket/marquee",
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "GOOGLE_CLOUD_REGION": REGION,
}


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture(scope="session")
def compiled_job(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The default preset's job."""
    return compile_with(tmp_path_factory.mktemp("job") / "job.json")


def compile_with(output: pathlib.Path, *flags: str) -> dict:
    options = kubeflow_v2_runner.parse(["compile", "--output", str(output), *flags], ENVIRON)
    config = kubeflow_v2_runner.flags.configure(options)
    settings = kubeflow_v2_runner._settings(options, config)
    return compiling.compile_job(of_data(config, settings.data_root), settings, output)[0]


@pytest.fixture
def vertex() -> Iterator[fake_vertex.FakeVertex]:
    fake = fake_vertex.FakeVertex()
    with fake_vertex.serving(fake) as clients:
        fake.service = lambda options, name: Vertex(clients, options.project, options.region)
        yield fake


@pytest.fixture
def kubeflow() -> Iterator[fake_kubeflow.FakeKubeflow]:
    fake = fake_kubeflow.FakeKubeflow()
    with fake_kubeflow.serving(fake) as url:
        fake.service = lambda options, name: Kubeflow(
            connect_kubeflow(url, "a-secret"), url, options.namespace, name
        )
        yield fake


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, compiled_job: dict
) -> Command:
    """Run a command against a fake service; the compiler, which is tested elsewhere, returns the one job."""

    def run(fake, *arguments: str, job: dict = compiled_job) -> Said:
        monkeypatch.setattr(compiling, "compile_job", lambda *_: (job, None))
        with contextlib.suppress(SystemExit):
            code = kubeflow_v2_runner.main(arguments, ENVIRON, fake.service)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
