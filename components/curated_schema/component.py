"""CuratedSchema: a schema file of the project as an artifact. Runs where the pipeline is compiled."""

import hashlib
import pathlib

from tfx import types
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base import base_component
from tfx.types import component_spec, standard_artifacts, standard_component_specs


class CuratedSchemaSpec(types.ComponentSpec):
    """ImportSchemaGen's spec with one more parameter."""

    INPUTS = standard_component_specs.ImportSchemaGenSpec.INPUTS
    OUTPUTS = standard_component_specs.ImportSchemaGenSpec.OUTPUTS
    PARAMETERS = {
        **standard_component_specs.ImportSchemaGenSpec.PARAMETERS,
        "digest": component_spec.ExecutionParameter(type=str),
    }


class CuratedSchema(ImportSchemaGen):
    """TFX's ImportSchemaGen, which reads an edited file again.

    The stock component has the file's path in its cache key, but not what the file says.

    Outputs:
      schema: a Schema.
    """

    SPEC_CLASS = CuratedSchemaSpec

    def __init__(self, schema_file: pathlib.Path):
        """Construct the component.

        Args:
          schema_file: a Schema in text format.
        """
        spec = CuratedSchemaSpec(
            schema_file=str(schema_file),
            digest=hashlib.sha256(schema_file.read_bytes()).hexdigest(),
            schema=types.Channel(type=standard_artifacts.Schema),
        )
        # Past ImportSchemaGen's own constructor, which builds the standard spec.
        base_component.BaseComponent.__init__(self, spec=spec)
