"""The contract of a model. A model's test file names its module and its hyper-parameters; the rest is here.

A model's default preset also keeps `TrainingContract`, whose trainings are several more.

Figures are asked of the exported SavedModel in a fresh process, and compared with the towers that the run_fn
trained, with the planted data, or with NumPy.
"""

from __future__ import annotations

import collections
import os
import types
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import pydantic
import pytest

from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.proof.processes import Job, ask_tflite
from components.index_pusher.proof.tflite_check import check_retrieval, device_request
from modules import features
from modules.hyperparameters import TrainingConfig
from tests import planted_ratings
from tests.contracts.baselines import BASELINE_RANKS, RatingBaseline, RetrievalBaseline
from tests.contracts.fresh_process import Ends
from tests.contracts.newcomers import KnownNewcomers
from tests.contracts.planted_run import Columns, PlantedRun, Trained
from tests.contracts.rows import QUERY_INPUTS, cold_start_rows, columns, untold
from tests.planted_queries import rate_on_device
from tests.planted_ratings import Row

Config = TypeVar("Config", bound=TrainingConfig)

# Of the planted ratings in train: a constant predictor's error, in stars.
_HALF_RANGE = (planted_ratings.LIKED_RATING - planted_ratings.DISLIKED_RATING) / 2


def small(config: Config, **changes: Any) -> Config:
    """Shrink a preset's hyper-parameters to the planted data; which model it is stays."""
    size = {"embedding_dim": 8, "batch_size": 128, "epochs": 12, **changes}
    return type(config).model_validate({**config.model_dump(), **size})


