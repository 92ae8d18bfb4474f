"""Metrics of the Evaluators, as TFMA computes them. Runs in the Beam workers of the Evaluator component.

One combiner gives all metrics of a task, for TFMA pays for each block of rows and metric. Baselines are
measured on the same rows and resamples as the model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from modules import features
from modules.evaluation import measures
from modules.evaluation.by_user import ENDS, ByUser, Columns
from modules.features import BIASES, GATED_HITS, ITEM_ITEM, MEAN, POPULARITY, RANDOM, RMSE

_HIT_RATES = tuple(features.hit_metric(k, unseen) for unseen in (False, True) for k in features.TOP_KS)
RETRIEVAL_METRICS = (*_HIT_RATES, GATED_HITS, features.COVERAGE)
RATING_METRICS = (RMSE, features.MAE, features.CALIBRATION_ERROR)

_DEPTHS = np.array(features.TOP_KS)


class HitRates(tfma.metrics.Metric):
    """RETRIEVAL_METRICS, those of the baselines, and the gains, from the columns of retrieval."""

    def __init__(self, name: str = "hit_rates", source_digest: str = ""):
        """Take TFMA's configuration; the digest is there for TFX's cache key alone."""
        del source_digest
        super().__init__(_computations(_Hits), name=name)


class RatingErrors(tfma.metrics.Metric):
    """RATING_METRICS, the baselines' RMSE, the gains, and RELIABILITY, from the columns of ratings."""

    def __init__(self, name: str = "rating_errors", source_digest: str = ""):
        """Take TFMA's configuration; the digest is there for TFX's cache key alone."""
        del source_digest
        super().__init__(_computations(_Errors), name=name)


def _computations(combiner: type[ByUser]) -> Callable[..., list]:
    def create(name: str, model_names: list[str] | None = None, **_: object) -> list:
        del name
        by_user = combiner(model_names or [""])
        return [
            metric_types.MetricComputation(
                keys=by_user.keys(),
                preprocessors=[
                    metric_types.StandardMetricInputsPreprocessor(
                        include_filter={tfma.FEATURES_KEY: {features.USER_ID: {}}}
                    )
                ],
                combiner=by_user,
            )
        ]

    return create


