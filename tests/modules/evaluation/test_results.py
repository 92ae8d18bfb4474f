"""Thresholds as the summary reads them back from TFMA's configuration."""

from __future__ import annotations

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from modules import features
from modules.evaluation import results, tfma_files
from pipeline.evaluation import eval_config
from pipeline.gates import Gate, SliceGate


@pytest.fixture(params=[False, True], ids=["as installed", "no protos at TFMA's top"])
def protos(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """TFMA as installed, and with what TFMA 0.52 lacks."""
    if request.param:
        for name in config_pb2.DESCRIPTOR.message_types_by_name:
            monkeypatch.delattr(tfma, name, raising=False)


@pytest.mark.usefixtures("protos")
def test_a_threshold_is_read_with_the_slices_that_it_holds_on() -> None:
    gate = Gate(metric="rmse", bound=0.9, slices=(SliceGate(feature="user_gender", bound=1.2),))
    config = eval_config([gate], False, True, must_beat_baselines=False)
    read = list(tfma_files.thresholds_of(config))
    bounds = [(feature, bound) for name, feature, bound in read if name == "rmse"]
    assert bounds == [("", "<= 0.9"), ("user_gender", "<= 1.2")]
    assert {name for name, *_ in read} == {"rmse", "rmse_gain_on_champion_upper"}


def test_everything_that_a_metric_is_compared_with_has_a_display_name() -> None:
    compared = {reference for references in features.BASELINES.values() for reference in references}
    assert set(results._DISPLAY_NAMES) == compared | set(features.CHANCE.values()) | {features.CHAMPION}
