"""Metrics of the Evaluators, as TFMA computes them. Runs in the Beam workers of the Evaluator component.

One combiner gives all metrics of a task, for TFMA pays per row and metric. It sums by user, so that intervals
can be had by resampling users: the rows of one user are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from modules import features

RETRIEVAL_METRICS = tuple(features.hit_metric(k, unseen) for unseen in (False, True) for k in features.TOP_KS)
RATING_METRICS = (features.RMSE, features.MAE)
# Ends of the 95% interval, beside each metric.
LOWER, UPPER = "_lower", "_upper"

_RESAMPLES = 200
_SEED = 0
_DEPTHS = np.array(features.TOP_KS)


def hit_columns(rank: float, rank_unseen: float) -> np.ndarray:
    """Return a row's hits, in the order of RETRIEVAL_METRICS; NaN where a rank is NaN.

    >>> hit_columns(7.0, 0.0).tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    ranks = np.array([[rank], [rank_unseen]], np.float64)
    return np.where(np.isnan(ranks), np.nan, ranks < _DEPTHS).ravel()


def error_columns(predicted: float, rating: float) -> np.ndarray:
    """Return a row's squared and absolute error.

    >>> error_columns(3.5, 4.0).tolist()
    [0.25, 0.5]
    """
    error = float(predicted) - float(rating)
    return np.array([error * error, abs(error)])


def share_of_hits(totals: np.ndarray) -> np.ndarray:
    """Turn `[..., 1 + 10]` sums, the number of rows first, into the shares of RETRIEVAL_METRICS."""
    return totals[..., 1:] / totals[..., :1]


def mean_errors(totals: np.ndarray) -> np.ndarray:
    """Turn `[..., 1 + 2]` sums, the number of rows first, into root mean squared and mean absolute error."""
    means = totals[..., 1:] / totals[..., :1]
    return np.stack([np.sqrt(means[..., 0]), means[..., 1]], axis=-1)


def interval(sums: np.ndarray, finish: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Estimate 95% intervals by the Poisson bootstrap over users.

    Args:
      sums: `[users, columns]` sums of each user's rows, their number first.
      finish: from `[..., columns]` totals to `[..., metrics]`.
    Returns:
      Lower and upper ends, `[metrics]` each; NaN for a metric that is NaN.
    References: Chamandy et al., Estimating Uncertainty for Massive Data Streams (2012), section 3.
    """
    random = np.random.default_rng(_SEED)
    resampled = np.stack([random.poisson(1.0, len(sums)) @ sums for _ in range(_RESAMPLES)])
    # A resample may leave out every user of a small slice.
    figures = finish(resampled[resampled[:, 0] > 0])
    return np.quantile(figures, 0.025, axis=0), np.quantile(figures, 0.975, axis=0)


class HitRates(tfma.metrics.Metric):
    """RETRIEVAL_METRICS with their intervals, from the columns RANK and RANK_UNSEEN."""

    def __init__(self, name: str = "hit_rates", source_digest: str = ""):
        """Take TFMA's configuration; the digest is there for TFX's cache key alone."""
        del source_digest
        super().__init__(_computations(RETRIEVAL_METRICS, _hit_row, share_of_hits), name=name)


class RatingErrors(tfma.metrics.Metric):
    """RATING_METRICS with their intervals, from the column PREDICTED_RATING and the rating."""

    def __init__(self, name: str = "rating_errors", source_digest: str = ""):
        """Take TFMA's configuration; the digest is there for TFX's cache key alone."""
        del source_digest
        super().__init__(_computations(RATING_METRICS, _error_row, mean_errors), name=name)


def _hit_row(element: metric_types.StandardMetricInputs, model_name: str) -> np.ndarray:
    predictions = element.get_predictions(model_name)
    return hit_columns(predictions[features.RANK][0], predictions[features.RANK_UNSEEN][0])


def _error_row(element: metric_types.StandardMetricInputs, model_name: str) -> np.ndarray:
    predictions = element.get_predictions(model_name)
    # TFMA hands on the bare column of a signature that has only one.
    column = predictions[features.PREDICTED_RATING] if isinstance(predictions, dict) else predictions
    return error_columns(column[0], element.get_labels(model_name)[0])


Row = Callable[[metric_types.StandardMetricInputs, str], np.ndarray]
Finish = Callable[[np.ndarray], np.ndarray]


def _key(name: str, model_name: str) -> metric_types.MetricKey:
    # Thresholds by name are looked up under a key that is neither weighted nor unweighted.
    return metric_types.MetricKey(name, model_name=model_name, example_weighted=None)


def _computations(names: tuple[str, ...], row: Row, finish: Finish) -> Callable[..., list]:
    def create(name: str, model_names: list[str] | None = None, **_: object) -> list:
        del name
        return [
            metric_types.MetricComputation(
                keys=[_key(metric + end, model) for metric in names for end in ("", LOWER, UPPER)],
                preprocessors=[
                    metric_types.StandardMetricInputsPreprocessor(
                        include_filter={tfma.FEATURES_KEY: {features.USER_ID: {}}}
                    )
                ],
                combiner=_SumsByUser(names, row, finish, model),
            )
            for model in model_names or [""]
        ]

    return create


class _SumsByUser(beam.CombineFn):
    def __init__(self, names: tuple[str, ...], row: Row, finish: Finish, model_name: str):
        self._names, self._row, self._finish, self._model_name = names, row, finish, model_name

    def create_accumulator(self) -> dict[bytes, np.ndarray]:
        return {}

    def add_input(
        self, accumulator: dict[bytes, np.ndarray], element: metric_types.StandardMetricInputs
    ) -> dict[bytes, np.ndarray]:
        user = element.get_features()[features.USER_ID][0]
        row = np.concatenate([[1.0], self._row(element, self._model_name)])
        accumulator[user] = accumulator[user] + row if user in accumulator else row
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[dict[bytes, np.ndarray]]) -> dict[bytes, np.ndarray]:
        merged: dict[bytes, np.ndarray] = {}
        for accumulator in accumulators:
            for user, sums in accumulator.items():
                merged[user] = merged[user] + sums if user in merged else sums
        return merged

    def extract_output(self, accumulator: dict[bytes, np.ndarray]) -> dict[metric_types.MetricKey, float]:
        # In the order of users, so that the resamples do not depend on the order of rows.
        sums = np.stack([accumulator[user] for user in sorted(accumulator)])
        lower, upper = interval(sums, self._finish)
        ends = {"": self._finish(sums.sum(axis=0)), LOWER: lower, UPPER: upper}
        return {
            _key(name + end, self._model_name): float(values[i])
            for end, values in ends.items()
            for i, name in enumerate(self._names)
        }
