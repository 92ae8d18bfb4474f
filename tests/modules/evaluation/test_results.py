"""Thresholds as the summary reads them back from TFMA's configuration."""

from __future__ import annotations

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from modules.evaluation import results
from pipeline.evaluation import eval_config
from pipeline.gates import Gate, SliceGate


@pytest.fixture(params=[False, True], ids=["as installed", "no protos at TFMA's top"])
def protos(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """TFMA as installed, and with what TFMA 0.52 lacks."""
    if request.param:
        for name in config_pb2.DESCRIPTOR.message_types_by_name:
            monkeypatch.delattr(tfma, name, raising=False)


@pytest.mark.usefixtures("protos")
def test_a_threshold_is_told_with_the_slices_that_it_holds_on() -> None:
    slices = (
        SliceGate(feature="user_gender", bound=1.2),
        SliceGate(feature="title_popularity", value="head", bound=1.0),
    )
    gate = Gate(metric="rmse", bound=0.9, max_worsening=0.01, slices=slices)
    config = eval_config([gate], False, True, must_beat_baselines=False)
    told = [
        (feature, named, results._rule(limit)) for _, feature, named, limit in results._thresholds(config)
    ]
    assert told == [
        ("", "", "<= 0.9"),
        ("user_gender", "", "<= 1.2"),
        ("title_popularity", "title_popularity=head", "<= 1"),
        ("", "", "change <= +0.01"),
    ]
