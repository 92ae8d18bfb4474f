"""CuratedSchema: a schema file of the project as an artifact. Runs where the pipeline is compiled."""

import pathlib

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.curated_schema import executor


class CuratedSchemaSpec(types.ComponentSpec):
    """A text in, a schema out."""

    INPUTS: dict = {}
    OUTPUTS = {executor.SCHEMA: component_spec.ChannelParameter(type=standard_artifacts.Schema)}
    PARAMETERS = {executor.SCHEMA_TEXT: component_spec.ExecutionParameter(type=str)}


class CuratedSchema(base_component.BaseComponent):
    """Give a schema of the project to the steps that compare data with it.

    TFX's ImportSchemaGen has the file's path as a parameter: an edited file would not be read again, and a
    container does not have that path. Here the text itself is the parameter.

    Outputs:
      schema: a Schema.
    """

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, schema_file: pathlib.Path):
        """Construct the component.

        Args:
          schema_file: a Schema in text format.
        """
        super().__init__(
            spec=CuratedSchemaSpec(
                schema_text=schema_file.read_text(encoding="utf-8"),
                schema=types.Channel(type=standard_artifacts.Schema),
            )
        )
