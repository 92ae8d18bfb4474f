"""What the eval signature says beside a model's own answers: those of the baselines, and what is shown.

Parts of the suite; every figure is worked out from the planted rows.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping

import numpy as np

from modules import features
from modules.data import baselines, item_item
from tests.contracts.suite.fresh_process import Ends
from tests.contracts.suite.planted_run import PlantedRun, Trained
from tests.contracts.suite.rows import cold_start_rows
from tests.helpers import planted_ratings

BASELINE_RANKS = (features.POPULARITY_RANK_UNSEEN, features.ITEM_ITEM_RANK_UNSEEN)


class RetrievalBaseline:
    """Columns that a model that retrieves has for comparison."""

    eval_columns: Ends = {
        **dict.fromkeys(BASELINE_RANKS, ("float32", (None,))),
        features.TOP_UNSEEN: ("int32", (None, features.COVERAGE_DEPTH)),
        **dict.fromkeys((features.NUM_CANDIDATES, features.NUM_EXCLUDED), ("int32", (None,))),
    }

    def test_beside_its_ranks_are_those_of_popularity(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        world = planted_run.world
        counts = collections.Counter(row[features.MOVIE_TITLE] for row in world.train)
        titles = {row[features.MOVIE_ID]: row[features.MOVIE_TITLE] for row in world.catalogue}
        popular = sorted(sorted(titles.values(), key=str.encode), key=lambda title: -counts[title])
        rows = [*world.eval, *cold_start_rows()]
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        for position, row in enumerate(rows):
            excluded = {titles[movie_id] for movie_id in row[features.EXCLUDE_ID]}
            unseen = [title for title in popular if title not in excluded]
            title = row[features.MOVIE_TITLE]
            expected = unseen.index(title) if title in unseen else np.inf
            assert answer[features.POPULARITY_RANK_UNSEEN][position] == expected, row
            assert answer[features.NUM_EXCLUDED][position] == len(excluded)

    def test_beside_its_ranks_are_those_of_the_item_item_model(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        """Of EASE with all of its weights, for there are fewer titles than weights that are kept."""
        world = planted_run.world
        candidates = trained.call(features.CANDIDATES_SIGNATURE, {})
        ids = [movie_id.decode() for movie_id in candidates[features.MOVIE_ID]]
        titles = [title.decode() for title in candidates[features.MOVIE_TITLE]]
        assert len(ids) < item_item.NUM_NEIGHBOURS
        users = sorted({row[features.USER_ID] for row in world.train})
        rated = np.zeros((len(users), len(ids)))
        for row in world.train:
            rated[users.index(row[features.USER_ID]), ids.index(row[features.MOVIE_ID])] = 1
        inverse = np.linalg.inv(rated.T @ rated + item_item.L2 * np.eye(len(ids)))
        weights = np.eye(len(ids)) - inverse / np.diag(inverse)
        answer = trained.ask_rows(features.EVAL_SIGNATURE, world.eval)[features.ITEM_ITEM_RANK_UNSEEN]
        sure = 0
        for row, rank in zip(world.eval, answer, strict=True):
            excluded = np.isin(ids, row[features.EXCLUDE_ID])
            scores = np.where(excluded, -np.inf, excluded @ weights)
            own = scores[titles.index(row[features.MOVIE_TITLE])]
            # Popularity decides among what is this close.
            least, most = (scores > own + 1e-6).sum(), (scores > own - 1e-6).sum() - 1
            assert least <= rank <= most
            sure += least == most
        assert sure > len(answer) / 4

    def test_the_item_item_model_ranks_by_popularity_where_nothing_is_known(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        """As the list does that such a request is served; no tie counts against a title."""
        rows = [{**row, features.EXCLUDE_ID: []} for row in [*planted_run.world.eval, *cold_start_rows()]]
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        popularity, item_item_model = (answer[name] for name in BASELINE_RANKS)
        np.testing.assert_array_equal(item_item_model, popularity)

    def test_a_row_whose_title_is_excluded_has_no_rank_among_the_unseen(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        row = planted_run.world.eval[0]
        again = {**row, features.EXCLUDE_ID: [*row[features.EXCLUDE_ID], row[features.MOVIE_ID]]}
        answer = trained.ask_rows(features.EVAL_SIGNATURE, [row, again])
        for name in (features.RANK_UNSEEN, *BASELINE_RANKS):
            assert answer[name][0] >= 0
            assert answer[name][1] == features.EXCLUDED_ROW
        assert answer[features.RANK][0] == answer[features.RANK][1]

    def test_the_ten_best_of_coverage_are_those_that_it_recommends(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        rows = planted_run.world.eval
        titles = trained.call(features.CANDIDATES_SIGNATURE, {})[features.MOVIE_TITLE]
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        served = trained.ask_rows(features.SERVING_SIGNATURE, rows)[features.MOVIE_TITLE]
        assert (titles[answer[features.TOP_UNSEEN]] == served[:, : features.COVERAGE_DEPTH]).all()
        assert (answer[features.NUM_CANDIDATES] == len(planted_run.world.catalogue)).all()


class RatingBaseline:
    """The column that a model that predicts ratings has for comparison."""

    eval_columns: Ends = dict.fromkeys((features.BIAS_RATING, features.MEAN_RATING), ("float32", (None,)))

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
        columns = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        np.testing.assert_allclose(columns[features.MEAN_RATING], mean, rtol=1e-5)
        answer = columns[features.BIAS_RATING]
        np.testing.assert_allclose(answer, expected, rtol=1e-5)
