"""How an Evaluator reads rows: in blocks, each of one slice. Runs in the Beam workers of the Evaluator.

TFMA's own extractors make a dict of every feature of every row, and find the slices of a row by themselves,
which takes several times as long as the model. Metrics must take blocks, see modules.evaluation.by_user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from tensorflow_model_analysis import constants, types
from tensorflow_model_analysis.extractors import (
    extractor,
    features_extractor,
    labels_extractor,
    predictions_extractor,
    slice_key_extractor,
)
from tensorflow_model_analysis.proto import config_pb2

from modules import features


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[extractor.Extractor]:
    """Return the extractors, as the Evaluator calls this function.

    Args:
      eval_shared_model: the challenger or, in a list, also the champion.
      eval_config: as of pipeline.evaluation; its slices are of features with one value in each row.
      tensor_adapter_config: not used, for there is no schema.
    """
    del tensor_adapter_config
    slices = [tuple(spec.feature_keys) for spec in eval_config.slicing_specs]
    return [
        extractor.Extractor("SelectColumns", beam.Map(_selected, {name for keys in slices for name in keys})),
        features_extractor.FeaturesExtractor(eval_config),
        labels_extractor.LabelsExtractor(eval_config),
        predictions_extractor.PredictionsExtractor(eval_config, eval_shared_model),
        # TFMA looks for an extractor of this name before it evaluates.
        extractor.Extractor(slice_key_extractor.SLICE_KEY_EXTRACTOR_STAGE_NAME, beam.FlatMap(blocks, slices)),
    ]


def _selected(batch: types.Extracts, slices: set[str]) -> types.Extracts:
    """Keep of a batch the columns that slices, labels and metrics read, and the serialised examples."""
    record_batch = batch[constants.ARROW_RECORD_BATCH_KEY]
    names = [
        name for name in record_batch.schema.names if name in slices | {features.USER_ID, features.RATING}
    ]
    examples = record_batch.column(record_batch.schema.get_field_index(constants.ARROW_INPUT_COLUMN))
    columns = {name: record_batch.column(record_batch.schema.get_field_index(name)) for name in names}
    # Once more, by the name of the signature's argument: TFMA passes what has none by position, and
    # TensorFlow then prints it, to say that it cannot, before it accepts it.
    columns |= {constants.ARROW_INPUT_COLUMN: examples, features.EXAMPLES_INPUT: examples}
    selected = pa.RecordBatch.from_arrays([*columns.values()], names=[*columns])
    return {**batch, constants.ARROW_RECORD_BATCH_KEY: selected}


def blocks(batch: types.Extracts, slices: Sequence[tuple[str, ...]]) -> Iterator[types.Extracts]:
    """Divide the rows of a batch by slice: a block for each value of each slice that the batch holds.

    Args:
      batch: features `[rows, 1]`, labels and predictions, `[rows, ...]` each.
      slices: names of features; none of them for all rows.
    """
    columns = batch[constants.FEATURES_KEY]
    kept = {
        constants.FEATURES_KEY: {features.USER_ID: columns[features.USER_ID]},
        constants.LABELS_KEY: batch[constants.LABELS_KEY],
        constants.PREDICTIONS_KEY: batch[constants.PREDICTIONS_KEY],
    }
    for names in slices:
        found: dict[tuple, list[int]] = {}
        values = [columns[name][:, 0].tolist() for name in names]
        rows = zip(*values, strict=True) if names else [()] * len(columns[features.USER_ID])
        for row, key in enumerate(rows):
            found.setdefault(key, []).append(row)
        for key, chosen in found.items():
            texts = [value.decode() if isinstance(value, bytes) else value for value in key]
            slice_key = tuple(zip(names, texts, strict=True))
            yield {**_taken(kept, np.array(chosen)), constants.SLICE_KEY_TYPES_KEY: [slice_key]}


def _taken(values: Any, rows: np.ndarray) -> Any:
    """Take rows of arrays, which may be in dicts of dicts."""
    if isinstance(values, Mapping):
        return {name: _taken(of_name, rows) for name, of_name in values.items()}
    return values[rows]
