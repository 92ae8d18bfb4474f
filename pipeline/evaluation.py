"""Gates as a TFMA EvalConfig. Runs where the pipeline is compiled."""

from __future__ import annotations

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from modules import features
from pipeline.gates import Gate

# What every model is reported on, gated or not.
_SLICES = (features.USER_ACTIVITY, features.USER_GENDER, features.TITLE_POPULARITY)
_HIT_OUTPUTS = tuple(features.hit_output(k, unseen) for unseen in (False, True) for k in features.TOP_KS)


def eval_config(gates: Sequence[Gate], retrieval: bool, rating: bool) -> tfma.EvalConfig:
    """Describe a model's evaluation: every metric on every slice, and the thresholds of its gates.

    Args:
      gates: of the model.
      retrieval: whether the model's eval signature has the columns of retrieval.
      rating: whether it has the predicted rating.
    Raises:
      ValueError: a gate names a column that the model does not have.
    """
    outputs = (*_HIT_OUTPUTS * retrieval, *(features.PREDICTED_RATING,) * rating)
    by_output = {gate.output: gate for gate in gates}
    unknown = sorted(set(by_output) - set(outputs))
    if unknown:
        raise ValueError(f"a gate's output must be one of {', '.join(outputs)}; received {', '.join(unknown)}")
    # Of a signature with one output TFMA hands on the bare column, which then must not be asked for by name.
    single = len(outputs) == 1
    labels = {"label_key": features.RATING} if single else {"label_keys": dict.fromkeys(outputs, features.RATING)}
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name=features.EVAL_SIGNATURE, **labels)],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in _SLICES)],
        metrics_specs=[
            tfma.MetricsSpec(
                output_names=[] if single else [output], metrics=[_metric(output, by_output.get(output))]
            )
            for output in outputs
        ]
        + [tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="ExampleCount")])],
    )


def metric_name(output: str) -> str:
    """Name the metric of an eval column, as reports show it.

    >>> metric_name("top_100_hit_unseen"), metric_name("predicted_rating")
    ('top_100_categorical_accuracy_unseen', 'rmse')
    """
    return "rmse" if output == features.PREDICTED_RATING else output.replace("_hit", "_categorical_accuracy")


def _metric(output: str, gate: Gate | None) -> tfma.MetricConfig:
    # MeanPrediction over a column of zeros and ones is the share of hits; it ignores the label.
    class_name = "RootMeanSquaredError" if output == features.PREDICTED_RATING else "MeanPrediction"
    metric = tfma.MetricConfig(class_name=class_name, config=json.dumps({"name": metric_name(output)}))
    if gate is None:
        return metric
    # Under `threshold` a bound would hold on every slice of the report; so each is said of its slices.
    overall = tfma.MetricThreshold(
        value_threshold=_bound(output, gate.bound),
        change_threshold=tfma.GenericChangeThreshold(
            direction=_direction(output), absolute={"value": gate.max_worsening * (1 if _is_error(output) else -1)}
        ),
    )
    metric.per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()], threshold=overall)
    for part in gate.slices:
        metric.per_slice_thresholds.add(
            slicing_specs=[tfma.SlicingSpec(feature_keys=[part.feature])],
            threshold=tfma.MetricThreshold(value_threshold=_bound(output, part.bound)),
        )
    return metric


def _is_error(output: str) -> bool:
    return output == features.PREDICTED_RATING


def _direction(output: str) -> tfma.MetricDirection:
    return tfma.MetricDirection.LOWER_IS_BETTER if _is_error(output) else tfma.MetricDirection.HIGHER_IS_BETTER


def _bound(output: str, bound: float) -> tfma.GenericValueThreshold:
    side = "upper_bound" if _is_error(output) else "lower_bound"
    return tfma.GenericValueThreshold(**{side: {"value": bound}})
