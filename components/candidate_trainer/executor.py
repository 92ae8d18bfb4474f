"""Runs a run_fn with the candidates' files among its arguments. Runs in the worker."""

import os
from typing import Any

from tfx import types
from tfx.components.trainer.executor import GenericExecutor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import artifact_utils

from modules import features

CANDIDATES_KEY = "candidates"
EPOCHS_KEY = "epochs"
_HYPERPARAMETERS = "hyperparameters"


class Executor(GenericExecutor):
    """TFX's GenericExecutor; `fn_args.candidate_files` holds glob patterns of the catalogue's TFRecords."""

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> FnArgs:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        candidates = artifact_utils.get_single_instance(input_dict[CANDIDATES_KEY])
        folder = artifact_utils.get_split_uri([candidates], features.CATALOGUE_SPLIT)
        fn_args.candidate_files = [os.path.join(folder, "*")]
        if epochs := exec_properties.get(EPOCHS_KEY):
            configured = fn_args.custom_config[_HYPERPARAMETERS]
            fn_args.custom_config[_HYPERPARAMETERS] = {**configured, EPOCHS_KEY: epochs}
        return fn_args
