"""Ranks: what counts against a title, and what is no rank at all."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from modules.evaluation import ranking_metrics

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("scores", "position", "expected"),
    [
        ([3.0, 2.0, 1.0], 0, 0.0),
        ([3.0, 2.0, 1.0], 2, 2.0),
        # A tie counts against the title, wherever its column is.
        ([2.0, 2.0, 1.0], 0, 1.0),
        ([2.0, 2.0, 1.0], 1, 1.0),
        ([5.0, 5.0, 5.0], 1, 2.0),
        # No candidate, or taken out: at no depth a hit, however small the catalogue.
        ([3.0, 2.0, 1.0], -1, INF),
        ([3.0, -INF, 1.0], 1, INF),
        ([-INF, -INF, -INF], 0, INF),
        # Others that were taken out are worse.
        ([-INF, 2.0, -INF], 1, 0.0),
        # What cannot be compared is no rank, whichever column it stands in.
        ([NAN, 2.0, 1.0], 0, NAN),
        ([NAN, 2.0, 1.0], 1, NAN),
        ([NAN, 2.0, 1.0], -1, NAN),
        ([INF, 2.0, 1.0], 0, NAN),
        ([INF, 2.0, 1.0], 1, NAN),
    ],
)
def test_rank(scores: list[float], position: int, expected: float) -> None:
    # Another row stands beside, for one must not touch the other.
    received = ranking_metrics.ranks(
        tf.constant([scores, [9.0, 8.0, 7.0]]), tf.constant([position, 1])
    ).numpy()
    np.testing.assert_array_equal(received, np.array([expected, 1.0], np.float32))


def test_ranks_equal_a_sort_where_no_scores_tie() -> None:
    random = np.random.default_rng(0)
    scores = random.permuted(np.tile(np.arange(200.0, dtype=np.float32), (50, 1)), axis=1)
    positions = random.integers(0, 200, 50)
    order = np.argsort(-scores, axis=1)
    expected = [order[row].tolist().index(position) for row, position in enumerate(positions)]
    assert ranking_metrics.ranks(tf.constant(scores), tf.constant(positions)).numpy().tolist() == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([[0, -1], [2, 1]], [[-INF, 2.0, 3.0], [4.0, -INF, -INF]]),
        ([[-1, -1], [-1, -1]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        # The same column twice, and all of them.
        ([[1, 1, -1], [0, 1, 2]], [[1.0, -INF, 3.0], [-INF, -INF, -INF]]),
        ([[], []], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    ],
)
def test_exclude(seen: list, expected: list) -> None:
    scores = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    received = ranking_metrics.exclude(scores, tf.constant(seen, tf.int32, shape=(2, len(seen[0]))))
    np.testing.assert_array_equal(received.numpy(), np.array(expected, np.float32))


def test_a_score_that_is_no_number_is_not_hidden_by_excluding_others() -> None:
    scores = ranking_metrics.exclude(tf.constant([[NAN, 2.0, 1.0]]), tf.constant([[2]]))
    assert np.isnan(ranking_metrics.ranks(scores, tf.constant([1])).numpy()).all()


def test_the_sample_of_the_progress_lines_measures_what_it_says() -> None:
    vectors = tf.constant([[float(column)] for column in range(150)])
    # Ranks 0, 9, 10 of candidates whose score falls with their column; of 150 the depth is 10.
    sample = ranking_metrics.EvalSample(
        inputs={"query": tf.constant([[-1.0]] * 4), "user_rating": tf.constant([[1.0], [2.0], [3.0], [4.0]])},
        catalogue={"vector": vectors},
        positions=tf.constant([0, 9, 10, -1]),
    )
    assert sample.top_k(lambda row: row["query"], lambda row: row["vector"]) == {"top-10": 0.5}
    # Errors 2, 1, 0 and -1 of a constant 3: the mean of their squares is 6 / 4.
    assert sample.rmse(lambda row: 3 * tf.ones_like(row["query"]))["RMSE"] == pytest.approx(np.sqrt(1.5))
