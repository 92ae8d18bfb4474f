"""What a star is worth in the order of the list, chosen on the held-out part of the planted ratings."""

from __future__ import annotations

import json
import types
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from modules import features, hyperparameters, multitask, retrieval
from modules.evaluation.list_measures import Scale
from modules.search_space import SearchConfig
from modules.training import TrainingData
from modules.tuners import blend, held_out
from tests.contracts.suite.model import small

PRESET = hyperparameters.default()
MODELS = hyperparameters.ModelsConfig(
    retrieval=small(PRESET.retrieval, learning_rate=0.02),
    ranking=small(PRESET.ranking, sample_dim=4, sweeps=70, burn_in=30),
    multitask=small(PRESET.multitask, learning_rate=0.02),
)
SEARCH = SearchConfig(space={})
SCALE = Scale(5.0)


@pytest.fixture
def data(fn_args: types.SimpleNamespace) -> TrainingData:
    return held_out.load(fn_args, SEARCH)


class TestTheFigure:
    """Of planted scores: of a title in the catalogue, the same for all; and of its rating."""

    @staticmethod
    def scores(data: TrainingData, values: np.ndarray) -> blend.Scores:
        return lambda batch: tf.tile(tf.constant(values[None], tf.float32), [len(batch[features.RATING]), 1])

    def test_by_hand(self, data: TrainingData) -> None:
        """Only those rows count whose title is among the ten that are left to their users."""
        values = np.random.default_rng(0).permutation(len(data.catalogue)).astype(np.float32)
        nothing = self.scores(data, np.zeros(len(values)))
        found = blend.graded_ndcg(self.scores(data, values), nothing, data, SCALE)
        assert len(set(found.values())) == 1, "whatever the weight of nothing"
        won = total = 0.0
        for rows in held_out.with_known_titles(data):
            columns = (rows.batch[features.RATING][:, 0], rows.positions, rows.known)
            for rating, position, known in zip(*(column.numpy() for column in columns), strict=True):
                gain = 2 ** (rating) - 1
                left = [at for at in np.argsort(-values) if at not in known]
                rank = left.index(position)
                won += gain / np.log2(rank + 2) if rank < 10 else 0
                total += gain
        assert found[0.0] == pytest.approx(won / total, rel=1e-5)

    def test_the_ratings_are_weighed(self, data: TrainingData) -> None:
        """Titles that are rated well come forward with the weight; turned round, the others do."""
        truth = np.zeros(len(data.catalogue), np.float32)
        for rows in held_out.with_known_titles(data):
            truth[rows.positions] = rows.batch[features.RATING][:, 0]
        random = np.random.default_rng(0).normal(size=len(truth))
        helped = blend.graded_ndcg(self.scores(data, random), self.scores(data, truth), data, SCALE)
        harmed = blend.graded_ndcg(self.scores(data, random), self.scores(data, -truth), data, SCALE)
        assert helped[0.0] < helped[0.25] < max(helped.values())
        assert max(harmed, key=harmed.__getitem__) == 0.0

    def test_a_share_of_the_users_may_be_measured_alone(self, data: TrainingData) -> None:
        users = {share: self.users(data, share) for share in (0.5, 1.0)}
        assert 0 < len(users[0.5]) < len(users[1.0])
        assert users[0.5] < users[1.0]

    @staticmethod
    def users(data: TrainingData, share: float) -> set[int]:
        parts = held_out.with_known_titles(data, share)
        return {user for rows in parts for user in rows.batch[features.USER_ID].numpy().ravel().tolist()}


def test_of_data_that_cannot_be_divided_the_weight_is_none(
    fn_args: types.SimpleNamespace,
) -> None:
    config = SEARCH.model_copy(update={"held_out": 1e-9})
    fn_args.custom_config = {"models": {}, "highest_rating": 5.0, "search": config.model_dump(mode="json")}
    tuner, arguments = blend.tuner_fn(fn_args)
    tuner.search(**arguments)
    assert tuner.summary()["rating_weight"] == 0.0


def recording(fit: Callable, fitted: dict) -> Callable:
    def recorded(config: hyperparameters.TrainingConfig, data: TrainingData) -> object:
        fitted[fit.__module__] = config
        return fit(config, data)

    return recorded


@pytest.mark.parametrize("push", ["separate", "multitask"])
def test_the_best_weight_of_the_grid_is_chosen(
    push: str, fn_args: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = ("retrieval", "ranking") if push == "separate" else ("multitask",)
    config = {
        "models": {name: getattr(MODELS, name).model_dump(mode="json") for name in pushed},
        "highest_rating": 5.0,
        "search": SEARCH.model_dump(mode="json"),
    }
    fn_args.custom_config = json.loads(json.dumps(config))
    fitted: dict[str, hyperparameters.TrainingConfig] = {}
    for model in (retrieval, multitask):
        monkeypatch.setattr(model, "fit", recording(model.fit, fitted))
    tuner, arguments = blend.tuner_fn(fn_args)
    assert list(fitted.values()) == [getattr(MODELS, pushed[0])], "it must fit what is served"
    tuner.search(**arguments)
    trials = {
        trial.hyperparameters.values["rating_weight"]: trial.score for trial in tuner.oracle.trials.values()
    }
    members = 2 if push == "separate" else 1
    assert sorted(trials) == [members * weight for weight in blend.WEIGHTS]
    summary = tuner.summary()
    assert summary["score"] == max(trials.values()) == trials[summary["rating_weight"]]
    assert summary["own_score"] == trials[0.0], "to compare with: the score alone"
    (best,) = tuner.get_best_hyperparameters()
    assert best.values == {"rating_weight": summary["rating_weight"]}
