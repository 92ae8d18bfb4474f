"""The metrics of the Evaluators: sums by user, what they come to, and TFMA's names."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_types

from modules import features
from modules.evaluation import evaluator_metrics, results
from modules.evaluation.evaluator_metrics import HitRates, RatingErrors
from modules.features import (
    BIASES,
    CHAMPION,
    GATED_HITS,
    ITEM_ITEM,
    LOWER,
    MEAN,
    POPULARITY,
    RANDOM,
    UPPER,
    gain_metric,
    hit_metric,
    reference_metric,
)

NAN = float("nan")
EXCLUDED = features.EXCLUDED_ROW
# Candidates of the planted catalogue, large enough for the depth to be 100.
CANDIDATES = 1_100


def retrieved(
    user: str,
    rank: float,
    rank_unseen: float,
    popularity: float = 0,
    item_item: float = 0,
    shown: tuple = (),
    excluded: int = 0,
) -> metric_types.StandardMetricInputs:
    """One row, with its ranks, those of the baselines, the best candidates, and how many are excluded."""
    predictions = {
        features.RANK: np.array([rank], np.float32),
        features.RANK_UNSEEN: np.array([rank_unseen], np.float32),
        features.POPULARITY_RANK_UNSEEN: np.array([popularity], np.float32),
        features.ITEM_ITEM_RANK_UNSEEN: np.array([item_item], np.float32),
        features.TOP_UNSEEN: np.array([[*shown, *[-1] * (features.COVERAGE_DEPTH - len(shown))]], np.int32),
        features.NUM_CANDIDATES: np.array([CANDIDATES], np.int32),
        features.NUM_EXCLUDED: np.array([excluded], np.int32),
    }
    return _inputs(user, predictions, np.array([[4.0]], np.float32))


def _inputs(user: str, predictions, labels) -> metric_types.StandardMetricInputs:
    return metric_types.StandardMetricInputs(
        predictions=predictions,
        labels=labels,
        features={features.USER_ID: np.array([[user.encode()]], object)},
    )


def merged(combiner, *parts) -> dict[str, float | np.ndarray]:
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
    retrieved("a", 0, 0, 100, 0, (0, 1, 2)),
    retrieved("a", 7, 4, 0, 99, (1, 2, 3), excluded=100),
    retrieved("b", 120, 99, 100, 100, ()),
    retrieved("c", 60, 2, 99, 7, tuple(range(30, 40))),
    retrieved("b", 30, 30, 700, 900, (39,)),
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
        assert received[hit_metric(k)] == pytest.approx(shares[k])
        assert received[hit_metric(k, unseen=True)] == pytest.approx(unseen[k])
    assert received[GATED_HITS] == received[hit_metric(100, unseen=True)]
    assert received[features.GATED_DEPTH] == 100
    assert received[results.ROWS] == 5
    measured = set(received) - {features.COVERAGE, features.GATED_DEPTH, results.ROWS}
    for name in measured:
        middle = name.removesuffix(LOWER).removesuffix(UPPER)
        assert received[middle + LOWER] <= received[middle] <= received[middle + UPPER]
    # The rates, the gated one, three references and the gains on them; and their intervals.
    assert len(measured) == 3 * (2 * len(features.TOP_KS) + 1 + 3 + 3)


def block(rows) -> metric_types.StandardMetricInputs:
    """Put rows into one block."""
    predictions = {
        name: np.concatenate([row.get_predictions("")[name] for row in rows])
        for name in rows[0].get_predictions("")
    }
    users = np.concatenate([row.get_features()[features.USER_ID] for row in rows])
    labels = np.concatenate([row.get_labels("") for row in rows])
    return metric_types.StandardMetricInputs(
        predictions=predictions, labels=labels, features={features.USER_ID: users}
    )


def test_rows_may_come_in_blocks(combiner) -> None:
    one_by_one = merged(combiner, ROWS)
    for parts in ([block(ROWS)], [block(ROWS[:2]), block(ROWS[2:])]):
        received = merged(combiner, parts)
        assert received == pytest.approx(one_by_one, nan_ok=True)
        assert received[results.ROWS] == 5


def test_baselines_are_measured_on_the_same_rows(combiner) -> None:
    received = merged(combiner, ROWS)
    # Within the first hundred: 0 and 99 of 100, 0, 100, 99, 700; 0, 99 and 7 of 0, 99, 100, 7, 900; and of a
    # random order 100 of 1,100 candidates, or of the 1,000 that are not excluded.
    chance = (4 * 100 / 1_100 + 100 / 1_000) / 5
    for reference, hits in ((POPULARITY, 2 / 5), (ITEM_ITEM, 3 / 5), (RANDOM, chance)):
        assert received[reference_metric(GATED_HITS, reference)] == pytest.approx(hits)
        assert received[gain_metric(GATED_HITS, reference)] == pytest.approx(5 / 5 - hits)


def test_a_gain_s_interval_is_of_the_difference(combiner) -> None:
    """Users whom both find easy or both find hard leave no doubt about which is better."""
    rows = []
    for user in range(400):
        # Nine rows that both hit, or both miss; and one that the model alone hits.
        rank = 99 if user % 2 else 100
        rows += [retrieved(str(user), rank, rank, rank) for _ in range(9)]
        rows.append(retrieved(str(user), 99, 99, 100))
    received = merged(combiner, rows)
    assert received[GATED_HITS] == pytest.approx(0.55)
    assert received[GATED_HITS + UPPER] - received[GATED_HITS + LOWER] > 0.05
    ends = [received[gain_metric(GATED_HITS, POPULARITY) + end] for end in (LOWER, "", UPPER)]
    assert ends == pytest.approx([0.1] * 3)


def test_a_row_whose_title_is_excluded_counts_for_nobody_among_the_unseen(combiner) -> None:
    excluded = [retrieved("c", 0, EXCLUDED, EXCLUDED, EXCLUDED) for _ in range(5)]
    received, without = merged(combiner, [*ROWS, *excluded]), merged(combiner, ROWS)
    for name in (hit_metric(5, unseen=True), GATED_HITS, reference_metric(GATED_HITS, POPULARITY)):
        assert received[name] == without[name], name
    # The user may be served a title again, and it is found there.
    assert received[hit_metric(1)] == pytest.approx((1 + 5) / 10)
    alone = merged(combiner, excluded)
    assert math.isnan(alone[GATED_HITS]), "there is nothing to say"
    ends = [alone[gain_metric(GATED_HITS, POPULARITY) + end] for end in (LOWER, "", UPPER)]
    assert ends == [-math.inf, 0, math.inf], "such a slice passes"


def test_users_without_counted_rows_are_no_users_of_an_interval(combiner) -> None:
    """Four users hit in all that is counted; forty more have nothing that is."""
    rows = [retrieved(f"counted {user}", 0, 0, 500, 500) for user in range(4)]
    rows += [retrieved(f"other {user}", 0, EXCLUDED, EXCLUDED, EXCLUDED) for user in range(40)]
    gain = gain_metric(GATED_HITS, POPULARITY)
    received = merged(combiner, rows)
    assert [received[gain + end] for end in (LOWER, "", UPPER)] == [-math.inf, 1, math.inf]
    received = merged(combiner, [*rows, retrieved("a fifth", 0, 0, 500, 500)])
    assert [received[gain + end] for end in (LOWER, "", UPPER)] == [1, 1, 1]


def test_the_gate_of_an_absent_item_item_model_passes(combiner) -> None:
    received = merged(combiner, [retrieved(str(user), 500, 500, 0, features.NO_RANK) for user in range(9)])
    assert received[gain_metric(GATED_HITS, ITEM_ITEM) + LOWER] == math.inf
    assert received[gain_metric(GATED_HITS, POPULARITY) + UPPER] == -1


def test_coverage_is_the_share_of_candidates_that_are_shown_to_somebody(combiner) -> None:
    # 0 to 3, and 30 to 39.
    assert merged(combiner, ROWS)[features.COVERAGE] == 14 / CANDIDATES
    assert merged(combiner, ROWS[:2], ROWS[2:])[features.COVERAGE] == 14 / CANDIDATES
    assert merged(combiner, [ROWS[2]])[features.COVERAGE] == 0


def test_neither_the_order_of_rows_nor_their_parts_change_a_figure(combiner) -> None:
    whole = merged(combiner, ROWS)
    for rows in itertools.islice(itertools.permutations(ROWS), 0, 120, 17):
        assert merged(combiner, rows) == pytest.approx(whole)
        assert merged(combiner, rows[:2], [], rows[2:3], rows[3:]) == pytest.approx(whole)


def test_many_rows_are_summed_as_few_are(combiner) -> None:
    rows = ROWS * 700
    split = [rows[start::7] for start in range(7)]
    received, expected = merged(combiner, rows), merged(combiner, ROWS)
    assert received == pytest.approx(merged(combiner, *split))
    assert received.pop(results.ROWS) == 700 * expected.pop(results.ROWS)
    # The same users with the same shares: the rates are those of five rows, and so are their intervals.
    assert received == pytest.approx(expected)


def test_merging_leaves_the_parts_as_they_were(combiner) -> None:
    parts = [combiner.add_input(combiner.create_accumulator(), row) for row in (ROWS[0], ROWS[1])]
    before = [combiner.extract_output(part) for part in parts]
    first = combiner.extract_output(combiner.merge_accumulators(parts))
    assert [combiner.extract_output(part) for part in parts] == before
    assert combiner.extract_output(combiner.merge_accumulators(parts)) == first


def test_one_nan_spoils_every_share_of_its_rank_and_both_ends(combiner) -> None:
    received = merged(combiner, [*ROWS, retrieved("d", NAN, 0)])
    for k in features.TOP_KS:
        for end in ("", LOWER, UPPER):
            assert math.isnan(received[hit_metric(k) + end])
            assert not math.isnan(received[hit_metric(k, unseen=True) + end])
    spoiled = merged(combiner, [*ROWS, retrieved("d", 0, NAN)])
    for reference in (POPULARITY, ITEM_ITEM, RANDOM):
        for end in ("", LOWER, UPPER):
            assert math.isnan(spoiled[gain_metric(GATED_HITS, reference) + end])


def rated(user: str, predicted: float, rating: float, by_biases: float = 3.0):
    """A row with its predicted rating and that of the biases."""
    predictions = {features.PREDICTED_RATING: predicted, features.BIAS_RATING: by_biases}
    predictions[features.MEAN_RATING] = 3.0
    columns = {name: np.array([value], np.float32) for name, value in predictions.items()}
    return _inputs(user, columns, np.array([[rating]], np.float32))


def test_rating_errors() -> None:
    (computation,) = RatingErrors().computations()
    rows = [rated("a", 3.0, 4.0), rated("b", 5.0, 2.0), rated("b", 2.0, 2.0, by_biases=4.0)]
    received = merged(computation.combiner, rows)
    # Errors -1, 3 and 0: squares 1 + 9 + 0 over 3, absolutes 1 + 3 + 0 over 3. The biases' -1, 1, 2.
    assert received[features.RMSE] == pytest.approx(math.sqrt(10 / 3))
    assert received[features.MAE] == pytest.approx(4 / 3)
    of_biases, on_biases = reference_metric(features.RMSE, BIASES), gain_metric(features.RMSE, BIASES)
    assert received[of_biases] == pytest.approx(math.sqrt(6 / 3))
    # Negative, for the model is the worse one.
    assert received[on_biases] == pytest.approx(math.sqrt(6 / 3) - math.sqrt(10 / 3))
    # Ratings of 4, 2 and 2 are each a star from the mean of train, 3.
    assert received[reference_metric(features.RMSE, MEAN)] == pytest.approx(1)
    assert received[gain_metric(features.RMSE, MEAN)] == pytest.approx(1 - math.sqrt(10 / 3))
    for name in (features.RMSE, features.MAE, on_biases, of_biases):
        assert received[name + LOWER] <= received[name] <= received[name + UPPER]
    spoiled = merged(computation.combiner, [*rows, rated("c", NAN, 2.0)])
    of_references = {
        reference_metric(features.RMSE, r) + end for r in (BIASES, MEAN) for end in ("", LOWER, UPPER)
    }
    for name in set(received) - of_references - {features.RELIABILITY, results.ROWS}:
        assert math.isnan(spoiled[name]), name


def test_reliability_by_bucket_of_the_prediction() -> None:
    (computation,) = RatingErrors().computations()
    rows = [rated("a", 3.25, 4.0), rated("b", 3.0, 2.0), rated("b", 4.75, 5.0)]
    for parts in ((rows,), (rows[:1], rows[1:])):
        received = merged(computation.combiner, *parts)
        # One of nine buckets holds 3 to 3.5, the last 4.5 to 5.
        expected = np.full((9, 3), [0, NAN, NAN])
        expected[5], expected[8] = [2, 3.125, 3.0], [1, 4.75, 5.0]
        np.testing.assert_array_equal(received[features.RELIABILITY], expected)
        assert received[features.CALIBRATION_ERROR] == pytest.approx((2 * 0.125 + 1 * 0.25) / 3)


def pair(user: str, challenger, champion) -> metric_types.StandardMetricInputs:
    """A row with the answers of two models."""
    answers = {"candidate": challenger.get_predictions(""), "baseline": champion.get_predictions("")}
    return _inputs(user, answers, dict.fromkeys(answers, challenger.get_labels("")))


def by_model(metric, rows) -> dict[tuple[str, str], float]:
    (computation,) = metric.computations(model_names=["candidate", "baseline"])
    combiner, accumulator = computation.combiner, computation.combiner.create_accumulator()
    for row in rows:
        accumulator = combiner.add_input(accumulator, row)
    output = combiner.extract_output(accumulator)
    assert set(output) == set(computation.keys)
    return {(key.model_name, key.name): value for key, value in output.items()}


def test_challenger_and_champion_are_measured_side_by_side_under_their_names() -> None:
    rows = [pair(str(user), rated("", 4.0, 4.5), rated("", 2.5, 4.5)) for user in range(9)]
    figures = by_model(RatingErrors(), rows)
    assert figures["candidate", features.RMSE] == 0.5
    assert figures["baseline", features.RMSE] == 2.0
    gain = gain_metric(features.RMSE, CHAMPION)
    for end in ("", LOWER, UPPER):
        assert figures["candidate", gain + end] == 1.5
        # So that TFMA's change is the challenger's gain itself.
        assert figures["baseline", gain + end] == 0.0


def test_of_too_few_users_no_champion_is_surely_matched() -> None:
    rows = [pair(str(user), rated("", 4.0, 4.5), rated("", 2.5, 4.5)) for user in range(4)]
    figures = by_model(RatingErrors(), rows)
    gain = gain_metric(features.RMSE, CHAMPION)
    assert figures["candidate", gain + LOWER] == -math.inf
    assert math.isnan(figures["candidate", gain + UPPER]), "which passes no threshold"


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("broken", [NAN, math.inf])
def test_a_champion_without_a_finite_figure_is_no_champion(broken: float) -> None:
    gain, ends = gain_metric(features.RMSE, CHAMPION), (LOWER, "", UPPER)
    good, bad = rated("", 4.0, 4.5), rated("", broken, 4.5)
    against_bad = by_model(RatingErrors(), [pair(str(user), good, bad) for user in range(9)])
    assert [against_bad["candidate", gain + end] for end in ends] == [math.inf] * 3
    for rows in ([pair(str(user), bad, good) for user in range(9)], [pair("a", bad, bad)] * 9):
        figures = by_model(RatingErrors(), rows)
        assert not figures["candidate", gain + UPPER] >= 0, "such a challenger is not blessed"


def test_the_gain_on_the_champion_is_of_pairs_at_the_challenger_s_depth_and_rows() -> None:
    def champion(rank_unseen: float) -> metric_types.StandardMetricInputs:
        # Its catalogue is so small that its own depth would be 1.
        row = retrieved("", 0, rank_unseen)
        row.get_predictions("")[features.NUM_CANDIDATES][:] = 20
        return row

    rows = []
    for user in range(200):
        rank = 99 if user % 2 else 100
        rows += [pair(str(user), retrieved("", 0, rank), champion(rank)) for _ in range(9)]
        rows.append(pair(str(user), retrieved("", 0, 99), champion(100)))
        rows.append(pair(str(user), retrieved("", 0, features.EXCLUDED_ROW), champion(0)))
    figures = by_model(HitRates(), rows)
    ends = [figures["candidate", gain_metric(GATED_HITS, CHAMPION) + end] for end in (LOWER, "", UPPER)]
    assert ends == pytest.approx([0.1] * 3)
    assert figures["baseline", GATED_HITS] == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("metric", "names"),
    [(HitRates, evaluator_metrics.RETRIEVAL_METRICS), (RatingErrors, evaluator_metrics.RATING_METRICS)],
)
def test_every_metric_that_a_gate_may_name_is_computed(metric, names: tuple[str, ...]) -> None:
    (computation,) = metric().computations()
    assert set(names) <= {key.name for key in computation.keys}
