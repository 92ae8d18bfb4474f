"""Where no runner of Beam is named, the steps name the one in their own process."""

from __future__ import annotations

import os

import apache_beam as beam
import pytest
from apache_beam.runners.direct.direct_runner import DirectRunner
from apache_beam.testing.util import assert_that
from tfx.utils import dependency_utils

from pipeline import config
from pipeline.beam_flags import LOCAL_RUNNER
from tests.pipeline import dag


@pytest.fixture
def downloading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant Beam from 2.68 on, where DirectRunner downloads a program first."""

    def download(*_: object) -> None:
        raise ConnectionError("Prism is to be downloaded")

    monkeypatch.setattr(DirectRunner, "run_pipeline", download)


def run(flags: list[str]) -> None:
    """Run a small pipeline of Beam; fails where its function is called in another process than it says."""
    of_worker = any("multi_processing" in flag for flag in flags)
    with beam.Pipeline(argv=flags) as pipeline:
        processes = pipeline | beam.Create([None]) | beam.Map(lambda _: os.getpid())
        assert_that(processes, _ran_in(os.getpid(), of_worker))


def _ran_in(here: int, of_worker: bool):
    def check(processes: list[int]) -> None:
        assert len(processes) == 1 and (processes[0] != here) == of_worker

    return check


@pytest.mark.slow("a worker's new interpreter with Beam")
@pytest.mark.usefixtures("downloading")
@pytest.mark.parametrize(
    "flags",
    [[], ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]],
    ids=["here", "in a worker's process"],
)
def test_without_a_named_runner_beam_downloads_nothing(flags: list[str]) -> None:
    with pytest.raises(ConnectionError, match="Prism"):
        run(flags)
    run(dag.create(config.default(), flags).beam_pipeline_args)


@pytest.mark.usefixtures("downloading")
@pytest.mark.parametrize("flags", [["--runner=DirectRunner"], ["--runner", "direct"]])
def test_a_named_runner_stays(flags: list[str]) -> None:
    assert dag.create(config.default(), flags).beam_pipeline_args == flags
    with pytest.raises(ConnectionError, match="Prism"):
        run(flags)


def test_tfx_packs_no_source_for_workers_that_use_this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    def pack() -> str:
        raise AssertionError("TFX packs its source in every step")

    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", pack)
    with pytest.raises(AssertionError, match="packs"):
        dependency_utils.make_beam_dependency_flags([f"--runner={LOCAL_RUNNER}"])
    for flags in ([], ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]):
        args = dag.create(config.default(), flags).beam_pipeline_args
        assert dependency_utils.make_beam_dependency_flags(args) == args
