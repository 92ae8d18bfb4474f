"""The contract of a model. A model's test file names its module and its hyper-parameters; the rest is here.

A model's default preset also keeps `TrainingContract`, whose trainings are several more. What retrieves keeps
`retrieval.RetrievalContract` too, and what predicts ratings `rating.RatingContract`.

The exported SavedModel computes figures in a fresh process. They are compared with the towers that the run_fn
trained, with the planted data, or with NumPy.
"""

from __future__ import annotations

import types
from typing import Any, TypeVar

import numpy as np
import pytest

from modules import features
from modules.hyperparameters import GradientConfig, RetrievalConfig, TrainingConfig
from tests.contracts.suite.baselines import BASELINE_RANKS
from tests.contracts.suite.fresh_process import Ends
from tests.contracts.suite.planted_run import PlantedRun, Trained
from tests.contracts.suite.rows import QUERY_INPUTS, cold_start_rows

Config = TypeVar("Config", bound=TrainingConfig)


def small(config: Config, **changes: Any) -> Config:
    """Shrink a preset's hyper-parameters to the planted data; which model it is stays."""
    size: dict[str, Any] = {"embedding_dim": 8}
    if isinstance(config, GradientConfig):
        size |= {"batch_size": 128, "epochs": 12}
    if isinstance(config, RetrievalConfig) and config.sequence:
        size |= {"sequence": {"embedding_dim": 8, "epochs": 2}}
    return type(config).model_validate({**config.model_dump(), **size, **changes})


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
            config = self.hyperparameters
            columns = config.embedding_dim * getattr(config, "members", 1)
            for member in ("sequence", "cold_start"):
                if own := getattr(config, member, None):
                    columns += own.embedding_dim
            assert width - columns - getattr(self.hyperparameters, "rating_dim", 0) in (0, 1)

    def test_its_training_is_logged_for_tensorboard(self, trained: Trained) -> None:
        config = self.hyperparameters
        assert type(config).model_validate(trained.log.hyperparameters) == config
        assert trained.log.figures
        last = config.epochs if isinstance(config, GradientConfig) else config.sweeps
        epochs = {name: last for name in trained.log.figures if not name.endswith(", sequences")}
        if sequence := getattr(config, "sequence", None):
            epochs = {name: epochs.get(name, sequence.epochs) for name in trained.log.figures}
        assert len(epochs) == len(trained.log.figures) > (2 if sequence else 0)
        for name, values in trained.log.figures.items():
            assert max(values) == epochs[name] and np.isfinite(list(values.values())).all(), name

    def test_an_example_need_tell_no_more_than_a_request_knows(
        self, trained: Trained, planted_run: PlantedRun
    ) -> None:
        """No rating, no slice, nothing of the film but its title; the user's other features are unknown."""
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
        values = {**self.hyperparameters.model_dump(mode="json"), "embeding_dim": 8}
        with pytest.raises(ValueError, match="embeding_dim"):
            self.module.run_fn(planted_run.fn_args("nowhere", {"hyperparameters": values}))

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
