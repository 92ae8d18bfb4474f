"""The scale benchmark on few rows: a step measured in a process of its own, and the table."""

from __future__ import annotations

import pathlib

import pytest

from benchmarks.speed import generator, scale
from pipeline import config as configuration
from tests.pipeline import dag


@pytest.mark.slow("a new interpreter with TFX")
def test_a_step_is_run_and_measured_by_itself(tmp_path: pathlib.Path) -> None:
    generator.write(tmp_path / "data", ratings=2000, titles=200, seed=1)
    costs = scale.measure(tmp_path / "data", tmp_path / "root", scale.STEPS[:1], scale.config(0.1, 1))
    (cost,) = costs.values()
    assert list(costs) == ["MovieLensExampleGen"]
    assert cost.seconds > 0 and cost.memory > 100 << 20
    assert list((tmp_path / "root" / "MovieLensExampleGen" / "examples").glob("*/Split-train/*.gz"))


def test_the_steps_are_the_pipelines_and_none_comes_before_what_it_reads() -> None:
    components = {node.id: node for node in dag.create(configuration.default()).components}
    for number, step in enumerate(scale.STEPS):
        read = {channel.producer_component_id for channel in components[step].inputs.values()}
        assert not read & set(scale.STEPS[number:]), step


@pytest.mark.parametrize("histories", [True, False])
def test_no_model_is_rejected_and_none_is_sampled(histories: bool) -> None:
    config = configuration.with_changes(configuration.default(), scale.config(0.02, 1, histories))
    models = config.models.retrieval, config.models.ranking, config.models.multitask
    assert {model.history is not None for model in models} == {config.data.history_length > 0} == {histories}
    assert config.models.ranking.head == "factorization" and config.data.release == "ml-25m"
    assert not config.gates.must_beat_baselines
    for gate in (*config.gates.retrieval, *config.gates.ranking, *config.gates.multitask):
        assert gate.bound in (0.0, 9.0) and not gate.slices


def test_growth_is_the_slope_between_the_logarithms() -> None:
    # Twice as many rows take four times as long, whatever the unit.
    assert scale.exponent([1000, 2000, 4000], [0.5, 2.0, 8.0]) == pytest.approx(2.0)
    assert scale.exponent([1000, 4000], [3.0, 3.0]) == pytest.approx(0.0)
    assert str(scale.exponent([1000], [3.0])) == "nan"
    costs = {size: {"A": scale.Cost(size / 100, 2 * 10**9)} for size in (1000, 4000)}
    assert scale.rows(costs, 60, 0.1) == [["A", "10.0", "100", "2.00", "40.0", "100", "2.00", "1.00", "0.00"]]


def test_a_steps_rate_is_of_the_rows_that_pass_through_it() -> None:
    costs = {1000: {step: scale.Cost(1.0, 10**9) for step in scale.STEPS}}
    rates = {step: rate for step, _, rate, *_ in scale.rows(costs, titles=60, eval_share=0.1)}
    assert rates["Transform"] == "1,000" and rates["Trainer.multitask"] == "900"
    assert rates["Evaluator.retrieval"] == "100" and rates["IndexPusher"] == "60"