class ModelContract:
    """What every model keeps. A subclass states `module` and `hyperparameters`."""

    module: types.ModuleType
    hyperparameters: TrainingConfig
    # What serving_default and eval return, and the signatures beside them.
    predictions: Ends = {}
    eval_columns: Ends = {}
    beside: dict[str, tuple[Ends, Ends]] = {}

    @pytest.fixture(scope="class")
    def trained(self, request: pytest.FixtureRequest, planted_run: PlantedRun) -> Trained:
        return planted_run.train(request.cls.module, request.cls.hyperparameters)

    def test_it_declares_the_signatures_of_its_kind(self, trained: Trained) -> None:
        def declared(name: str) -> dict:
            return {key: ends for cls in type(self).__mro__ for key, ends in vars(cls).get(name, {}).items()}

        examples = {features.EXAMPLES_INPUT: ("string", (None,))}
        assert trained.signatures() == {
            features.SERVING_SIGNATURE: (examples, declared("predictions")),
            features.EVAL_SIGNATURE: (examples, declared("eval_columns")),
            **declared("beside"),
        }

    def test_it_is_built_from_the_hyper_parameters_of_custom_config(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        for query_tower, candidate_tower, *_ in filter(None, (trained.retrieval, trained.rating)):
            width = query_tower(planted_run.transformed_eval).shape[1]
            assert candidate_tower(planted_run.transformed_eval).shape[1] == width
            # A machine has a column of linear terms too, and the joint one columns for the rating alone.
            columns = self.hyperparameters.embedding_dim * getattr(self.hyperparameters, "members", 1)
            assert width - columns - getattr(self.hyperparameters, "rating_dim", 0) in (0, 1)

    def test_an_example_need_tell_no_more_than_a_request_knows(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        """No rating, no slice, nothing of the film but its title; what is not told of the user is unknown."""
        rows = [*planted_run.world.eval, *cold_start_rows()]
        side = (features.USER_GENDER, features.USER_AGE, features.USER_OCCUPATION)
        kept = {*QUERY_INPUTS, features.MOVIE_TITLE}.difference(side)
        bare = [{name: value for name, value in row.items() if name in kept} for row in rows]
        absent = {row.name: row.default for row in features.QUERY_FEATURES if row.name in side}
        answer = trained.ask_rows(features.SERVING_SIGNATURE, bare)
        expected = trained.ask_rows(features.SERVING_SIGNATURE, [{**row, **absent} for row in rows])
        for name, column in expected.items():
            np.testing.assert_array_equal(answer[name], column)

    def test_cold_start_users_get_finite_figures(self, trained: Trained, planted_run: PlantedRun) -> None:
        candidates = {row[features.MOVIE_TITLE] for row in planted_run.world.catalogue}
        absent = np.array([row[features.MOVIE_TITLE] not in candidates for row in cold_start_rows()])
        for signature in (features.SERVING_SIGNATURE, features.EVAL_SIGNATURE):
            for name, column in trained.ask_rows(signature, cold_start_rows()).items():
                if name in (features.RANK, features.RANK_UNSEEN, *BASELINE_RANKS):
                    assert (np.isposinf(column) == absent).all(), "what is no candidate has no finite rank"
                    column = column[~absent]
                assert column.dtype == object or np.isfinite(column).all(), name


class TrainingContract(ModelContract):
    """What a module keeps while it trains, whatever the preset: once for each way of training."""

    def test_a_hyper_parameter_that_it_does_not_have_is_refused(self, planted_run: PlantedRun) -> None:
        asked = {**self.hyperparameters.model_dump(mode="json"), "embeding_dim": 8}
        with pytest.raises(pydantic.ValidationError, match="embeding_dim"):
            self.module.run_fn(planted_run.fn_args("nowhere", {"hyperparameters": asked}))

    def test_a_loss_that_does_not_stay_finite_ends_the_training(self, planted_run: PlantedRun) -> None:
        wild = self.hyperparameters.model_copy(update={"learning_rate": 1e30})
        with pytest.raises(ValueError, match="must stay finite; .* Lower its learning_rate, 1e\\+30"):
            planted_run.train(self.module, wild, export=False)

    def test_the_seed_decides_the_weights(self, trained: Trained, planted_run: PlantedRun) -> None:
        def figures(model: Trained) -> np.ndarray:
            towers = [tower for parts in (model.retrieval, model.rating) for tower in parts[:2]]
            return np.concatenate([tower(planted_run.transformed_eval) for tower in towers], axis=1)

        again = planted_run.train(self.module, self.hyperparameters, export=False)
        np.testing.assert_allclose(figures(again), figures(trained), rtol=1e-4, atol=1e-5)
        reseeded = self.hyperparameters.model_copy(update={"seed": self.hyperparameters.seed + 1})
        other = planted_run.train(self.module, reseeded, export=False)
        assert np.abs(figures(other) - figures(trained)).mean() > 0.01


class RetrievalContract(RetrievalBaseline, KnownNewcomers, ModelContract):
    """What a model keeps that retrieves."""

    predictions = {
        features.MOVIE_TITLE: ("string", (None, mock.ANY)),
        features.MOVIE_ID: ("string", (None, mock.ANY)),
        features.SCORE: ("float32", (None, mock.ANY)),
    }
    eval_columns = {features.RANK: ("float32", (None,)), features.RANK_UNSEEN: ("float32", (None,))}
    beside = {
        features.QUERY_SIGNATURE: (
            QUERY_INPUTS,
            {features.QUERY_EMBEDDING: ("float32", (None, mock.ANY))},
        ),
        features.CANDIDATES_SIGNATURE: (
            {},
            {
                features.MOVIE_ID: ("string", (mock.ANY,)),
                features.MOVIE_TITLE: ("string", (mock.ANY,)),
                features.CANDIDATE_POPULARITY: ("int64", (mock.ANY,)),
                features.CANDIDATE_EMBEDDING: ("float32", (mock.ANY, mock.ANY)),
            },
        ),
        features.SEEN_SIGNATURE: (
            mock.ANY,  # See newcomers.py.
            {features.SEEN: ("int32", (None, None)), features.USER_KNOWN: ("bool", (None,))},
        ),
    }

    def test_it_serves_what_it_trained(self, trained: Trained, planted_run: PlantedRun) -> None:
        """What Transform wrote and the towers in memory, against raw features and the fresh process."""
        query_tower, candidate_tower = trained.retrieval
        served = trained.ask(features.QUERY_SIGNATURE, columns(planted_run.world.eval))
        expected = query_tower(planted_run.transformed_eval)
        np.testing.assert_allclose(served[features.QUERY_EMBEDDING], expected, rtol=1e-4, atol=1e-5)
        candidates = trained.ask(features.CANDIDATES_SIGNATURE, {})
        of_eval = candidates[features.CANDIDATE_EMBEDDING][_positions(candidates, planted_run.world.eval)]
        expected = candidate_tower(planted_run.transformed_eval)
        np.testing.assert_allclose(of_eval, expected, rtol=1e-4, atol=1e-5)

    def test_every_film_is_a_candidate_once(self, trained: Trained, planted_run: PlantedRun) -> None:
        candidates = trained.ask(features.CANDIDATES_SIGNATURE, {})
        counts = collections.Counter(row[features.MOVIE_TITLE] for row in planted_run.world.train)
        assert sorted(
            zip(
                [title.decode() for title in candidates[features.MOVIE_TITLE]],
                [movie_id.decode() for movie_id in candidates[features.MOVIE_ID]],
                candidates[features.CANDIDATE_POPULARITY].tolist(),
                strict=True,
            )
        ) == sorted(
            (row[features.MOVIE_TITLE], row[features.MOVIE_ID], counts[row[features.MOVIE_TITLE]])
            for row in planted_run.world.catalogue
        )

    def test_seen_is_what_train_holds_of_a_user_and_what_is_told(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        users = [f"u{index}" for index in range(planted_ratings.NUM_USERS)]
        # The last but one tells of a film that train does not have, and of one that nobody has.
        told = np.full((len(users) + 2, 2), b"", object)
        told[-2] = [planted_ratings.UNRATED_TITLES[0].encode(), b"No Such Film (1999)"]
        answer = trained.ask(
            features.SEEN_SIGNATURE,
            {
                features.USER_ID: np.array([*users, *[planted_ratings.NEWCOMER] * 2], object),
                features.HISTORY_TITLE: told,
                **{name: np.full(len(told), absent) for name, absent in self.described(trained).items()},
            },
        )
        titles = trained.ask(features.CANDIDATES_SIGNATURE, {})[features.MOVIE_TITLE]
        rated = collections.defaultdict(set)
        for row in planted_run.world.train:
            rated[row[features.USER_ID]].add(row[features.MOVIE_TITLE])
        for user, row in zip(users, answer[features.SEEN], strict=False):
            assert sorted(titles[row[row >= 0]]) == sorted(title.encode() for title in rated[user])
        *_, teller, cold_start = answer[features.SEEN]
        assert titles[teller[teller >= 0]].tolist() == [planted_ratings.UNRATED_TITLES[0].encode()]
        assert (cold_start == -1).all()
        assert answer[features.USER_KNOWN].tolist() == [True] * len(users) + [True, False]

    def test_its_ranks_equal_numpys(self, trained: Trained, planted_run: PlantedRun) -> None:
        rows = [*planted_run.world.eval, *cold_start_rows()]
        candidates = trained.ask(features.CANDIDATES_SIGNATURE, {})
        query = trained.ask(features.QUERY_SIGNATURE, columns(rows))[features.QUERY_EMBEDDING]
        scores = query.astype(np.float64) @ candidates[features.CANDIDATE_EMBEDDING].astype(np.float64).T
        unseen = scores.copy()
        ids = [movie_id.decode() for movie_id in candidates[features.MOVIE_ID]]
        for row, scored in zip(rows, unseen, strict=True):
            scored[np.isin(ids, row[features.EXCLUDE_ID])] = -np.inf
        positions = _positions(candidates, rows)
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        for name, matrix in ((features.RANK, scores), (features.RANK_UNSEEN, unseen)):
            own = np.where(positions < 0, -np.inf, matrix[np.arange(len(rows)), positions])[:, np.newaxis]
            # Float32 scores that are this close may change places.
            surely, perhaps = (matrix > own + 1e-5).sum(axis=1), (matrix >= own - 1e-5).sum(axis=1) - 1
            candidate = ~np.isneginf(own[:, 0])
            assert (np.isposinf(answer[name]) == ~candidate).all(), name
            assert ((surely <= answer[name]) & (answer[name] <= perhaps))[candidate].all(), name
            assert (surely == perhaps)[candidate].mean() > 0.8, "the bounds are too loose to tell ranks apart"

    def test_it_recommends_what_a_user_has_not_seen_best_first(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        rows = planted_run.world.eval
        answer = trained.ask_rows(features.SERVING_SIGNATURE, rows)
        rated = {(row[features.USER_ID], row[features.MOVIE_TITLE]) for row in planted_run.world.train}
        ids = {row[features.MOVIE_TITLE]: row[features.MOVIE_ID] for row in planted_run.world.catalogue}
        for row, titles, movie_ids in zip(
            rows, answer[features.MOVIE_TITLE], answer[features.MOVIE_ID], strict=True
        ):
            recommended = [title.decode() for title in titles if title]
            unseen = [title for title in ids if (row[features.USER_ID], title) not in rated]
            assert sorted(recommended) == sorted(unseen)
            padding = [""] * (len(titles) - len(unseen))
            assert [i.decode() for i in movie_ids] == [ids[title] for title in recommended] + padding
        assert np.isfinite(answer[features.SCORE]).all()
        assert (np.diff(answer[features.SCORE], axis=1) <= 0).all()

    def test_its_tflite_export_finds_what_it_finds_without_tensorflow(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        rows = [*planted_run.world.eval, *untold(planted_run.world.eval), *cold_start_rows()]
        asked = columns(rows)
        embeddings = trained.ask(features.QUERY_SIGNATURE, asked)[features.QUERY_EMBEDDING]
        received = trained.ask(features.CANDIDATES_SIGNATURE, {})
        candidates = Candidates(
            received[features.MOVIE_TITLE],
            received[features.MOVIE_ID],
            received[features.CANDIDATE_POPULARITY],
            received[features.CANDIDATE_EMBEDDING],
        )
        request, exact = device_request(embeddings, candidates, asked)
        path = os.path.join(os.path.dirname(trained.tflite_path), features.RETRIEVAL_TFLITE)
        (answer,) = ask_tflite([Job(path, features.RETRIEVE_SIGNATURE, request)])
        row = check_retrieval(answer, exact, candidates)
        assert row.passes, row
        assert os.path.getsize(features.quantized(path)) < os.path.getsize(path)

    def test_it_finds_the_planted_preference(self, trained: Trained, planted_run: PlantedRun) -> None:
        liked = [r for r in planted_run.world.eval if r[features.RATING] == planted_ratings.LIKED_RATING]
        answer = trained.ask_rows(features.EVAL_SIGNATURE, liked)
        # Of 51 films a user has seen 31: by chance a quarter of the users find theirs among the first five.
        assert len(liked) == planted_ratings.NUM_USERS
        assert (answer[features.RANK_UNSEEN] < 5).mean() > 0.9

    def test_what_a_request_leaves_out_is_known_of_a_known_user(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        _check_sides(self.hyperparameters, planted_run, lambda rows: _embed(trained, rows))


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
        rows = [*planted_run.world.eval, *untold(planted_run.world.eval), *cold_start_rows()]
        export = rate_on_device(trained.tflite_path, columns(rows, features.MOVIE_TITLE))
        np.testing.assert_allclose(export, _rate(trained, rows), rtol=0, atol=1e-5)

    def test_the_rating_knows_what_a_request_leaves_out(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        _check_sides(self.hyperparameters, planted_run, lambda rows: _rate(trained, rows))


def _embed(trained: Trained, rows: Sequence[Row]) -> np.ndarray:
    return trained.ask(features.QUERY_SIGNATURE, columns(rows))[features.QUERY_EMBEDDING]


def _rate(trained: Trained, rows: Sequence[Row]) -> np.ndarray:
    asked = columns(rows, features.MOVIE_TITLE)
    return trained.ask(features.RATING_SIGNATURE, asked)[features.PREDICTED_RATING]


def _check_sides(config: TrainingConfig, run: PlantedRun, ask: Callable[[Sequence[Row]], np.ndarray]) -> None:
    """A known user's own side features stand in for absent ones; what a request says is believed."""
    told = run.world.eval
    np.testing.assert_allclose(ask(untold(told)), ask(told), rtol=1e-5, atol=1e-6)
    lie = {"F": "M", "M": "F"}
    otherwise = [{**row, features.USER_GENDER: lie[row[features.USER_GENDER]]} for row in told]
    differs = not np.allclose(ask(otherwise), ask(told), rtol=1e-5, atol=1e-6)
    assert differs == (features.USER_GENDER in config.query_features)
    # Rows of eval come after all of train, so their histories are what the bundle's table has of the users.
    assert all(len(row[features.HISTORY_TITLE]) == features.HISTORY_LENGTH for row in told)
    others = [{**row, **_history(other)} for row, other in zip(told, reversed(told), strict=True)]
    assert (not np.allclose(ask(others), ask(told), rtol=1e-5, atol=1e-6)) == (config.history is not None)
    # What is told of the future is not believed.
    future = [_with_future(row) for row in told]
    np.testing.assert_allclose(ask(future), ask(told), rtol=1e-5, atol=1e-6)


def _history(row: Row) -> dict:
    return {feature.name: row[feature.name] for feature in features.HISTORY_FEATURES}


def _with_future(row: Row) -> dict:
    """The row with a rating of its own second and a later one before its others."""
    later = {
        features.HISTORY_TITLE: [row[features.MOVIE_TITLE]] * 2,
        features.HISTORY_RATING: [5.0, 1.0],
        features.HISTORY_TIMESTAMP: [row[features.TIMESTAMP] + 5, row[features.TIMESTAMP]],
    }
    return {**row, **{name: [*later[name], *row[name]] for name in later}}


def _positions(candidates: Columns, rows: Sequence[Row]) -> np.ndarray:
    """Where the rows' films stand among the candidates; -1 for none."""
    place = {title.decode(): row for row, title in enumerate(candidates[features.MOVIE_TITLE])}
    return np.array([place.get(row[features.MOVIE_TITLE], -1) for row in rows])
