"""Executor of AnomalyGate: reads anomalies, and stops the run with a message, or warns."""

from __future__ import annotations

import os
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.distribution_validator import executor as distribution_validator
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from common.progress import progress
from components.anomaly_gate.report import AnomalyError, describe, describe_drift

# The inputs, and the word for each dataset in an error.
RATINGS_KEY = "ratings_anomalies"
CATALOGUE_KEY = "catalogue_anomalies"
_DATASETS = {RATINGS_KEY: "ratings", CATALOGUE_KEY: "catalogue"}
# An optional input, and what its findings do: stop or warn.
DRIFT_KEY = "drift_anomalies"
ON_DRIFT = "on_drift"
STOP, WARN = "stop", "warn"


class Executor(base_executor.BaseExecutor):
    """Let the run go on only where every split of both datasets agrees with its schema."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Raise AnomalyError with all findings of all splits, if there are any; warn of drift if so set."""
        anomalies: dict[tuple[str, str], anomalies_pb2.Anomalies] = {}
        for key, dataset in _DATASETS.items():
            artifact = artifact_utils.get_single_instance(input_dict[key])
            splits = artifact_utils.decode_split_names(artifact.split_names)
            if not splits:
                raise AnomalyError(
                    f"Every dataset must be validated before it is used; of the {dataset} no split was. "
                    "Take the splits out of exclude_splits of its ExampleValidator."
                )
            for split in splits:
                path = os.path.join(artifact_utils.get_split_uri([artifact], split), DEFAULT_FILE_NAME)
                with fileio.open(path, "rb") as file:
                    anomalies[dataset, split] = anomalies_pb2.Anomalies.FromString(file.read())
        text = describe(anomalies)
        if text:
            raise AnomalyError(text)
        if input_dict.get(DRIFT_KEY):
            drifted = describe_drift(_read_drift(artifact_utils.get_single_instance(input_dict[DRIFT_KEY])))
            if drifted and exec_properties[ON_DRIFT] == STOP:
                raise AnomalyError(drifted)
            if drifted:
                progress.warning(" ".join(drifted.split()))


def _read_drift(artifact: types.Artifact) -> anomalies_pb2.Anomalies:
    (pair,) = artifact_utils.decode_split_names(artifact.split_names)
    path = os.path.join(artifact.uri, f"SplitPair-{pair}", distribution_validator.DEFAULT_FILE_NAME)
    with fileio.open(path, "rb") as file:
        return anomalies_pb2.Anomalies.FromString(file.read())
