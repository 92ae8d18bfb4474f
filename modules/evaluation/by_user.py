"""Sums of an Evaluator's rows by user, and what they come to: the base of its metrics. Runs in Beam workers.

A combiner sums by user, so that intervals can be had by resampling users: the rows of one user are not
independent. Challenger and champion are measured on the same rows and resamples: both find the same rows
hard, so their difference is known better than either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from modules import features
from modules.evaluation import measures
from modules.evaluation.results import ROWS

# Of a metric that is a mean over rows: its value, and the ends of its interval.
ENDS = ("", features.LOWER, features.UPPER)

# Columns of the eval signature and the rating, `[rows, width]` each.
Columns = Mapping[str, np.ndarray]


def key(name: str, model_name: str) -> metric_types.MetricKey:
    """Name a metric for TFMA, which looks thresholds by name up under a key that says nothing of weights."""
    return metric_types.MetricKey(name, model_name=model_name, example_weighted=None)


@dataclasses.dataclass
class _Sums:
    """What is known of the rows that came so far.

    Attributes:
      by_user: sums of each user's rows, their number first, then those of each model.
      shared: of each model, sums that are not by user.
    """

    by_user: dict[bytes, np.ndarray] = dataclasses.field(default_factory=dict)
    shared: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def add(self, user: bytes, sums: np.ndarray) -> None:
        """Add to a user's sums; `sums`, which may be a part of something large, is not kept."""
        self.by_user[user] = self.by_user[user] + sums if user in self.by_user else sums.copy()

    def add_shared(self, model: str, sums: np.ndarray) -> None:
        """Add to a model's sums."""
        self.shared[model] = self.shared[model] + sums if model in self.shared else sums


class ByUser(beam.CombineFn):
    """Sums blocks of rows, as of modules.evaluation.extractors.

    Of two models the first is the challenger, the second the champion. The challenger's columns say for both
    which rows count, and at which depth.
    """

    # Columns of the eval signature that are read; figures that are means over rows; all others. Of the means,
    # the one in which challenger and champion are compared, and 1 where more of it is better, else -1.
    columns: tuple[str, ...]
    means: tuple[str, ...]
    others: tuple[str, ...]
    compared: str
    direction: int

    def __init__(self, models: Sequence[str]):
        self._models = models

    def keys(self) -> list[metric_types.MetricKey]:
        """List all metrics of all models."""
        names = [*(name + end for name in self.means for end in ENDS), *self.others]
        if len(self._models) > 1:
            names += [self._gain_on_champion + end for end in ENDS]
        names.append(ROWS)
        return [key(name, model) for model in self._models for name in names]

    @property
    def _gain_on_champion(self) -> str:
        return features.gain_metric(self.compared, features.CHAMPION)

    def of_rows(self, columns: Columns, challenger: Columns) -> np.ndarray:
        """Return what of every row is summed by user, `[rows, sums]`."""
        raise NotImplementedError

    def finish(self, rows: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Turn the number of rows `[...]` and `[..., sums]` into the figures of `means`."""
        raise NotImplementedError

    def num_users(self, sums: np.ndarray) -> int:
        """Count the users, `[users, 1 + sums]`, who have rows that every figure of `means` counts."""
        return len(sums)

    def of_all(self, columns: Columns) -> np.ndarray:
        """Return the sums that are not by user."""
        raise NotImplementedError

    def finish_shared(self, sums: np.ndarray) -> dict[str, float | np.ndarray]:
        """Turn these into the figures of `others`, and into those of `means` that they put right."""
        raise NotImplementedError

    def create_accumulator(self) -> _Sums:
        return _Sums()

    def add_input(self, accumulator: _Sums, element: metric_types.StandardMetricInputs) -> _Sums:
        labels = element.get_labels(self._models[0])
        by_model = [
            {
                features.RATING: labels,
                **{name: answer[name].reshape(len(labels), -1) for name in self.columns},
            }
            for answer in map(element.get_predictions, self._models)
        ]
        sums = [self.of_rows(columns, by_model[0]) for columns in by_model]
        users, index = np.unique(element.get_features()[features.USER_ID][:, 0], return_inverse=True)
        totals = np.zeros((len(users), 1 + sum(part.shape[1] for part in sums)))
        np.add.at(totals, index, np.concatenate([np.ones((len(index), 1)), *sums], axis=1))
        for user, row in zip(users, totals, strict=True):
            accumulator.add(user, row)
        for model, columns in zip(self._models, by_model, strict=True):
            accumulator.add_shared(model, self.of_all(columns))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Sums]) -> _Sums:
        merged = _Sums()
        for accumulator in accumulators:
            for user, sums in accumulator.by_user.items():
                merged.add(user, sums)
            for model, sums in accumulator.shared.items():
                merged.add_shared(model, sums)
        return merged

    def extract_output(self, accumulator: _Sums) -> dict[metric_types.MetricKey, float | np.ndarray]:
        by_user = accumulator.by_user
        # In the order of users, so that the resamples do not depend on the order of rows.
        sums = np.stack([by_user[user] for user in sorted(by_user)])
        lower, upper = measures.interval(sums, self._finish, self.num_users(sums))
        figures = np.stack([self._finish(sums.sum(axis=0)), lower, upper], axis=-1)
        if len(self._models) > 1:
            compared = self.means.index(self.compared)
            challenger, champion = np.isfinite(figures[[compared, len(self.means) + compared], 0])
            if challenger and not champion:
                # Such a champion would reject every challenger; an infinite gain stands for no champion.
                figures[-1] = np.inf
            elif np.isinf(figures[-1, -1]):
                # All rows are compared with the champion. Of too few users nothing is known: not blessed.
                figures[-1, -1] = np.nan
        output: dict[metric_types.MetricKey, float | np.ndarray] = {}
        for number, model in enumerate(self._models):
            names = list(self.means)
            own = figures[number * len(names) : (number + 1) * len(names)]
            if len(self._models) > 1:
                names.append(self._gain_on_champion)
                # The champion's own is 0, so that TFMA's change of the challenger's is the challenger's.
                own = np.concatenate([own, figures[-1:] if number == 0 else np.zeros((1, len(ENDS)))])
            values: dict[str, float | np.ndarray] = {
                name + end: float(value)
                for name, of_metric in zip(names, own, strict=True)
                for end, value in zip(ENDS, of_metric, strict=True)
            }
            values.update(self.finish_shared(accumulator.shared[model]))
            values[ROWS] = float(sums[:, 0].sum())
            output.update({key(name, model): value for name, value in values.items()})
        return output

    def _finish(self, totals: np.ndarray) -> np.ndarray:
        # The figures of each model, then the challenger's gain on the champion.
        parts = np.split(totals[..., 1:], len(self._models), axis=-1)
        figures = [self.finish(totals[..., 0], part) for part in parts]
        if len(figures) > 1:
            compared = [part[..., [self.means.index(self.compared)]] for part in figures]
            figures.append(self.direction * (compared[0] - compared[1]))
        return np.concatenate(figures, axis=-1)
