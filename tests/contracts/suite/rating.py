"""The contract of a model that predicts ratings."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import numpy as np

from modules import features
from tests.contracts.suite.baselines import RatingBaseline
from tests.contracts.suite.model import ModelContract
from tests.contracts.suite.planted_run import PlantedRun, Trained
from tests.contracts.suite.rows import QUERY_INPUTS, cold_start_rows, columns, without_user_features
from tests.contracts.suite.sides import check_sides
from tests.helpers import planted_ratings
from tests.helpers.planted_queries import rate_on_device
from tests.helpers.planted_ratings import Row

# Of the planted ratings in train: a constant predictor's error, in stars.
_HALF_RANGE = (planted_ratings.LIKED_RATING - planted_ratings.DISLIKED_RATING) / 2


class RatingContract(RatingBaseline, ModelContract):
    """What a model keeps that predicts ratings."""

    predictions = {features.PREDICTED_RATING: ("float32", (None,))}
    eval_columns = {features.PREDICTED_RATING: ("float32", (None,))}
    beside = {
        features.RATING_SIGNATURE: (
            {**QUERY_INPUTS, features.MOVIE_TITLE: ("string", (None,))},
            {features.PREDICTED_RATING: ("float32", (None,))},
        )
    }

    def test_it_rates_as_it_was_trained(self, trained: Trained, planted_run: PlantedRun) -> None:
        """What Transform wrote and the towers in memory, against raw features and the fresh process."""
        query_tower, candidate_tower, head = trained.rating
        inputs = planted_run.transformed_eval
        expected = head(query_tower(inputs), candidate_tower(inputs)).numpy()[:, 0]
        expected = np.clip(expected, planted_ratings.DISLIKED_RATING, planted_ratings.LIKED_RATING)
        rows = planted_run.world.eval
        np.testing.assert_allclose(_rate(trained, rows), expected, rtol=1e-4, atol=1e-5)
        for signature in (features.SERVING_SIGNATURE, features.EVAL_SIGNATURE):
            answer = trained.ask_rows(signature, rows)[features.PREDICTED_RATING]
            np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)

    def test_it_predicts_the_planted_ratings(self, trained: Trained, planted_run: PlantedRun) -> None:
        rows = planted_run.world.eval
        error = _rate(trained, rows) - np.array([row[features.RATING] for row in rows])
        assert np.sqrt(np.mean(error**2)) < 0.5 * _HALF_RANGE

    def test_its_tflite_export_agrees_without_tensorflow(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        rows = [*planted_run.world.eval, *without_user_features(planted_run.world.eval), *cold_start_rows()]
        export = rate_on_device(trained.tflite_path, columns(rows, features.MOVIE_TITLE))
        np.testing.assert_allclose(export, _rate(trained, rows), rtol=0, atol=1e-5)

    def test_the_rating_knows_what_a_request_leaves_out(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        check_sides(self.hyperparameters, planted_run, lambda rows: _rate(trained, rows))


class InnerProductContract(RatingContract):
    """What a model keeps whose rating is an inner product."""

    beside = {
        features.RATING_QUERY_SIGNATURE: (
            QUERY_INPUTS,
            {features.QUERY_EMBEDDING: ("float32", (None, mock.ANY))},
        ),
        features.RATING_CANDIDATES_SIGNATURE: (
            {},
            {
                features.MOVIE_TITLE: ("string", (mock.ANY,)),
                features.CANDIDATE_EMBEDDING: ("float32", (mock.ANY, mock.ANY)),
                features.RATING_RANGE: ("float32", (2,)),
            },
        ),
    }

    def test_the_product_of_its_vectors_is_the_rating(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        candidates = trained.call(features.RATING_CANDIDATES_SIGNATURE, {})
        titles = candidates[features.MOVIE_TITLE].tolist()
        rows = [row for row in planted_run.world.eval if row[features.MOVIE_TITLE].encode() in titles]
        vectors = trained.call(features.RATING_QUERY_SIGNATURE, columns(rows))[features.QUERY_EMBEDDING]
        positions = [titles.index(row[features.MOVIE_TITLE].encode()) for row in rows]
        products = (vectors * candidates[features.CANDIDATE_EMBEDDING][positions]).sum(axis=1)
        clipped = np.clip(products, *candidates[features.RATING_RANGE])
        np.testing.assert_allclose(clipped, _rate(trained, rows), rtol=1e-4, atol=1e-5)


class DenseContract(RatingContract):
    """What a model keeps whose rating is that of dense layers."""

    beside = {
        features.RATING_TITLES_SIGNATURE: (
            {**QUERY_INPUTS, features.MOVIE_TITLE: ("string", (None, None))},
            {features.PREDICTED_RATING: ("float32", (None, None))},
        )
    }

    def test_several_titles_of_a_query_are_rated_as_each_alone(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        rows = [*planted_run.world.eval[:5], *cold_start_rows()]
        request = columns(rows, features.MOVIE_TITLE)
        titles = request[features.MOVIE_TITLE]
        shifted = [np.roll(titles, -places) for places in range(3)]
        request[features.MOVIE_TITLE] = np.stack(shifted, axis=1)
        answer = trained.call(features.RATING_TITLES_SIGNATURE, request)[features.PREDICTED_RATING]
        alone = [
            trained.call(features.RATING_SIGNATURE, {**request, features.MOVIE_TITLE: every})
            for every in shifted
        ]
        expected = np.stack([rated[features.PREDICTED_RATING] for rated in alone], axis=1)
        np.testing.assert_allclose(answer, expected, rtol=1e-5)


def _rate(trained: Trained, rows: Sequence[Row]) -> np.ndarray:
    request = columns(rows, features.MOVIE_TITLE)
    return trained.call(features.RATING_SIGNATURE, request)[features.PREDICTED_RATING]
