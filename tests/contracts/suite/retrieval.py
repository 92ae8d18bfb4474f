"""The contract of a model that retrieves."""

from __future__ import annotations

import collections
import os
from collections.abc import Sequence
from unittest import mock

import numpy as np

from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.proof.processes import Job, run_tflite
from components.index_pusher.proof.tflite_check import check_retrieval, device_request
from modules import features
from tests.contracts.suite.baselines import RetrievalBaseline
from tests.contracts.suite.cold_start import KnownColdStartUsers
from tests.contracts.suite.model import ModelContract
from tests.contracts.suite.planted_run import Columns, PlantedRun, Trained
from tests.contracts.suite.rows import QUERY_INPUTS, cold_start_rows, columns, without_user_features
from tests.contracts.suite.sides import check_sides
from tests.helpers import planted_ratings
from tests.helpers.planted_ratings import Row


class RetrievalContract(RetrievalBaseline, KnownColdStartUsers, ModelContract):
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
            mock.ANY,  # See cold_start.py.
            {features.SEEN: ("int32", (None, None)), features.USER_KNOWN: ("bool", (None,))},
        ),
    }

    def test_it_serves_what_it_trained(self, trained: Trained, planted_run: PlantedRun) -> None:
        """What Transform wrote and the towers in memory, against raw features and the fresh process."""
        query_tower, candidate_tower = trained.retrieval
        served = trained.call(features.QUERY_SIGNATURE, columns(planted_run.world.eval))
        expected = query_tower(planted_run.transformed_eval)
        np.testing.assert_allclose(served[features.QUERY_EMBEDDING], expected, rtol=1e-4, atol=1e-5)
        candidates = trained.call(features.CANDIDATES_SIGNATURE, {})
        of_eval = candidates[features.CANDIDATE_EMBEDDING][_positions(candidates, planted_run.world.eval)]
        expected = candidate_tower(planted_run.transformed_eval)
        np.testing.assert_allclose(of_eval, expected, rtol=1e-4, atol=1e-5)

    def test_a_history_speaks_for_a_user_without_an_embedding(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        """The last columns are those of `cold_start`: 0 for a user of train, else the history's sum."""
        member = getattr(self.hyperparameters, "cold_start", None)
        rows = [row for row in planted_run.world.eval if row[features.HISTORY_TITLE]]
        cold = [{**row, features.USER_ID: planted_ratings.COLD_START_USER} for row in rows]
        known, unknown = (
            trained.call(features.QUERY_SIGNATURE, columns(queries))[features.QUERY_EMBEDDING]
            for queries in (rows, cold)
        )
        if not member:
            assert known.shape == unknown.shape
            return
        candidates = trained.call(features.CANDIDATES_SIGNATURE, {})
        vectors = {
            title.decode(): vector
            for title, vector in zip(
                candidates[features.MOVIE_TITLE],
                candidates[features.CANDIDATE_EMBEDDING][:, -member.embedding_dim :],
                strict=True,
            )
        }
        assert (known[:, -member.embedding_dim :] == 0).all()
        expected = [sum(vectors[title] for title in row[features.HISTORY_TITLE]) for row in rows]
        np.testing.assert_allclose(unknown[:, -member.embedding_dim :], expected, rtol=1e-4, atol=1e-5)
        assert np.abs(expected).max() > 0.01

    def test_every_film_is_a_candidate_once(self, trained: Trained, planted_run: PlantedRun) -> None:
        candidates = trained.call(features.CANDIDATES_SIGNATURE, {})
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

    def test_seen_titles_are_those_of_train_and_those_of_the_history(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        users = [f"u{index}" for index in range(planted_ratings.NUM_USERS)]
        # The last but one tells of a film that train does not have, and of one that nobody has.
        history = np.full((len(users) + 2, 2), b"", object)
        history[-2] = [planted_ratings.UNRATED_TITLES[0].encode(), b"No Such Film (1999)"]
        answer = trained.call(
            features.SEEN_SIGNATURE,
            {
                features.USER_ID: np.array([*users, *[planted_ratings.COLD_START_USER] * 2], object),
                features.HISTORY_TITLE: history,
                **{
                    name: np.full(len(history), absent)
                    for name, absent in self.side_features(trained).items()
                },
            },
        )
        titles = trained.call(features.CANDIDATES_SIGNATURE, {})[features.MOVIE_TITLE]
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
        candidates = trained.call(features.CANDIDATES_SIGNATURE, {})
        query = trained.call(features.QUERY_SIGNATURE, columns(rows))[features.QUERY_EMBEDDING]
        scores = query.astype(np.float64) @ candidates[features.CANDIDATE_EMBEDDING].astype(np.float64).T
        unseen = scores.copy()
        ids = [movie_id.decode() for movie_id in candidates[features.MOVIE_ID]]
        for row, scored in zip(rows, unseen, strict=True):
            scored[np.isin(ids, row[features.EXCLUDE_ID])] = -np.inf
        positions = _positions(candidates, rows)
        answer = trained.ask_rows(features.EVAL_SIGNATURE, rows)
        for name, matrix in ((features.RANK, scores), (features.RANK_UNSEEN, unseen)):
            own = np.where(positions < 0, -np.inf, matrix[np.arange(len(rows)), positions])[:, np.newaxis]
            # Float32 scores that are this close may change ranks.
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
        rows = [*planted_run.world.eval, *without_user_features(planted_run.world.eval), *cold_start_rows()]
        request_columns = columns(rows)
        embeddings = trained.call(features.QUERY_SIGNATURE, request_columns)[features.QUERY_EMBEDDING]
        received = trained.call(features.CANDIDATES_SIGNATURE, {})
        candidates = Candidates(
            received[features.MOVIE_TITLE],
            received[features.MOVIE_ID],
            received[features.CANDIDATE_POPULARITY],
            received[features.CANDIDATE_EMBEDDING],
        )
        request, exact = device_request(embeddings, candidates, request_columns)
        path = os.path.join(os.path.dirname(trained.tflite_path), features.RETRIEVAL_TFLITE)
        (answer,) = run_tflite([Job(path, features.RETRIEVE_SIGNATURE, request)])
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
        check_sides(self.hyperparameters, planted_run, lambda rows: _embed(trained, rows))


def _embed(trained: Trained, rows: Sequence[Row]) -> np.ndarray:
    return trained.call(features.QUERY_SIGNATURE, columns(rows))[features.QUERY_EMBEDDING]


def _positions(candidates: Columns, rows: Sequence[Row]) -> np.ndarray:
    """Where the rows' films stand among the candidates; -1 for none."""
    position = {title.decode(): row for row, title in enumerate(candidates[features.MOVIE_TITLE])}
    return np.array([position.get(row[features.MOVIE_TITLE], -1) for row in rows])
