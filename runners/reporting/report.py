"""The results of a run for programs: `local_runner.py --report` writes, `python -m retraining` reads them."""

from __future__ import annotations

import math
import os
import pathlib
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from modules import features
from modules.evaluation.results import display_name
from runners.reporting.summary import Model, Summary
from runners.running import workspace
from runners.running.record import Step


def write(summary: Summary, path: pathlib.Path) -> None:
    """Write a report, whole or not at all."""
    workspace.write_report(as_dict(summary), path)


def as_dict(summary: Summary) -> dict[str, Any]:
    """Return the fields of a report, see retraining.journal.Report."""
    counts = summary.data.counts if summary.data else {}
    pushed = summary.pushed or {}
    served = bool(pushed.get("pushed"))
    drift = [step for step in summary.steps if step.kind == "DistributionValidator" and step.done]
    return {
        "rows": [counts.get("train_rows", 0), counts.get("eval_rows", 0)],
        "models": [_model(model) for model in summary.models],
        "pushed_version": pushed["pushed_version"] if served else None,
        "not_pushed_because": "" if served else pushed.get("reason", "no bundle was to be pushed"),
        "drift": read_drift(drift[-1]) if drift else {},
    }


def _model(model: Model) -> dict[str, Any]:
    evaluation = model.evaluation
    overall = evaluation.values.get("", {})
    # Also without a champion, so that a journal can be read from run to run.
    compared = {display_name(metric, evaluation.depth) for metric in features.BASELINES} & overall.keys()
    metrics = {
        metric: [_finite(overall.get(metric)), _finite(evaluation.champion.get(metric))]
        for metric in sorted(compared | {gated.metric for gated in evaluation.gated if not gated.feature})
    }
    failures = "; ".join(str(failure) for failure in evaluation.failures)
    return {
        "name": model.name,
        "blessed": model.blessed,
        "metrics": metrics,
        "refused_because": "" if model.blessed else failures or "it has no thresholds",
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def read_drift(step: Step) -> dict[str, tuple[float, float]]:
    """Read each compared feature's distance from the window, and its bound.

    Args:
      step: an execution of DistributionValidator that succeeded.
    """
    artifact = step.output("anomalies")
    if artifact is None:
        raise ValueError(f"{step.node_id} must have recorded its anomalies; it recorded {step.outputs}")
    (path,) = pathlib.Path(artifact.uri).glob(os.path.join("SplitPair-*", "*.pb"))
    anomalies = anomalies_pb2.Anomalies.FromString(path.read_bytes())
    return {
        ".".join(info.path.step): (measured.value, measured.threshold)
        for info in anomalies.drift_skew_info
        for measured in info.drift_measurements
    }
