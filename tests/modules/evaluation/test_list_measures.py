"""Measures of lists, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modules.evaluation import list_measures as measures
from modules.evaluation.list_measures import Scale


class TestScale:
    @pytest.mark.parametrize(
        "highest, liked, neither, disliked",
        [(5.0, 4.0, 3.5, 2.0), (10.0, 8.0, 7.0, 4.0), (1.0, 1.0, 0.5, 0.0)],
    )
    def test_what_is_liked_follows_the_highest_rating(
        self, highest: float, liked: float, neither: float, disliked: float
    ) -> None:
        ratings, scale = np.array([liked, neither, disliked], np.float32), Scale(highest)
        assert scale.liked(ratings).tolist() == [True, False, False]
        assert scale.disliked(ratings).tolist() == [False, False, True]

    def test_ten_of_ten_is_worth_what_five_of_five_is(self) -> None:
        gains = [Scale(highest).gains(np.array([0.2, 0.8, 1.0]) * highest) for highest in (5.0, 10.0, 100.0)]
        for gain in gains:
            np.testing.assert_allclose(gain, [1.0, 15.0, 31.0])


def test_a_place_beyond_the_ten_is_worth_nothing() -> None:
    ranks = np.array([0.0, 1.0, 9.0, 10.0, np.inf])
    np.testing.assert_allclose(measures.discounts(ranks), [1, 1 / math.log2(3), 1 / math.log2(11), 0, 0])
    np.testing.assert_allclose(measures.reciprocals(ranks), [1, 0.5, 0.1, 0, 0])


class TestNdcg:
    def test_by_hand(self) -> None:
        """Of ratings 5, 4 and 3 the list has 4 first and 5 third; the best list has all three in order."""
        found = measures.ndcg(np.array([15.0, 0.0, 31.0]), np.array([7.0, 31.0, 15.0]))
        assert found == pytest.approx((15 + 31 / 2) / (31 + 15 / math.log2(3) + 7 / 2))

    def test_it_asks_no_more_than_ten_titles_can_hold(self) -> None:
        assert measures.ndcg(np.ones(10), np.ones(30)) == pytest.approx(1.0)

    def test_of_nothing_liked_it_says_nothing(self) -> None:
        assert math.isnan(measures.ndcg(np.zeros(10), np.zeros(3)))


def test_gini_of_a_quarter_and_three_quarters() -> None:
    """Two candidates, shown once and three times: half of the mean difference, 1 / 2, by the mean, 2."""
    assert measures.gini(np.array([3, 1])) == pytest.approx(0.25)
    assert math.isnan(measures.gini(np.zeros(3)))


def test_diversity_is_the_mean_over_pairs() -> None:
    """Comedy; comedy and drama; drama: similarities 1/2, 1/2 and 0."""
    genres = np.array([[True, False], [True, True], [False, True]])
    assert measures.diversity(genres) == pytest.approx(1 - 1 / 3)
    assert math.isnan(measures.diversity(genres[:1]))


class TestMiscalibration:
    def test_shares_divide_a_title_among_its_genres(self) -> None:
        genres = np.array([[True, True, False], [True, False, False]])
        assert measures.genre_shares(genres).tolist() == [0.75, 0.25, 0.0]

    def test_by_hand(self) -> None:
        """Own 0.7 and 0.3, shown 1 and 0: Steck's alpha of 0.01 makes that 0.997 and 0.003."""
        expected = 0.7 * math.log(0.7 / 0.997) + 0.3 * math.log(0.3 / 0.003)
        found = measures.miscalibration(np.array([0.7, 0.3]), np.array([1.0, 0.0]))
        assert found == pytest.approx(expected)

    def test_no_genre_of_the_users_own_must_be_left_out(self) -> None:
        own = np.array([0.5, 0.3, 0.2])
        near, far = np.array([0.4, 0.4, 0.2]), np.array([0.5, 0.5, 0.0])
        assert measures.miscalibration(own, near) < measures.miscalibration(own, far)

    def test_an_unknown_side_gives_no_figure(self) -> None:
        unknown = measures.genre_shares(np.zeros([0, 2], bool))
        assert math.isnan(measures.miscalibration(unknown, np.array([0.5, 0.5])))
