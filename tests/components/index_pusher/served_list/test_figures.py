"""Figures of lists on planted ranks: the values by hand, and what an interval and a gate make of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from components.index_pusher.gates import Refusal, gate_list
from components.index_pusher.served_list import figures
from components.index_pusher.served_list.figures import Rows
from components.index_pusher.served_list.rows import Train
from modules.evaluation.list_measures import Scale

ABSENT = math.inf


def planted(ratings: Sequence[float], users: Sequence[bytes], **ranks: Sequence[float]) -> Rows:
    size = len(ratings)
    return Rows(
        users=np.array(users, object),
        titles=np.array([b"title"] * size, object),
        ratings=np.array(ratings, np.float32),
        scale=Scale(5.0),
        ranks={name: np.array(values) for name, values in ranks.items()},
        slices={"visit": np.array([b"first", b"return"] * (size // 2), object)},
    )


def values(rows: list[dict]) -> dict[str, float]:
    return {row["figure"]: row["value"] for row in rows}


def test_figures_before_each_rating_by_hand() -> None:
    """Liked: a 5 in first and a 4 in no place; disliked: a 1 in third place; and a 3 in second."""
    rows = planted([5, 4, 1, 3], [b"a", b"a", b"b", b"b"], served=[0, ABSENT, 2, 1])
    found = values(figures.of_rows(rows, "served"))
    third, second = 1 / 2, 1 / math.log2(3)
    assert found == pytest.approx(
        {
            "liked_hit_10": 1 / 2,
            "disliked_hit_10": 1.0,
            "ndcg_10": 1 / 2,
            "graded_ndcg_10": (31 + 1 * third + 7 * second) / (31 + 15 + 1 + 7),
            "mrr_10": 1 / 2,
            "mean_rating_of_hits": (5 + 1 + 3) / 3,
        }
    )


def test_what_nobody_did_has_no_figure() -> None:
    found = values(figures.of_rows(planted([3, 3], [b"a", b"b"], served=[ABSENT, 0]), "served"))
    assert found["liked_hit_10"] is None and found["ndcg_10"] is None
    assert found["mean_rating_of_hits"] == 3


def test_slices_hold_their_own_rows_alone() -> None:
    rows = planted([5, 5] * 10, [b"%d" % (row // 2) for row in range(20)], served=[0, ABSENT] * 10)
    first, later = figures.of_slices(rows, "served")
    assert (first["slice"], first["rows"], first["liked_hit_10"]) == ("visit=first", 10, 1.0)
    assert (later["slice"], later["rows"], later["liked_hit_10"]) == ("visit=return", 10, 0.0)


class TestTheGate:
    """Two orders of the same rows, of which the other one puts the liked titles first for most users."""

    USERS = [b"%d" % (row // 4) for row in range(160)]
    RATINGS = [5, 4, 2, 1] * 40
    WORSE = [ABSENT, 7, 0, 1] * 40
    BETTER = [0, 1, ABSENT, 5] * 30 + [ABSENT, 7, 0, 1] * 10

    def test_a_list_that_is_surely_worse_is_refused(self) -> None:
        rows = planted(self.RATINGS, self.USERS, served=self.WORSE, popularity=self.BETTER)
        found = figures.compare(rows, "served", "popularity")
        assert found.upper < 0 and not found.passes
        with pytest.raises(
            Refusal, match=r"the served list is worse than popularity: .* nDCG@10 is 0\.1\d\d"
        ):
            gate_list([found])

    def test_the_better_list_passes_and_so_does_one_that_is_not_surely_worse(self) -> None:
        rows = planted(self.RATINGS, self.USERS, served=self.BETTER, popularity=self.WORSE)
        better = figures.compare(rows, "served", "popularity")
        assert better.lower > 0
        near = [0, 1, ABSENT, 5] * 20 + [1, 0, ABSENT, 5] * 20
        rows = planted(self.RATINGS, self.USERS, served=near, popularity=near[80:] + near[:80])
        even = figures.compare(rows, "served", "popularity")
        assert even.lower < 0 <= even.upper
        gate_list([better, even])

    def test_an_order_that_is_only_reported_refuses_nothing(self) -> None:
        rows = planted(self.RATINGS, self.USERS, served=self.WORSE, popularity=self.BETTER)
        gate_list([figures.compare(rows, "served", "popularity", gated=False)])

    def test_of_too_few_users_nothing_is_known(self) -> None:
        rows = planted(
            self.RATINGS[:16], self.USERS[:16], served=self.BETTER[:16], popularity=self.WORSE[:16]
        )
        found = figures.compare(rows, "served", "popularity")
        assert found.row()["upper"] is None
        with pytest.raises(Refusal, match="too few users have ratings in eval"):
            gate_list([found])

    def test_ratings_without_a_gain_are_said_to_tell_nothing(self) -> None:
        """Nobody who reads of it should look for more users: there are 40."""
        rows = planted([0.0] * 160, self.USERS, served=self.BETTER, popularity=self.WORSE)
        found = figures.compare(rows, "served", "popularity")
        with pytest.raises(
            Refusal, match="cannot be compared with popularity: .*, none above 0 is of a title"
        ):
            gate_list([found])


class TestTheGateOfSlices:
    """Two orders that are even over all ratings: one has the better list at first visits, one at returns.

    Users have four ratings, of which the first and the third are at first visits.
    """

    USERS = [b"%d" % (row // 4) for row in range(160)]
    FIRST, RETURN = [0, ABSENT, 1, ABSENT] * 40, [ABSENT, 0, ABSENT, 1] * 40

    def rows(self, size: int = 160) -> Rows:
        ratings, users = [5] * size, self.USERS[:size]
        return planted(ratings, users, served=self.FIRST[:size], popularity=self.RETURN[:size])

    def test_a_list_that_is_surely_worse_on_a_slice_is_refused_though_it_is_even_over_all(self) -> None:
        overall = figures.compare(self.rows(), "served", "popularity")
        gate_list([overall])
        first, later = figures.compare_slices(self.rows(), "served", "popularity")
        assert (first.slice, later.slice) == ("visit=first", "visit=return")
        assert first.lower > 0 > later.upper and later.row()["slice"] == "visit=return"
        gate_list([overall, first])
        with pytest.raises(
            Refusal, match="worse than popularity on visit=return: its graded nDCG@10 is 0.0000"
        ):
            gate_list([overall, first, later])
        gate_list(figures.compare_slices(self.rows(), "served", "popularity", gated=False))

    def test_a_slice_of_too_few_users_or_without_a_gain_passes(self) -> None:
        few = figures.compare_slices(self.rows(16), "served", "popularity")
        assert all(math.isinf(found.upper) for found in few)
        worthless = planted([0.0] * 160, self.USERS, served=self.FIRST, popularity=self.RETURN)
        nothing = figures.compare_slices(worthless, "served", "popularity")
        assert all(math.isnan(found.upper) for found in nothing)
        gate_list([*few, *nothing])


class TestListsOfUsers:
    LISTS = np.array([[0, 1, 2], [3, 0, -1]])

    def test_they_are_judged_by_all_that_a_user_rated(self) -> None:
        """The first user's list has a 5 and a 2 of three rated titles, the second's nothing."""
        rated = [{0: 5.0, 2: 2.0, 3: 4.0}, {1: 4.0}]
        found = values(figures.of_lists(self.LISTS, rated, Scale(5.0)))
        ideal = 31 + 15 / math.log2(3) + 3 / 2
        assert found == pytest.approx(
            {
                "liked_in_10": 0.5,
                "disliked_in_10": 0.5,
                "ndcg_10": (1 / (1 + 1 / math.log2(3))) / 2,
                "graded_ndcg_10": (31 + 3 / 2) / ideal / 2,
                "mrr_10": 0.5,
            }
        )

    def test_beyond_accuracy_by_hand(self) -> None:
        genres = np.array([[True, False], [True, False], [False, True], [False, False]])
        train = Train({b"a": 1, b"b": 1}, {b"a": np.array([3]), b"b": np.array([0, 2])}, genres)
        popularity = np.array([10, 20, 30, 100])
        found = values(figures.beyond_accuracy(self.LISTS, [b"a", b"b"], train, popularity))
        assert found["lists"] == 2
        assert found["coverage"] == 1.0
        assert found["gini"] == pytest.approx(0.15), "shown twice, once, once, once"
        assert found["gini_rated"] == pytest.approx((3 * 100 + 30 - 20 - 3 * 10) / (4 * 160))
        assert found["popularity_shown"] == pytest.approx((20 + 55) / 2)
        assert found["popularity_rated"] == pytest.approx((100 + 20) / 2)
        assert found["genre_diversity"] == pytest.approx(2 / 3), (
            "of the first; the second has one with a genre"
        )
        shown_first = 0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(0.5 / 0.005)
        assert found["genre_miscalibration"] == pytest.approx(shown_first), "of the second, who rated two"

    def test_by_depth_by_hand(self) -> None:
        found = figures.by_depth(self.LISTS, np.array([10, 20, 30, 100]))
        assert [row["depth"] for row in found] == [1, 2, 3, 5, 10]
        first, second = found[:2]
        assert first == {"depth": 1, "coverage": 0.5, "gini": 0.5, "popularity_shown": 55.0}
        assert (second["coverage"], second["popularity_shown"]) == (0.75, (2 * 10 + 20 + 100) / 4)
        assert found[-1]["gini"] == pytest.approx(0.15) and found[-1]["coverage"] == 1.0

    def test_of_lists_without_a_title_nothing_is_known(self) -> None:
        (first, *_) = figures.by_depth(np.full([2, 3], -1), np.array([1, 2]))
        assert first == {"depth": 1, "coverage": 0.0, "gini": None, "popularity_shown": None}


def test_the_share_served_by_the_model_is_a_mean_over_users() -> None:
    users = np.array([b"a", b"a", b"a", b"b"], object)
    assert figures.served_by_model(users, np.array([True, False, False, True]))["value"] == pytest.approx(
        2 / 3
    )
