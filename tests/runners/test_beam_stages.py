"""The stages of a Beam pipeline are counted while the local runner executes it."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from pipeline.beam_flags import LOCAL_RUNNER
from runners.running import beam_stages


def run() -> None:
    """Run a pipeline of several stages; fails where it has other results than it must have."""
    with beam.Pipeline(argv=[f"--runner={LOCAL_RUNNER}"]) as pipeline:
        sums = (
            pipeline
            | beam.Create([("odd", 1), ("even", 2), ("odd", 3)])
            | beam.GroupByKey()
            | beam.MapTuple(lambda key, values: (key, sum(values)))
        )
        assert_that(sums, equal_to([("odd", 4), ("even", 2)]))


def test_every_stage_is_counted_once_and_only_in_the_context() -> None:
    shown: list[tuple[int, int]] = []
    with beam_stages.counted(lambda done, of: shown.append((done, of))):
        run()
    of = len(shown)
    assert of > 2
    assert shown == [(done, of) for done in range(1, of + 1)]
    run()
    assert len(shown) == of


def test_a_beam_without_the_method_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FnApiRunner, "_execute_bundle")
    with beam_stages.counted(lambda done, of: pytest.fail("counted")):
        assert not hasattr(FnApiRunner, "_execute_bundle")