class _Hits(ByUser):
    columns = (
        *(features.RANK, features.RANK_UNSEEN),
        *(features.POPULARITY_RANK_UNSEEN, features.ITEM_ITEM_RANK_UNSEEN),
        *(features.TOP_UNSEEN, features.NUM_CANDIDATES, features.NUM_EXCLUDED),
    )
    references = (POPULARITY, ITEM_ITEM, RANDOM)
    means = (
        *_HIT_RATES,
        GATED_HITS,
        *(features.reference_metric(GATED_HITS, reference) for reference in references),
        *(features.gain_metric(GATED_HITS, reference) for reference in references),
    )
    others = (features.COVERAGE, features.GATED_DEPTH)
    compared = GATED_HITS
    direction = 1

    def of_rows(self, columns: Columns, challenger: Columns) -> np.ndarray:
        counted = challenger[features.RANK_UNSEEN] != features.EXCLUDED_ROW
        candidates = challenger[features.NUM_CANDIDATES]
        depth = features.gated_depth(int(candidates[0, 0]))
        unseen = [
            measures.hits(columns[features.RANK_UNSEEN], np.array([*_DEPTHS, depth])),
            measures.hits(columns[features.POPULARITY_RANK_UNSEEN], np.array([depth])),
            measures.hits(columns[features.ITEM_ITEM_RANK_UNSEEN], np.array([depth])),
            np.minimum(1.0, depth / np.maximum(1, candidates - challenger[features.NUM_EXCLUDED])),
        ]
        of_unseen = np.where(counted, np.concatenate(unseen, axis=1), 0.0)
        return np.concatenate([measures.hits(columns[features.RANK], _DEPTHS), counted, of_unseen], axis=1)

    def finish(self, rows: np.ndarray, sums: np.ndarray) -> np.ndarray:
        among_all, counted, among_unseen = np.split(sums, [len(_DEPTHS), len(_DEPTHS) + 1], axis=-1)
        with np.errstate(invalid="ignore"):  # All rows of a slice may be of titles that are excluded.
            unseen = among_unseen / counted
        own, references = unseen[..., [len(_DEPTHS)]], unseen[..., len(_DEPTHS) + 1 :]
        return np.concatenate([among_all / rows[..., np.newaxis], unseen, own - references], axis=-1)

    def num_users(self, sums: np.ndarray) -> int:
        return int(np.count_nonzero(sums[:, 1 + len(_DEPTHS)]))

    def of_all(self, columns: Columns) -> np.ndarray:
        # Rows that are counted, and those that the item-item model ranks; then how often each candidate was
        # among the best.
        counted = np.count_nonzero(columns[features.RANK_UNSEEN] != features.EXCLUDED_ROW)
        ranked = np.count_nonzero(columns[features.ITEM_ITEM_RANK_UNSEEN] != features.NO_RANK)
        shown = columns[features.TOP_UNSEEN]
        size = int(columns[features.NUM_CANDIDATES][0, 0])
        return np.concatenate([[counted, ranked], np.bincount(shown[shown >= 0], minlength=size)])

    def finish_shared(self, sums: np.ndarray) -> dict[str, float | np.ndarray]:
        counted, ranked, *shown = sums.tolist()
        figures: dict[str, float | np.ndarray] = {
            features.COVERAGE: float(np.mean(np.array(shown) > 0)),
            features.GATED_DEPTH: float(features.gated_depth(len(shown))),
        }
        if not counted:
            # Nothing is measured, so a slice's gates must pass.
            for reference in self.references:
                gain = features.gain_metric(GATED_HITS, reference)
                figures.update(zip((gain + end for end in ENDS), (0.0, -np.inf, np.inf), strict=True))
        if not ranked:
            # The model is absent, so its gate must pass.
            absent = features.reference_metric(GATED_HITS, ITEM_ITEM)
            figures.update({absent + end: -np.inf for end in ENDS})
            figures.update({features.gain_metric(GATED_HITS, ITEM_ITEM) + end: np.inf for end in ENDS})
        return figures


class _Errors(ByUser):
    columns = (features.PREDICTED_RATING, features.BIAS_RATING, features.MEAN_RATING)
    references = (BIASES, MEAN)
    means = (
        *(RMSE, features.MAE),
        *(features.reference_metric(RMSE, reference) for reference in references),
        *(features.gain_metric(RMSE, reference) for reference in references),
    )
    others = (features.CALIBRATION_ERROR, features.RELIABILITY)
    compared = RMSE
    direction = -1

    def of_rows(self, columns: Columns, challenger: Columns) -> np.ndarray:
        rating = columns[features.RATING].astype(np.float64)
        error, bias_error, mean_error = (columns[name] - rating for name in self.columns)
        return np.concatenate([error**2, np.abs(error), bias_error**2, mean_error**2], axis=1)

    def finish(self, rows: np.ndarray, sums: np.ndarray) -> np.ndarray:
        square, absolute, *references = np.moveaxis(sums / rows[..., np.newaxis], -1, 0)
        rmse, of_biases, of_mean = map(np.sqrt, (square, *references))
        return np.stack([rmse, absolute, of_biases, of_mean, of_biases - rmse, of_mean - rmse], axis=-1)

    def of_all(self, columns: Columns) -> np.ndarray:
        return measures.reliability(columns[features.PREDICTED_RATING][:, 0], columns[features.RATING][:, 0])

    def finish_shared(self, sums: np.ndarray) -> dict[str, float | np.ndarray]:
        with np.errstate(invalid="ignore"):  # An empty bucket has no mean.
            by_bucket = np.insert(measures.means(sums), 0, sums[:, 0], axis=1)
        return {
            features.CALIBRATION_ERROR: measures.calibration_error(sums),
            features.RELIABILITY: by_bucket,
        }
