"""Metrics of the Evaluators, as TFMA computes them. Runs in the Beam workers of the Evaluator component.

One combiner gives all metrics of a task, for TFMA pays per row and metric. It sums by user, so that intervals
can be had by resampling users: the rows of one user are not independent. The baselines are measured on
the same rows and resamples: both find the same rows hard, so their difference is known better than either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from modules import features
from modules.evaluation import measures

_HIT_RATES = tuple(features.hit_metric(k, unseen) for unseen in (False, True) for k in features.TOP_KS)
_ERRORS = (features.RMSE, features.MAE)
RETRIEVAL_METRICS = (*_HIT_RATES, features.COVERAGE)
RATING_METRICS = (*_ERRORS, features.CALIBRATION_ERROR)
# Ends of the 95% interval, beside each metric that is a mean over rows.
LOWER, UPPER = "_lower", "_upper"

_DEPTHS = np.array(features.TOP_KS)
# The depth at which popularity is measured too, once with all titles and once without those of train.
_COMPARED = (features.hit_metric(features.TOP_KS[-1]), features.hit_metric(features.TOP_KS[-1], unseen=True))
# Rows that are summed at once.
_BLOCK = 1024

# Columns of the eval signature and the rating, `[rows, width]` each.
Columns = Mapping[str, np.ndarray]


class HitRates(tfma.metrics.Metric):
    """RETRIEVAL_METRICS, popularity's, and the gains, from the columns of retrieval."""

    def __init__(self, name: str = "hit_rates", source_digest: str = ""):
        """Take TFMA's configuration; the digest is there for TFX's cache key alone."""
        del source_digest
        super().__init__(_computations(_Hits), name=name)


class RatingErrors(tfma.metrics.Metric):
    """RATING_METRICS, the biases' RMSE, the gain, and RELIABILITY, from the columns of ratings."""

    def __init__(self, name: str = "rating_errors", source_digest: str = ""):
        """Take TFMA's configuration; the digest is there for TFX's cache key alone."""
        del source_digest
        super().__init__(_computations(_Errors), name=name)


def _key(name: str, model_name: str) -> metric_types.MetricKey:
    # Thresholds by name are looked up under a key that is neither weighted nor unweighted.
    return metric_types.MetricKey(name, model_name=model_name, example_weighted=None)


def _computations(combiner: type[_ByUser]) -> Callable[..., list]:
    def create(name: str, model_names: list[str] | None = None, **_: object) -> list:
        del name
        return [
            metric_types.MetricComputation(
                keys=[_key(metric, model) for metric in combiner.names()],
                preprocessors=[
                    metric_types.StandardMetricInputsPreprocessor(
                        include_filter={tfma.FEATURES_KEY: {features.USER_ID: {}}}
                    )
                ],
                combiner=combiner(model),
            )
            for model in model_names or [""]
        ]

    return create


@dataclasses.dataclass
class _Sums:
    """What is known of the rows that came so far.

    Attributes:
      pending: rows that are not summed yet: the user, and the values of each column.
      by_user: sums of each user's rows, their number first.
      shared: sums that are not by user.
    """

    pending: list[tuple] = dataclasses.field(default_factory=list)
    by_user: dict[bytes, np.ndarray] = dataclasses.field(default_factory=dict)
    shared: np.ndarray | int = 0

    def add(self, user: bytes, sums: np.ndarray) -> None:
        """Add to a user's sums; `sums`, which may be a part of something large, is not kept."""
        self.by_user[user] = self.by_user[user] + sums if user in self.by_user else sums.copy()


