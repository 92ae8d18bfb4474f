"""Executor of the IndexPusher: artifacts in, plain calls, properties out; and the driver before it."""

import json
import os
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_driver, base_executor
from tfx.orchestration.portable import base_driver as launched_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact_utils

from common import remote
from components.index_pusher.bundle import MULTITASK, RANKING, RETRIEVAL, Sources, with_multitask
from components.index_pusher.config import IndexConfig, PublishConfig
from components.index_pusher.description.model_card import Data
from components.index_pusher.gates import Blessing
from components.index_pusher.push import Blessings, push
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.outcome import COUNTS, DATA_CONFIG
from modules import features

RETRIEVAL_MODEL = "retrieval_model"
RETRIEVAL_BLESSING = "retrieval_blessing"
RANKING_MODEL = "ranking_model"
RANKING_BLESSING = "ranking_blessing"
MULTITASK_MODEL = "multitask_model"
MULTITASK_BLESSING = "multitask_blessing"
RATING_WEIGHT = "rating_weight"
EXAMPLES = "examples"
RETRIEVAL_EVALUATION = "retrieval_evaluation"
RANKING_EVALUATION = "ranking_evaluation"
MULTITASK_EVALUATION = "multitask_evaluation"
PUSH_DESTINATION = "push_destination"
INDEX_CONFIG = "index_config"
PUBLISH_CONFIG = "publish_config"
MUST_BEAT_BASELINES = "must_beat_baselines"
PIPELINE_NAME = "pipeline_name"
SOURCE_DIGEST = "source_digest"
PUSHED_MODEL = "pushed_model"
RUN = "run"

# TensorFlow reads the examples from any file system, and of the blessings only properties are read.
_READ_AS_FILES = (
    *(RETRIEVAL_MODEL, RANKING_MODEL, MULTITASK_MODEL),
    *(RETRIEVAL_EVALUATION, RANKING_EVALUATION, MULTITASK_EVALUATION),
)


# The first of the two is what BaseComponent accepts, the second what the launcher calls.
class Driver(base_driver.BaseDriver, launched_driver.BaseDriver):
    """Keep the component out of TFX's cache: make the run a parameter, and so a part of the cache's key.

    The component's effects are outside its artifacts. The cache cannot know that the destination was deleted
    or damaged, or that another version was published since. So the executor reads the destination in every
    run, and builds nothing if the same models are published there. Kubeflow runs no custom drivers, so its
    cache is turned off for this step when the run is submitted.
    """

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Return the parameter `run`: the id of the pipeline's run."""
        output = driver_output_pb2.DriverOutput()
        output.exec_properties[RUN].string_value = execution_info.pipeline_run_id
        return output


class Executor(base_executor.BaseExecutor):
    """Call push.push and record its result as custom properties of the output."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Push the models, or record why not.

        Args:
          input_dict: the models, their blessings, the `examples`; their evaluations and the weight, if any.
          output_dict: `pushed_model`.
          exec_properties: `push_destination`, `index_config` and `publish_config` (JSON),
            `must_beat_baselines`, `pipeline_name`, `source_digest`.
        """
        folders = {key: input_dict[key] for key in _READ_AS_FILES if key in input_dict}
        pushed = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL])
        destination = exec_properties[PUSH_DESTINATION]
        if "://" not in destination:
            destination = os.path.abspath(destination)
        keep = PublishConfig.model_validate_json(exec_properties[PUBLISH_CONFIG]).keep_versions
        with remote.as_local_folders(folders, output_dict) as local_folders:
            blessings = Blessings(
                retrieval=_blessing(input_dict.get(RETRIEVAL_BLESSING, []), local_folders),
                ranking=_blessing(input_dict.get(RANKING_BLESSING, []), local_folders),
            )
            sources = _sources(input_dict, exec_properties, local_folders)
            for name, value in push(sources, blessings, destination, pushed.uri, keep).items():
                _record(pushed, name, value)


