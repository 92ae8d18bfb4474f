"""The executor: files in, Examples, catalogue and quarantine out. Runs in the component's process."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.example_gen import write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from common.progress import progress
from components.movielens_example_gen import outcome
from components.movielens_example_gen.beam import preparation
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.sources import files, spans
from modules import features

WINDOW = "window"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Write the Examples of one release."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Read the files below `input_base` and write `examples`, `catalogue` and `quarantine`.

        Raises:
          DataError: the data cannot be used; the message names the copy of the quarantine.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = DataConfig.model_validate_json(exec_properties["data_config"])
        if window := exec_properties.get(WINDOW):
            config = config.with_window(window)
        inputs = files.find_inputs(exec_properties["input_base"], config)
        artifacts = {
            key: artifact_utils.get_single_instance(output_dict[key])
            for key in ("examples", "catalogue", "quarantine")
        }
        examples, catalogue, quarantined = artifacts.values()
        examples.split_names = artifact_utils.encode_split_names([features.TRAIN_SPLIT, features.EVAL_SPLIT])
        catalogue.split_names = artifact_utils.encode_split_names([features.CATALOGUE_SPLIT])
        folders = preparation.Folders(
            train=artifact_utils.get_split_uri([examples], features.TRAIN_SPLIT),
            eval=artifact_utils.get_split_uri([examples], features.EVAL_SPLIT),
            catalogue=artifact_utils.get_split_uri([catalogue], features.CATALOGUE_SPLIT),
            quarantine=quarantined.uri,
        )
        for folder in folders:
            fileio.makedirs(folder)
        with self._make_beam_pipeline() as pipeline:
            preparation.build_pipeline(pipeline, inputs, config, folders)

        counts = outcome.read_counts(quarantined.uri)
        outcome.require_usable(counts, config, quarantined.uri)
        for artifact in (examples, catalogue):
            examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
            examples_utils.set_file_format(
                artifact, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP)
            )
        for artifact in artifacts.values():
            for name, count in counts.items():
                artifact.set_int_custom_property(name, count)
        examples.set_string_custom_property(outcome.DATA_CONFIG, config.model_dump_json())
        if inputs.window:
            examples.set_int_custom_property("newest_span", inputs.window.spans[-1].number)
            progress.info(spans.summary(inputs.window))
        progress.info(outcome.summary(counts, config))
