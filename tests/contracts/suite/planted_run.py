"""Train a model on the planted ratings as the Trainer does, and keep what its contract is checked against."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence
from unittest import mock

import numpy as np
import tensorflow as tf

from modules import features
from modules.data import dataset
from modules.evaluation import training_log
from modules.export import saved_model, tflite
from modules.hyperparameters import TrainingConfig
from tests.contracts.suite import fresh_process
from tests.contracts.suite.fresh_process import Ends
from tests.helpers import planted_ratings

Columns = dict[str, np.ndarray]
Parts = tuple[Callable[..., tf.Tensor], ...]


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run_fn left.

    Attributes:
      serving_dir: of the SavedModel.
      retrieval: the query and the candidate tower that it handed over for export, where it has them.
      rating: the same with the head.
    """

    serving_dir: str
    retrieval: Parts
    rating: Parts
    _process: concurrent.futures.Executor

    @property
    def tflite_path(self) -> str:
        """The TFLite export, where the model has one."""
        return os.path.join(os.path.dirname(self.serving_dir), features.TFLITE_DIR, features.RANKING_TFLITE)

    @property
    def log(self) -> training_log.Log:
        """What the training logged."""
        return training_log.read(log_dir(self.serving_dir))

    def signatures(self) -> dict[str, tuple[Ends, Ends]]:
        """Inputs and outputs by signature."""
        return self._process.submit(fresh_process.describe, self.serving_dir).result()

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Columns:
        """Call a signature in a fresh process."""
        return self._process.submit(fresh_process.call, self.serving_dir, signature, inputs).result()

    def ask_rows(self, signature: str, rows: Sequence[planted_ratings.Row]) -> Columns:
        """Call a signature that takes serialised Examples."""
        records = np.array([planted_ratings.serialized(row) for row in rows], object)
        return self.call(signature, {features.EXAMPLES_INPUT: records})


def log_dir(serving_dir: str) -> str:
    """Return the folder of the log of the training that wrote a SavedModel."""
    return os.path.join(os.path.dirname(serving_dir), "log")


def write_artifacts(folder: pathlib.Path) -> None:
    """Write what the ExampleGen and Transform would have of the planted ratings."""
    world = planted_ratings.make_world()
    planted_ratings.transform({"train": world.train, "eval": world.eval}, folder)
    planted_ratings.write(map(planted_ratings.serialized, world.catalogue), folder / "catalogue")


class PlantedRun:
    """The planted ratings, transformed once, as the artifacts that a Trainer reads."""

    def __init__(self, artifacts: pathlib.Path, models: pathlib.Path, process: concurrent.futures.Executor):
        """Take the artifacts.

        Args:
          artifacts: where `write_artifacts` wrote them.
          models: an empty folder, for what is trained.
          process: the process that calls the SavedModels.
        """
        self.world = planted_ratings.make_world()
        self._artifacts, self._models, self._process = artifacts, models, process
        self._numbers = itertools.count()
        self._transformed = planted_ratings.transformed(("train", "eval"), artifacts)
        self._candidates = str(artifacts / "catalogue" / "*")
        transform = planted_ratings.load_transform(artifacts)
        self.catalogue = dataset.load_catalogue([self._candidates], transform.transform_features_layer())
        # With histories as long as those that an exported model reads.
        (batch,) = dataset.ratings(
            [self._transformed["eval"]], transform, history_length=features.HISTORY_LENGTH
        )
        users = np.array(transform.vocabulary_by_name(features.USER_ID))[batch[features.USER_ID][:, 0]]
        titles = batch[features.CANDIDATE_KEY][:, 0].numpy()
        position = {key: row for row, key in enumerate(zip(users.tolist(), titles.tolist(), strict=True))}
        order = [
            position[row[features.USER_ID].encode(), row[features.MOVIE_TITLE].encode()]
            for row in self.world.eval
        ]
        # What Transform wrote of the eval split, in the order of world.eval.
        self.transformed_eval = {name: tf.gather(values, order) for name, values in batch.items()}

    def train(
        self, module: types.ModuleType, hyperparameters: TrainingConfig, export: bool = True
    ) -> Trained:
        """Call the run_fn of a module with what the Trainer would hand to it.

        Args:
          module: of the model.
          hyperparameters: handed over as JSON, as TFX does.
          export: whether to write the model; that takes longer than training it.
        """
        serving_dir = str(self._models / f"model-{next(self._numbers)}" / features.SERVING_DIR)
        custom_config = json.dumps({"hyperparameters": hyperparameters.model_dump(mode="json")})
        with contextlib.ExitStack() as stack:
            retrieval = stack.enter_context(_watched("add_retrieval", export))
            rating = stack.enter_context(_watched("add_rating", export))
            if not export:
                stack.enter_context(mock.patch.object(saved_model.ServedModel, "save"))
                stack.enter_context(mock.patch.object(tflite, "export"))
            module.run_fn(self.fn_args(serving_dir, json.loads(custom_config)))
        return Trained(serving_dir, _handed(retrieval), _handed(rating), self._process)

    def fn_args(self, serving_dir: str, custom_config: dict) -> types.SimpleNamespace:
        """Return what a run_fn reads of TFX's FnArgs."""
        return types.SimpleNamespace(
            train_files=[self._transformed["train"]],
            eval_files=[self._transformed["eval"]],
            transform_output=str(self._artifacts / "graph"),
            candidate_files=[self._candidates],
            serving_model_dir=serving_dir,
            # A test that exports nothing gives a relative path; no log goes to the current folder.
            model_run_dir=log_dir(str(self._artifacts / serving_dir)),
            custom_config=custom_config,
            hyperparameters=None,
        )


def _watched(method: str, export: bool) -> contextlib.AbstractContextManager[mock.Mock]:
    """Note what a run_fn hands over for export to a method of ServedModel."""
    original = getattr(saved_model.ServedModel, method)
    effect = original if export else None
    return mock.patch.object(saved_model.ServedModel, method, autospec=True, side_effect=effect)


def _handed(method: mock.Mock) -> Parts:
    return method.call_args.args[1:] if method.called else ()
