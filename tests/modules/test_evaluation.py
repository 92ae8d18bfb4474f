"""The metrics of the Evaluators: rows, sums by user, intervals, and TFMA's names."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_types

from modules import evaluation, features
from modules.evaluation import LOWER, UPPER, HitRates, RatingErrors

NAN = float("nan")


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        # Depths 1, 5, 10, 50 and 100; ranks count from 0.
        (0, [1, 1, 1, 1, 1]),
        (1, [0, 1, 1, 1, 1]),
        (4, [0, 1, 1, 1, 1]),
        (5, [0, 0, 1, 1, 1]),
        (99, [0, 0, 0, 0, 1]),
        (100, [0, 0, 0, 0, 0]),
        (1664, [0, 0, 0, 0, 0]),
        (NAN, [NAN] * 5),
    ],
)
def test_hit_columns(rank: float, expected: list[float]) -> None:
    np.testing.assert_array_equal(evaluation.hit_columns(rank, 0.0), [*expected, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(evaluation.hit_columns(0.0, rank), [1, 1, 1, 1, 1, *expected])


def test_error_columns() -> None:
    assert evaluation.error_columns(2.0, 3.5).tolist() == [2.25, 1.5]
    assert np.isnan(evaluation.error_columns(NAN, 3.5)).all()


def test_an_interval_is_as_wide_as_users_say_and_not_their_rows() -> None:
    # Half of 400 users hit with all of their 20 rows, half with none. The standard error over users is
    # sqrt(0.5 * 0.5 / 400) = 0.025, the interval 0.5 +- 1.96 * 0.025; over rows the error would be 0.0056.
    sums = np.array([[20.0, 20.0], [20.0, 0.0]] * 200)
    lower, upper = evaluation.interval(sums, evaluation.share_of_hits)
    assert (upper - lower) / (2 * 1.96) == pytest.approx([0.025], rel=0.15)
    assert (lower + upper) / 2 == pytest.approx([0.5], abs=0.01)


def test_a_smaller_sample_has_the_wider_interval_of_the_normal_approximation() -> None:
    random = np.random.default_rng(3)
    for users in (100, 1600):
        squares = random.normal(size=(users, 10)) ** 2
        sums = np.stack([np.full(users, 10.0), squares.sum(axis=1), np.abs(squares).sum(axis=1)], axis=1)
        lower, upper = evaluation.interval(sums, evaluation.mean_errors)
        means = squares.mean(axis=1)
        # By the delta method the root of a mean has its standard error over twice the root.
        error = means.std() / math.sqrt(users) / (2 * math.sqrt(means.mean()))
        assert (upper - lower)[0] / (2 * 1.96) == pytest.approx(error, rel=0.2)
        assert lower[0] < math.sqrt(means.mean()) < upper[0]


def test_the_interval_of_one_user_is_a_point_and_nan_stays_nan() -> None:
    lower, upper = evaluation.interval(np.array([[4.0, 1.0, NAN]]), evaluation.share_of_hits)
    np.testing.assert_array_equal([lower, upper], [[0.25, NAN], [0.25, NAN]])


def retrieved(user: str, rank: float, rank_unseen: float) -> metric_types.StandardMetricInputs:
    predictions = {features.RANK: np.array([rank]), features.RANK_UNSEEN: np.array([rank_unseen])}
    return _inputs(user, predictions, np.array([4.0]))


def _inputs(user: str, predictions, labels) -> metric_types.StandardMetricInputs:
    return metric_types.StandardMetricInputs(
        predictions=predictions,
        labels=labels,
        features={features.USER_ID: np.array([user.encode()], object)},
    )


def merged(combiner, *parts) -> dict[str, float]:
    """Combine rows that come in some parts."""
    accumulators = []
    for part in parts:
        accumulator = combiner.create_accumulator()
        for row in part:
            accumulator = combiner.add_input(accumulator, row)
        accumulators.append(accumulator)
    output = combiner.extract_output(combiner.merge_accumulators(accumulators))
    return {key.name: value for key, value in output.items()}


ROWS = [
    retrieved("a", 0, 0),
    retrieved("a", 7, 4),
    retrieved("b", 120, 99),
    retrieved("c", 60, 2),
    retrieved("b", 30, 30),
]


@pytest.fixture(scope="module")
def combiner():
    (computation,) = HitRates().computations()
    return computation.combiner


def test_hit_rates_are_shares_of_rows(combiner) -> None:
    received = merged(combiner, ROWS)
    # Ranks 0, 7, 120, 60, 30, and unseen 0, 4, 99, 2, 30.
    shares = dict(zip(features.TOP_KS, [1 / 5, 1 / 5, 2 / 5, 3 / 5, 4 / 5], strict=True))
    unseen = dict(zip(features.TOP_KS, [1 / 5, 3 / 5, 3 / 5, 4 / 5, 5 / 5], strict=True))
    for k in features.TOP_KS:
        assert received[features.hit_metric(k)] == pytest.approx(shares[k])
        assert received[features.hit_metric(k, unseen=True)] == pytest.approx(unseen[k])
    for name in evaluation.RETRIEVAL_METRICS:
        assert received[name + LOWER] <= received[name] <= received[name + UPPER]
    assert len(received) == 3 * len(evaluation.RETRIEVAL_METRICS)


def test_neither_the_order_of_rows_nor_their_parts_change_a_figure(combiner) -> None:
    whole = merged(combiner, ROWS)
    for rows in itertools.islice(itertools.permutations(ROWS), 0, 120, 17):
        assert merged(combiner, rows) == pytest.approx(whole)
        assert merged(combiner, rows[:2], [], rows[2:3], rows[3:]) == pytest.approx(whole)


def test_merging_leaves_the_parts_as_they_were(combiner) -> None:
    accumulators = [combiner.add_input(combiner.create_accumulator(), retrieved("a", 0, 0)) for _ in range(2)]
    combiner.merge_accumulators(accumulators)
    assert [accumulator[b"a"][0] for accumulator in accumulators] == [1.0, 1.0]


def test_one_nan_spoils_every_share_of_its_rank_and_both_ends(combiner) -> None:
    received = merged(combiner, [*ROWS, retrieved("d", NAN, 0)])
    for k in features.TOP_KS:
        for end in ("", LOWER, UPPER):
            assert math.isnan(received[features.hit_metric(k) + end])
            assert math.isfinite(received[features.hit_metric(k, unseen=True) + end])


def rated(user: str, predicted: dict | np.ndarray, rating: float) -> metric_types.StandardMetricInputs:
    return _inputs(user, predicted, np.array([rating]))


@pytest.mark.parametrize("bare", [True, False], ids=["the only column", "beside ranks"])
def test_rating_errors(bare: bool) -> None:
    def column(value: float):
        return np.array([value]) if bare else {features.PREDICTED_RATING: np.array([value])}

    (computation,) = RatingErrors().computations()
    rows = [rated("a", column(3.0), 4.0), rated("b", column(5.0), 2.0), rated("b", column(2.0), 2.0)]
    received = merged(computation.combiner, rows)
    # Errors -1, 3 and 0: squares 1 + 9 + 0 over 3, absolutes 1 + 3 + 0 over 3.
    assert received[features.RMSE] == pytest.approx(math.sqrt(10 / 3))
    assert received[features.MAE] == pytest.approx(4 / 3)
    assert received[features.RMSE + LOWER] <= received[features.RMSE] <= received[features.RMSE + UPPER]
    spoiled = merged(computation.combiner, [*rows, rated("c", column(NAN), 2.0)])
    assert all(math.isnan(value) for value in spoiled.values())


def test_challenger_and_baseline_are_measured_side_by_side_under_their_names() -> None:
    computations = RatingErrors().computations(model_names=["candidate", "baseline"])
    row = _inputs(
        "a",
        {
            "candidate": {features.PREDICTED_RATING: np.array([4.0])},
            "baseline": {features.PREDICTED_RATING: np.array([2.5])},
        },
        {"candidate": np.array([4.5]), "baseline": np.array([4.5])},
    )
    figures = {}
    for computation in computations:
        combiner = computation.combiner
        output = combiner.extract_output(combiner.add_input(combiner.create_accumulator(), row))
        assert set(output) == set(computation.keys)
        figures.update({(key.model_name, key.name): value for key, value in output.items()})
    assert figures["candidate", features.RMSE] == 0.5
    assert figures["baseline", features.RMSE] == 2.0
    assert len(figures) == 2 * 3 * len(evaluation.RATING_METRICS)
