"""Executor of CuratedSchema: a text in, an artifact out."""

from __future__ import annotations

import os
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.schema_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

SCHEMA = "schema"
SCHEMA_TEXT = "schema_text"


class Executor(base_executor.BaseExecutor):
    """Write the schema as every other component expects to find one."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Check that `schema_text` is a Schema and write it, as it is, to `schema`."""
        text = exec_properties[SCHEMA_TEXT]
        text_format.Parse(text, schema_pb2.Schema())
        folder = artifact_utils.get_single_uri(output_dict[SCHEMA])
        io_utils.write_string_file(os.path.join(folder, DEFAULT_FILE_NAME), text)