def _sources(
    input_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
    local_folders: Mapping[str, str],
) -> Sources:
    """Name the sources of a bundle, with the multitask model if it is given and blessed."""
    examples = artifact_utils.get_single_instance(input_dict[EXAMPLES])
    sources = Sources(
        retrieval_dir=artifact_utils.get_single_uri(input_dict[RETRIEVAL_MODEL]),
        ranking_dir=artifact_utils.get_single_uri(input_dict[RANKING_MODEL]),
        queries_dir=artifact_utils.get_split_uri([examples], features.EVAL_SPLIT),
        config=_with_weight(
            IndexConfig.model_validate_json(exec_properties[INDEX_CONFIG]), input_dict.get(RATING_WEIGHT, [])
        ),
        source_digest=exec_properties[SOURCE_DIGEST],
        data=_data(examples),
        evaluation_dirs=_evaluations(input_dict),
        split_dirs=_splits(examples),
        must_beat_baselines=bool(exec_properties[MUST_BEAT_BASELINES]),
        pipeline=exec_properties[PIPELINE_NAME],
    )
    if not input_dict.get(MULTITASK_MODEL):
        return sources
    model_dir = artifact_utils.get_single_uri(input_dict[MULTITASK_MODEL])
    return with_multitask(
        sources, model_dir, _blessing(input_dict.get(MULTITASK_BLESSING, []), local_folders)
    )


def _with_weight(config: IndexConfig, chosen: list[types.Artifact]) -> IndexConfig:
    """Take the weight of the rating that was chosen on a part of train, where the configuration has none."""
    if config.blend.rating_weight is not None or not chosen:
        return config
    weight = artifact_utils.get_single_instance(chosen).get_float_custom_property(RATING_WEIGHT)
    blend = config.blend.model_copy(update={RATING_WEIGHT: weight})
    return config.model_copy(update={"blend": blend})


def _data(examples: types.Artifact) -> Data:
    """Read MovieLensExampleGen's record of the ratings; ratings of another source have none."""
    config = examples.get_string_custom_property(DATA_CONFIG)
    counts = {name: examples.get_int_custom_property(name) for name in COUNTS if config}
    return Data(DataConfig.model_validate_json(config) if config else None, counts)


def _splits(examples: types.Artifact) -> dict[str, str]:
    """Name the folders of the splits that the ratings have."""
    names = artifact_utils.decode_split_names(examples.split_names)
    return {name: artifact_utils.get_split_uri([examples], name) for name in sorted(names)}


def _evaluations(input_dict: dict[str, list[types.Artifact]]) -> dict[str, str]:
    """Name the folders of the given evaluations, by the model's folder in the bundle."""
    keys = {RETRIEVAL: RETRIEVAL_EVALUATION, RANKING: RANKING_EVALUATION, MULTITASK: MULTITASK_EVALUATION}
    evaluations = {name: input_dict[key] for name, key in keys.items() if input_dict.get(key)}
    return {name: artifact_utils.get_single_uri(artifacts) for name, artifacts in evaluations.items()}


def _blessing(artifacts: list[types.Artifact], local_folders: Mapping[str, str]) -> Blessing:
    """Read an Evaluator's verdict; without thresholds it emits an artifact that has none.

    Args:
      artifacts: the blessing, or nothing.
      local_folders: of remote models, by the URI that was blessed.
    """
    if not artifacts:
        return Blessing()
    artifact = artifact_utils.get_single_instance(artifacts)
    has_verdict = artifact.has_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
    model_uri = artifact.get_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY)
    verdict = artifact.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
    return Blessing(
        blessed=verdict if has_verdict else None,
        model_uri=local_folders.get(model_uri, model_uri),
    )


def _record(artifact: types.Artifact, name: str, value: Any) -> None:
    if isinstance(value, list):
        artifact.set_string_custom_property(name, json.dumps(value))
    elif isinstance(value, str):
        artifact.set_string_custom_property(name, value)
    elif isinstance(value, int):
        artifact.set_int_custom_property(name, value)
    else:
        artifact.set_float_custom_property(name, value)