class _ByUser(beam.CombineFn):
    """Sums rows a block at a time: NumPy on one row costs more than all else that TFMA does with it."""

    # Columns of the eval signature that are read; figures that are means over rows; all others.
    columns: tuple[str, ...]
    means: tuple[str, ...]
    others: tuple[str, ...]

    def __init__(self, model_name: str):
        self._model_name = model_name

    @classmethod
    def names(cls) -> list[str]:
        """List all metrics."""
        return [*(name + end for name in cls.means for end in ("", LOWER, UPPER)), *cls.others]

    def of_rows(self, columns: Columns) -> np.ndarray:
        """Return what of every row is summed by user, `[rows, sums]`."""
        raise NotImplementedError

    def finish(self, totals: np.ndarray) -> np.ndarray:
        """Turn `[..., 1 + sums]` totals, the number of rows first, into the figures of `means`."""
        raise NotImplementedError

    def of_all(self, columns: Columns) -> np.ndarray:
        """Return the sums that are not by user."""
        raise NotImplementedError

    def finish_shared(self, sums: np.ndarray) -> tuple[float | np.ndarray, ...]:
        """Turn these into the figures of `others`."""
        raise NotImplementedError

    def create_accumulator(self) -> _Sums:
        return _Sums()

    def add_input(self, accumulator: _Sums, element: metric_types.StandardMetricInputs) -> _Sums:
        predictions = element.get_predictions(self._model_name)
        user = element.get_features()[features.USER_ID][0]
        values = [predictions[name] for name in self.columns]
        accumulator.pending.append((user, element.get_labels(self._model_name), *values))
        return self.compact(accumulator) if len(accumulator.pending) == _BLOCK else accumulator

    def compact(self, accumulator: _Sums) -> _Sums:
        if not accumulator.pending:
            return accumulator
        users, *values = zip(*accumulator.pending, strict=True)
        accumulator.pending.clear()
        names = (features.RATING, *self.columns)
        columns = {name: np.stack(rows) for name, rows in zip(names, values, strict=True)}
        rows = self.of_rows(columns)
        for user, row in zip(users, np.insert(rows, 0, 1.0, axis=1), strict=True):
            accumulator.add(user, row)
        accumulator.shared = accumulator.shared + self.of_all(columns)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Sums]) -> _Sums:
        merged = _Sums()
        for accumulator in accumulators:
            for user, sums in self.compact(accumulator).by_user.items():
                merged.add(user, sums)
            merged.shared = merged.shared + accumulator.shared
        return merged

    def extract_output(self, accumulator: _Sums) -> dict[metric_types.MetricKey, float | np.ndarray]:
        by_user = self.compact(accumulator).by_user
        # In the order of users, so that the resamples do not depend on the order of rows.
        sums = np.stack([by_user[user] for user in sorted(by_user)])
        lower, upper = measures.interval(sums, self.finish)
        ends = zip(self.finish(sums.sum(axis=0)).tolist(), lower.tolist(), upper.tolist(), strict=True)
        figures = [figure for of_metric in ends for figure in of_metric]
        figures += self.finish_shared(np.asarray(accumulator.shared))
        return {_key(n, self._model_name): f for n, f in zip(self.names(), figures, strict=True)}


class _Hits(_ByUser):
    columns = (
        *(features.RANK, features.RANK_UNSEEN, features.POPULARITY_RANK, features.POPULARITY_RANK_UNSEEN),
        *(features.TOP_UNSEEN, features.NUM_CANDIDATES),
    )
    means = (
        *_HIT_RATES,
        *(features.baseline_metric(metric) for metric in _COMPARED),
        *(features.gain_metric(metric) for metric in _COMPARED),
    )
    others = (features.COVERAGE,)

    def of_rows(self, columns: Columns) -> np.ndarray:
        own = [measures.hits(columns[name], _DEPTHS) for name in self.columns[:2]]
        popularity = [measures.hits(columns[name], _DEPTHS[-1:]) for name in self.columns[2:4]]
        return np.concatenate([*own, *popularity], axis=1)

    def finish(self, totals: np.ndarray) -> np.ndarray:
        figures = measures.means(totals)
        own, popularity = figures[..., [len(_DEPTHS) - 1, 2 * len(_DEPTHS) - 1]], figures[..., -2:]
        return np.concatenate([figures, own - popularity], axis=-1)

    def of_all(self, columns: Columns) -> np.ndarray:
        # How often each candidate was among the best.
        shown = columns[features.TOP_UNSEEN]
        return np.bincount(shown[shown >= 0], minlength=int(columns[features.NUM_CANDIDATES][0, 0]))

    def finish_shared(self, sums: np.ndarray) -> tuple[float | np.ndarray, ...]:
        return (float(np.mean(sums > 0)),)


class _Errors(_ByUser):
    columns = (features.PREDICTED_RATING, features.BIAS_RATING)
    means = (
        *_ERRORS,
        features.baseline_metric(features.RMSE),
        features.gain_metric(features.RMSE),
    )
    others = (features.CALIBRATION_ERROR, features.RELIABILITY)

    def of_rows(self, columns: Columns) -> np.ndarray:
        rating = columns[features.RATING].astype(np.float64)
        error, bias_error = (columns[name] - rating for name in self.columns)
        return np.concatenate([error**2, np.abs(error), bias_error**2], axis=1)

    def finish(self, totals: np.ndarray) -> np.ndarray:
        square, absolute, bias_square = np.moveaxis(measures.means(totals), -1, 0)
        rmse, of_biases = np.sqrt(square), np.sqrt(bias_square)
        return np.stack([rmse, absolute, of_biases, of_biases - rmse], axis=-1)

    def of_all(self, columns: Columns) -> np.ndarray:
        return measures.reliability(columns[features.PREDICTED_RATING][:, 0], columns[features.RATING][:, 0])

    def finish_shared(self, sums: np.ndarray) -> tuple[float | np.ndarray, ...]:
        with np.errstate(invalid="ignore"):  # An empty bucket has no mean.
            by_bucket = np.insert(measures.means(sums), 0, sums[:, 0], axis=1)
        return measures.calibration_error(sums), by_bucket
