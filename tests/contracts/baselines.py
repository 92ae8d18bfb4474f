"""What the eval signature says beside a model's own answers: those of the baselines, and what is shown.

Parts of the suite; every figure is worked out from the planted rows.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping

import numpy as np

from modules import features
from modules.data import baselines
from tests import planted_ratings
from tests.contracts.fresh_process import Ends
from tests.contracts.planted_run import PlantedRun, Trained
from tests.contracts.rows import cold_start_rows

POPULARITY_RANKS = (features.POPULARITY_RANK, features.POPULARITY_RANK_UNSEEN)


class RetrievalBaseline:
    """Columns that a model that retrieves has for comparison."""

    eval_columns: Ends = {
        **dict.fromkeys(POPULARITY_RANKS, ("float32", (None,))),
        features.TOP_UNSEEN: ("int32", (None, features.COVERAGE_DEPTH)),
        features.NUM_CANDIDATES: ("int32", (None,)),
    }

    def test_beside_its_ranks_are_those_of_popularity(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        world = planted_run.world
        counts = collections.Counter(row[features.MOVIE_TITLE] for row in world.train)
        titles = sorted({row[features.MOVIE_TITLE] for row in world.catalogue}, key=str.encode)
        popular = sorted(titles, key=lambda title: -counts[title])
        rated = collections.defaultdict(set)
        for row in world.train:
            rated[row[features.USER_ID]].add(row[features.MOVIE_TITLE])
        rows = [*world.eval, *cold_start_rows()]
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        for place, row in enumerate(rows):
            unseen = [title for title in popular if title not in rated[row[features.USER_ID]]]
            for name, listed in (
                (features.POPULARITY_RANK, popular),
                (features.POPULARITY_RANK_UNSEEN, unseen),
            ):
                title = row[features.MOVIE_TITLE]
                expected = listed.index(title) if title in listed else np.inf
                assert answer[name][place] == expected, (name, row)

    def test_the_ten_best_of_coverage_are_those_that_it_recommends(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        rows = [*planted_run.world.eval, *cold_start_rows()]
        titles = trained.ask(features.CANDIDATES_SIGNATURE, {})[features.MOVIE_TITLE]
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        served = trained.ask_rows(features.SERVING_SIGNATURE, rows)[features.MOVIE_TITLE]
        assert (titles[answer[features.TOP_UNSEEN]] == served[:, : features.COVERAGE_DEPTH]).all()
        assert (answer[features.NUM_CANDIDATES] == len(planted_run.world.catalogue)).all()


class RatingBaseline:
    """The column that a model that predicts ratings has for comparison."""

    eval_columns: Ends = {features.BIAS_RATING: ("float32", (None,))}

    def test_beside_its_ratings_are_those_of_the_biases(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        train = planted_run.world.train
        ratings = np.array([row[features.RATING] for row in train])
        mean = ratings.mean()
        sides = (features.USER_ID, features.MOVIE_TITLE)
        bias: dict[str, Mapping[str, float]] = {side: collections.defaultdict(float) for side in sides}
        for _ in range(10):
            for own, other, weight in (
                (features.MOVIE_TITLE, features.USER_ID, baselines.TITLE_WEIGHT),
                (features.USER_ID, features.MOVIE_TITLE, baselines.USER_WEIGHT),
            ):
                rests = collections.defaultdict(list)
                for row in train:
                    rests[row[own]].append(row[features.RATING] - mean - bias[other][row[other]])
                means = {key: sum(rest) / (len(rest) + weight) for key, rest in rests.items()}
                # What is not in train has no bias.
                bias[own] = collections.defaultdict(float, means)
        rows = [*planted_run.world.eval, *cold_start_rows()]
        sums = [mean + sum(of_side[row[side]] for side, of_side in bias.items()) for row in rows]
        expected = np.clip(sums, planted_ratings.DISLIKED_RATING, planted_ratings.LIKED_RATING)
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)[features.BIAS_RATING]
        np.testing.assert_allclose(answer, expected, rtol=1e-5)
