"""The search: KerasTuner chooses the values of trials, a model's own file evaluates them. Runs in the Tuners.

KerasTuner would build Keras 3 models. Here it builds none: it only proposes values and receives scores.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras_tuner
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from common.progress import progress
from modules import search_space
from modules.search_space import Range, SearchConfig, replaced
from modules.training import Config, DivergedError, TrainingData, format_values
from modules.tuners import held_out

Figures = Mapping[str, float]


class TunerFnResult(NamedTuple):
    """Like `tfx.components.tuner.component.TunerFnResult`: a tuner, and the arguments of its `search`."""

    tuner: BaseTuner
    fit_kwargs: dict[str, Any]


def tuner(
    fn_args: Any,
    name: str,
    read: Callable[[Any], Config],
    objective: Callable[[TrainingData], keras_tuner.Objective],
    measure: Callable[[Config, TrainingData], Figures],
) -> TunerFnResult:
    """Make the result of a `tuner_fn`.

    Args:
      fn_args: `tfx.components.FnArgs`, with `candidate_files` as CandidateTuner adds it. Of `custom_config`,
        `hyperparameters` is the model's hyper-parameters as a dict and `search` a SearchConfig as a dict.
      name: of the model, for the progress lines.
      read: makes the model's own hyper-parameters of a dict.
      objective: from the data, name and direction of the metric that ranks trials.
      measure: fits a model to the data's train files and returns metrics of its eval files, with the
        objective among them.
    Raises:
      ValueError: the space does not fit the model, or there are too few rows.
    """
    config = read(fn_args.custom_config["hyperparameters"])
    search = SearchConfig.model_validate(fn_args.custom_config["search"])
    data = held_out.load(fn_args, search)

    def figures(values: Mapping[str, Any]) -> Figures:
        return measure(replaced(config, values), data)

    space = search_space.completed(search.space, config)
    own = search_space.own_values(search.space, config)
    return TunerFnResult(Search(name, objective(data), space, own, search, figures, fn_args.working_dir), {})


class _Oracle(keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation that begins with a model's own values, and repeats no trial.

    References: Snoek, Larochelle and Adams, Practical Bayesian Optimization of Machine Learning Algorithms
    (NeurIPS 2012).
    """

    def __init__(self, own: Mapping[str, Any], **arguments: Any):
        super().__init__(**arguments)
        self._own = dict(own)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the values of the next trial."""
        if not self.trials:
            return {"status": TrialStatus.RUNNING, "values": dict(self._own)}
        proposed = super().populate_space(trial_id)
        # If there are few choices, the best proposal may repeat an earlier trial.
        repeated = proposed["values"] is not None and self._duplicate(proposed["values"])
        return self._random_populate_space() if repeated else proposed


class Search(BaseTuner):
    """A KerasTuner tuner whose trials are a function from values to figures."""

    def __init__(
        self,
        name: str,
        objective: keras_tuner.Objective,
        space: search_space.Space,
        own: Mapping[str, Any],
        search: SearchConfig,
        figures: Callable[[Mapping[str, Any]], Figures],
        folder: str,
    ):
        """Set up the search.

        Args:
          name: of the model, for the progress lines.
          objective: name and direction of the metric that ranks trials.
          space: the search space, with the model's own values.
          own: the model's own values, which are tried first.
          search: number of trials, and their seed.
          figures: fits a model with a trial's values, and returns its metrics.
          folder: folder of KerasTuner's files.
        """
        oracle = self.oracle_of(
            own,
            objective=objective,
            max_trials=search.max_trials,
            # Half of the trials are random, for the optimiser to learn from; KerasTuner would draw three for
            # each hyper-parameter.
            num_initial_points=max(2, search.max_trials // 2),
            hyperparameters=_declared(space, own),
            seed=search.seed + 1,  # KerasTuner takes 0 for none.
            # Any number of trials may diverge.
            max_consecutive_failed_trials=search.max_trials + 1,
        )
        oracle.verbose = 0
        super().__init__(oracle, directory=folder, project_name=name, overwrite=True)
        self._name = name
        self._figures = figures

    def oracle_of(self, own: Mapping[str, Any], **arguments: Any) -> keras_tuner.Oracle:
        """Return what chooses the values of trials."""
        return _Oracle(own, **arguments)

    def search(self) -> None:
        """Run all trials.

        Raises:
          ValueError: no trial has a finite objective.
        """
        # BaseTuner's own loop would count every exception as a failed trial, also a fault in the code.
        while (trial := self.oracle.create_trial(self.tuner_id)).status != TrialStatus.STOPPED:
            self.run_trial(trial)
            self.oracle.end_trial(trial)
            # A Keras model has reference cycles, and would otherwise stay in memory for some trials.
            gc.collect()
        if not self._completed():
            raise ValueError(
                f"a trial of {self._name} must have a finite {self.oracle.objective.name}; none of "
                f"{len(self.oracle.trials)} did. Change the values that tuning.{self._name} lists"
            )
        progress.info("%s: best of %s", self._name, self)

    def run_trial(self, trial: Trial) -> None:
        """Fit and evaluate one trial; it fails if it diverges or does not fit into memory."""
        values, objective, started = (
            trial.hyperparameters.values,
            self.oracle.objective.name,
            time.monotonic(),
        )
        try:
            figures = self._figures(values)
        except (DivergedError, tf.errors.ResourceExhaustedError):
            figures = {objective: math.nan}
        if math.isfinite(figures[objective]):
            self.oracle.update_trial(trial.trial_id, {objective: figures[objective]})
            trial.status = TrialStatus.COMPLETED
        else:
            trial.status = TrialStatus.FAILED
        number, seconds = len(self.oracle.trials), time.monotonic() - started
        progress.info(
            "%s: trial %d of %d, %s: %s (%.0f s)",
            *(
                self._name,
                number,
                self.oracle.max_trials,
                format_values(values),
                format_values(figures),
                seconds,
            ),
        )

    def summary(self) -> dict[str, int | float | str]:
        """Return the outcome: `trials`, `objective`, `score`, `values`.

        Also `own_score`, of the model's own values, if it is finite.
        """
        (best,) = self.oracle.get_best_trials(1)
        first = self.oracle.trials[self.oracle.start_order[0]]
        own = {"own_score": float(first.score)} if first.status == TrialStatus.COMPLETED else {}
        return {
            "trials": len(self.oracle.trials),
            "objective": self.oracle.objective.name,
            "score": float(best.score),
            "values": format_values(best.hyperparameters.values),
            **own,
        }

    def __str__(self) -> str:
        outcome = self.summary()
        return f"{outcome['trials']}, {outcome['objective']} {outcome['score']:.4g}: {outcome['values']}"

    def _completed(self) -> bool:
        return any(trial.status == TrialStatus.COMPLETED for trial in self.oracle.trials.values())


def _declared(space: search_space.Space, own: Mapping[str, Any]) -> keras_tuner.HyperParameters:
    declared = keras_tuner.HyperParameters()
    for path, values in space.items():
        if isinstance(values, Range):
            declared.Float(path, values.low, values.high, sampling="log", default=own[path])
        else:
            declared.Choice(path, list(values), default=type(values[0])(own[path]))
    return declared
