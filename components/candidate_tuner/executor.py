"""Runs a tuner_fn's search with the candidates' files among its arguments. Runs in the worker."""

import os
import tempfile
from typing import Any

from tfx import types
from tfx.components.trainer import fn_args_utils
from tfx.components.tuner.executor import write_best_hyperparameters
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_component_specs

from modules import features

CANDIDATES_KEY = "candidates"


class Executor(base_executor.BaseExecutor):
    """TFX's Tuner executor; `fn_args.candidate_files` holds glob patterns of the catalogue's TFRecords."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Search, and write the best values and all results.

        Args:
          input_dict: `examples`, `transform_graph` and `candidates`.
          output_dict: `best_hyperparameters` and `tuner_results`.
          exec_properties: `tuner_fn`, a dotted path, and `custom_config`, JSON.
        """
        # TFX's own folder for this may be in a bucket, and the search writes to the local file system.
        with tempfile.TemporaryDirectory() as scratch:
            self._search(input_dict, output_dict, exec_properties, scratch)

    def _search(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
        scratch: str,
    ) -> None:
        fn_args = fn_args_utils.get_common_fn_args(input_dict, exec_properties, scratch)
        candidates = artifact_utils.get_single_instance(input_dict[CANDIDATES_KEY])
        folder = artifact_utils.get_split_uri([candidates], features.CATALOGUE_SPLIT)
        fn_args.candidate_files = [os.path.join(folder, "*")]
        fn_args.transform_output = fn_args.transform_graph_path
        # The search evaluates on rows held out of train.
        fn_args.eval_files = []

        tuner, arguments = udf_utils.get_fn(exec_properties, standard_component_specs.TUNER_FN_KEY)(fn_args)
        tuner.search(**arguments)
        write_best_hyperparameters(tuner, output_dict)
        best = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.BEST_HYPERPARAMETERS_KEY]
        )
        for name, value in tuner.summary().items():
            write = {int: best.set_int_custom_property, float: best.set_float_custom_property}
            write.get(type(value), best.set_string_custom_property)(name, value)
