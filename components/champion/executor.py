"""Executors for containers, where verdicts are files: the search for a champion, the recording Evaluator."""

from typing import Any

from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as evaluator
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.standard_component_specs import BASELINE_MODEL_KEY, BLESSING_KEY

from common.progress import progress
from components.champion import verdicts

CHALLENGER = "challenger"
VERDICTS = "verdicts"
BASELINE_URI = "baseline_uri"
# A word, because an empty parameter is easily taken for a missing one.
NO_CHAMPION = "none"


class Executor(base_executor.BaseExecutor):
    """Find the champion in a folder of verdicts."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the champion's URI, or NO_CHAMPION, to `baseline_uri`."""
        challenger = artifact_utils.get_single_uri(input_dict[CHALLENGER])
        choice = verdicts.champion(exec_properties[VERDICTS], challenger)
        artifact_utils.get_single_instance(output_dict[BASELINE_URI]).value = choice.model_id or NO_CHAMPION
        for uri in choice.missing:
            progress.warning("A model was blessed, and its files are missing: %s", uri)
        progress.info("champion: %s", choice.model_id or NO_CHAMPION)


class EvaluatorExecutor(evaluator.Executor):
    """TFX's Evaluator, with the champion's URI as a parameter; records its verdict."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluate; if there is a verdict, add it to the folder `verdicts`."""
        inputs = dict(input_dict)
        if exec_properties[BASELINE_URI] != NO_CHAMPION:
            baseline = standard_artifacts.Model()
            baseline.uri = exec_properties[BASELINE_URI]
            inputs[BASELINE_MODEL_KEY] = [baseline]
        super().Do(inputs, output_dict, exec_properties)
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        # TFX would look up this id among the step's artifacts, where it is not. The URI stays.
        blessing.mlmd_artifact.custom_properties.pop(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, None)
        if blessing.has_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY):
            blessed = blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
            model_uri = blessing.get_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY)
            verdicts.record(exec_properties[VERDICTS], model_uri, blessed == constants.BLESSED_VALUE)
