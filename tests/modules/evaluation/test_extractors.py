"""What the Evaluators' extractors make of rows: each row once in each slice, with the model's answer."""

from __future__ import annotations

import ast
import collections
import pathlib

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants
from tfx_bsl.public import tfxio

from modules import features
from modules.evaluation.extractors import blocks, custom_extractors
from pipeline.beam_flags import LOCAL_RUNNER
from pipeline.evaluation import eval_config

SLICES = (features.USER_ACTIVITY, features.USER_GENDER, features.VISIT, features.TITLE_POPULARITY)
# User, rating, and the values of SLICES.
ROWS = [
    ("a", 4.0, "light", "F", "first", "head"),
    ("b", 2.0, "heavy", "M", "return", "head"),
    ("a", 1.0, "light", "F", "sitting", "tail"),
    ("c", 5.0, "light", "M", "return", "unseen"),
]


def example(user: str, rating: float, *values: str) -> bytes:
    """A serialised row, with what no metric reads too."""
    texts = {features.USER_ID: [user], features.EXCLUDE_ID: ["1"] * int(rating)}
    texts |= {name: [value] for name, value in zip(SLICES, values, strict=True)}
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in of_name]))
        for name, of_name in texts.items()
    }
    feature[features.RATING] = tf.train.Feature(float_list=tf.train.FloatList(value=[rating]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def model(folder: pathlib.Path, factor: float) -> str:
    """A model whose prediction is a multiple of the rating."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)])
    def evaluate(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {features.RATING: tf.io.FixedLenFeature([1], tf.float32)}
        ratings = tf.io.parse_example(examples, spec)[features.RATING]
        return {
            features.PREDICTED_RATING: tf.squeeze(factor * ratings, 1),
            features.TOP_UNSEEN: tf.tile(tf.cast(ratings, tf.int32), [1, 3]),
        }

    tf.saved_model.save(tf.Module(), str(folder), {features.EVAL_SIGNATURE: evaluate.get_concrete_function()})
    return str(folder)


@pytest.mark.parametrize("with_champion", [False, True])
def test_every_row_is_once_in_each_of_its_slices(tmp_path: pathlib.Path, with_champion: bool) -> None:
    config = eval_config([], retrieval=False, rating=True)
    config = tfma.utils.update_eval_config_with_defaults(
        config, has_baseline=with_champion, rubber_stamp=True
    )
    factors = {spec.name: 2.0 if spec.is_baseline else 1.0 for spec in config.model_specs}
    models = [
        tfma.default_eval_shared_model(
            model(tmp_path / f"model-{name}", factor), model_name=name, eval_config=config
        )
        for name, factor in factors.items()
    ]
    with tf.io.TFRecordWriter(str(tmp_path / "rows")) as writer:
        for row in ROWS:
            writer.write(example(*row))
    source = tfxio.TFExampleRecord(
        str(tmp_path / "rows"),
        raw_record_column_name=constants.ARROW_INPUT_COLUMN,
        telemetry_descriptors=["test"],
    )
    received: list = []
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        extracts = (
            pipeline | source.BeamSource() | beam.Map(lambda batch: {constants.ARROW_RECORD_BATCH_KEY: batch})
        )
        for extractor in custom_extractors(models if with_champion else models[0], config, None):
            extracts = extracts | extractor.stage_name >> extractor.ptransform
        written = extracts | beam.Map(_plain, sorted(factors)) | beam.Map(repr)
        written | beam.io.WriteToText(str(tmp_path / "blocks"))
    for path in tmp_path.glob("blocks*"):
        received += map(ast.literal_eval, path.read_text().splitlines())
    found: dict[tuple, list] = collections.defaultdict(list)
    for (slice_key,), rows in received:
        found[slice_key] += rows
    expected = collections.defaultdict(list)
    for user, rating, *values in ROWS:
        answers = [(factor * rating, [int(rating)] * 3) for _, factor in sorted(factors.items())]
        for slice_key in [(), *((pair,) for pair in zip(SLICES, values, strict=True))]:
            expected[slice_key].append((user, rating, answers))
    assert {key: sorted(rows) for key, rows in found.items()} == {
        key: sorted(rows) for key, rows in expected.items()
    }


def _plain(block, names):
    predictions, labels = block[constants.PREDICTIONS_KEY], block[constants.LABELS_KEY]
    several = len(names) > 1
    rows = []
    for row, (user,) in enumerate(block[constants.FEATURES_KEY][features.USER_ID]):
        of_models = [predictions[name] if several else predictions for name in names]
        answers = [
            (float(answer[features.PREDICTED_RATING][row]), answer[features.TOP_UNSEEN][row].tolist())
            for answer in of_models
        ]
        (label,) = (labels[names[0]] if several else labels)[row].tolist()
        rows.append((user.decode(), label, answers))
    return block[constants.SLICE_KEY_TYPES_KEY], rows


def test_a_slice_may_be_of_several_features() -> None:
    values = np.array([list(row[2:4]) for row in ROWS]).astype(bytes).astype(object)
    batch = {
        constants.FEATURES_KEY: {
            features.USER_ID: np.array([[row[0].encode()] for row in ROWS], object),
            features.USER_ACTIVITY: values[:, :1],
            features.USER_GENDER: values[:, 1:],
        },
        constants.LABELS_KEY: np.array([[row[1]] for row in ROWS]),
        constants.PREDICTIONS_KEY: {features.PREDICTED_RATING: np.arange(4)},
    }
    names = (features.USER_ACTIVITY, features.USER_GENDER)
    found = {
        block[constants.SLICE_KEY_TYPES_KEY][0]: block[constants.PREDICTIONS_KEY][
            features.PREDICTED_RATING
        ].tolist()
        for block in blocks(batch, [names])
    }
    pairs = [(("light", "F"), [0, 2]), (("heavy", "M"), [1]), (("light", "M"), [3])]
    assert found == {tuple(zip(names, values, strict=True)): rows for values, rows in pairs}
