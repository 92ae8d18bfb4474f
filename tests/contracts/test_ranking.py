"""Ranking keeps the contract."""

from __future__ import annotations

import dataclasses
from unittest import mock

import numpy as np
import pytest

from common.progress import progress
from modules import features, ranking, training
from modules import hyperparameters as presets
from modules.bayesian import fields as train_fields
from modules.bayesian import rater_embedding, sampler
from modules.bayesian.factorization_machine import Machine, embed
from modules.bayesian.model import BayesianRankingModel
from modules.data import dataset
from tests.contracts.suite.model import TrainingContract, small
from tests.contracts.suite.planted_run import PlantedRun
from tests.contracts.suite.rating import DenseContract, InnerProductContract

DEFAULT = presets.BayesianRankingConfig.model_validate(presets.default().ranking)
# Planted preferences have no main effects, so that the first draws stay near none.
SAMPLING = {"sample_dim": 4, "sweeps": 180, "burn_in": 120}
FACTORIZATION = presets.ranking_preset("factorization").model_copy(update={"history": None})


class TestDefault(TrainingContract, InnerProductContract):
    module = ranking
    hyperparameters = small(DEFAULT, **SAMPLING)

    def test_a_loss_that_does_not_stay_finite_ends_the_training(self, planted_run: PlantedRun) -> None:
        load = training.load

        def wild(fn_args: object) -> training.TrainingData:
            data = load(fn_args)
            ratings = data.interactions.ratings * np.float32(1e30)
            return dataclasses.replace(
                data, interactions=dataclasses.replace(data.interactions, ratings=ratings)
            )

        with (
            mock.patch.object(training, "load", wild),
            pytest.raises(
                training.DivergedError, match="must stay finite; in sweep 1, .* head to factorization"
            ),
        ):
            planted_run.train(self.module, self.hyperparameters, export=False)

    def test_the_training_shows_its_progress(
        self, planted_run: PlantedRun, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", progress.name):
            planted_run.train(self.module, self.hyperparameters, export=False)
        lines = [line for line in caplog.messages if line.startswith("ranking: sweep ")]
        assert [line.split(",")[0] for line in lines] == [
            f"ranking: sweep {sweep} of 180" for sweep in (135, 150, 165, 180)
        ]
        assert all(", RMSE 0." in line or ", RMSE 1." in line for line in lines)

    def test_it_may_be_as_short_as_the_first_draw(self, planted_run: PlantedRun) -> None:
        short = small(self.hyperparameters, sweeps=3, burn_in=2)
        planted_run.train(self.module, short, export=False)


class TestIdsAndSides(InnerProductContract):
    module = ranking
    hyperparameters = small(DEFAULT, **SAMPLING, rater_embedding_dim=0, history=False)


class TestFactorization(TrainingContract, InnerProductContract):
    module = ranking
    hyperparameters = small(FACTORIZATION, learning_rate=0.02)


class TestTutorial(DenseContract):
    module = ranking
    hyperparameters = small(presets.tutorial().ranking, epochs=60)


def test_the_towers_compute_what_was_sampled(planted_run: PlantedRun) -> None:
    """Every kind of feature, on the rows of train: random tables by the fields, and by the towers."""
    every = {
        side: tuple(f.name for f in features.TRANSFORMED_FEATURES if f.side is side) for side in features.Side
    }
    config = small(
        DEFAULT,
        query_features=every[features.Side.QUERY],
        candidate_features=every[features.Side.CANDIDATE],
    )
    data = training.load(planted_run.fn_args("nowhere", {}))
    model = BayesianRankingModel(config, data)
    query = train_fields.query_fields(config, data)
    candidate = train_fields.candidate_fields(config, data, model.rater_embeddings)
    assert rater_embedding.NAME in candidate
    assert {field.level for field in query.values()} == {"user", "row", features.TIMESTAMP_BUCKET}
    draw = np.random.default_rng(0)
    fields = {**query, **candidate}
    width = config.embedding_dim + 1
    tables = {name: draw.normal(size=(field.size, width)).astype("f") for name, field in fields.items()}
    model.assign(Machine(3.5, tables))

    rows = np.arange(len(data.interactions.ratings))
    q, c = (embed(side, tables, rows) for side in (query, candidate))
    expected = 3.5 + q[:, -1] + c[:, -1] + np.sum(q[:, :-1] * c[:, :-1], axis=1)
    batches = dataset.ratings(data.train_files, data.transform)
    received = np.concatenate([model.rate(batch).numpy()[:, 0] for batch in batches])
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-3)
    # And it can be sampled.
    machine = next(sampler.draws(query, candidate, data.interactions.ratings, 2, 1))
    assert machine.tables.keys() == fields.keys()
