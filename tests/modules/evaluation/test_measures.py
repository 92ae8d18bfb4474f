"""What the Evaluators' metrics are made of: hits, buckets, intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from modules import features
from modules.evaluation import measures

NAN = float("nan")


def interval(sums: np.ndarray, finish: Callable) -> tuple[np.ndarray, np.ndarray]:
    """An interval where all rows of all users are counted."""
    return measures.interval(sums, finish, len(sums))


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
        (math.inf, [0, 0, 0, 0, 0]),
        (features.EXCLUDED_ROW, [0, 0, 0, 0, 0]),
        (features.NO_RANK, [0, 0, 0, 0, 0]),
        (NAN, [NAN] * 5),
    ],
)
def test_hits(rank: float, expected: list[float]) -> None:
    received = measures.hits(np.array([[rank], [0.0]]), np.array(features.TOP_KS))
    np.testing.assert_array_equal(received, np.array([expected, [1.0] * 5]))


def test_an_interval_is_as_wide_as_users_say_and_not_their_rows() -> None:
    # Half of 400 users hit with all of their 20 rows, half with none. The standard error over users is
    # sqrt(0.5 * 0.5 / 400) = 0.025, the interval 0.5 +- 1.96 * 0.025; over rows the error would be 0.0056.
    sums = np.array([[20.0, 20.0], [20.0, 0.0]] * 200)
    lower, upper = interval(sums, measures.means)
    assert (upper - lower) / (2 * 1.96) == pytest.approx([0.025], rel=0.15)
    assert (lower + upper) / 2 == pytest.approx([0.5], abs=0.01)


def test_a_smaller_sample_has_the_wider_interval_of_the_normal_approximation() -> None:
    random = np.random.default_rng(3)
    for users in (100, 1600):
        squares = random.normal(size=(users, 10)) ** 2
        sums = np.stack([np.full(users, 10.0), squares.sum(axis=1)], axis=1)
        lower, upper = interval(sums, lambda totals: np.sqrt(measures.means(totals)))
        means = squares.mean(axis=1)
        # By the delta method the root of a mean has its standard error over twice the root.
        error = means.std() / math.sqrt(users) / (2 * math.sqrt(means.mean()))
        assert (upper - lower)[0] / (2 * 1.96) == pytest.approx(error, rel=0.2)
        assert lower[0] < math.sqrt(means.mean()) < upper[0]


def test_of_too_few_users_nothing_is_known_and_nan_stays_nan() -> None:
    one = np.array([[4.0, 1.0, NAN]])
    for users in (1, measures.MIN_USERS - 1):
        lower, upper = interval(np.repeat(one, users, axis=0), measures.means)
        np.testing.assert_array_equal([lower, upper], [[-math.inf, NAN], [math.inf, NAN]])
    lower, upper = interval(np.repeat(one, measures.MIN_USERS, axis=0), measures.means)
    np.testing.assert_array_equal([lower, upper], [[0.25, NAN], [0.25, NAN]])


@pytest.mark.parametrize("users", [measures.MIN_USERS, 10, 40])
def test_without_a_true_gain_an_interval_is_above_0_as_rarely_as_it_says(users: int) -> None:
    """Users of very different activity; two models that are as good, each better for some users."""
    random = np.random.default_rng(users)
    trials, above, below = 1_000, 0, 0
    for _ in range(trials):
        rows = 1 + random.lognormal(2.5, 1.0, users).astype(int)
        ease = random.beta(2, 3, users)
        gains = (
            random.binomial(rows, ease) - random.binomial(rows, ease) + rows * random.normal(0, 0.05, users)
        )
        lower, upper = interval(np.stack([rows, gains], axis=1), measures.means)
        above, below = above + (lower[0] > 0), below + (upper[0] < 0)
    # 2.5% each; the standard error of a share of 2.5% in 1,000 trials is 0.5%.
    assert 0.01 < above / trials < 0.04
    assert 0.01 < below / trials < 0.04


def test_many_users_are_weighted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    sums = np.stack([np.ones(400), random.random(400)], axis=1)
    whole = interval(sums, measures.means)
    monkeypatch.setattr(measures, "_BLOCK", 64)
    # Other draws, so the ends differ by what 1,000 resamples leave open.
    np.testing.assert_allclose(interval(sums, measures.means), whole, rtol=0.01)


def test_a_prediction_is_in_the_bucket_that_it_opens() -> None:
    predicted = np.array([0.5, 0.99, 1.0, 1.49, 1.5, 4.49, 4.5, 5.0])
    sums = measures.reliability(predicted, np.arange(8.0))
    assert sums[:, 0].tolist() == [2, 2, 1, 0, 0, 0, 0, 1, 2]
    assert sums[:, 1] == pytest.approx([1.49, 2.49, 1.5, 0, 0, 0, 0, 4.49, 9.5])
    assert sums[:, 2].tolist() == [0 + 1, 2 + 3, 4, 0, 0, 0, 0, 5, 6 + 7]


def test_calibration_differs_from_accuracy() -> None:
    random = np.random.default_rng(1)
    expected = random.uniform(1, 5, 100_000)
    # Right on average wherever it says anything, though each row is off by a star.
    ratings = expected + random.choice([-1.0, 1.0], len(expected))
    assert measures.calibration_error(measures.reliability(expected, ratings)) == pytest.approx(0, abs=0.02)
    # Half as far from 3 as it should be: |3 + x / 2 - (3 + x)| is half a star on average over x of -2 to 2.
    timid = 3 + (expected - 3) / 2
    assert measures.calibration_error(measures.reliability(timid, ratings)) == pytest.approx(0.5, abs=0.02)


def test_an_error_that_differs_in_sign_between_buckets_does_not_cancel_out() -> None:
    sums = measures.reliability(np.array([1.2, 4.2, 4.3]), np.array([2.2, 4.0, 4.0]))
    # 1 in one row; 0.25 in two.
    assert measures.calibration_error(sums) == pytest.approx((1 * 1 + 2 * 0.25) / 3)


def test_one_prediction_of_nan_spoils_the_calibration() -> None:
    assert math.isnan(measures.calibration_error(measures.reliability(np.array([3.0, NAN]), np.ones(2))))
