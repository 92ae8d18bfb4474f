"""MovieLensExampleGen: the component as the pipeline sees it. Runs where the pipeline is compiled."""

import os

from tfx import types
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from components.movielens_example_gen import executor
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.sources import listing, spans


class Quarantine(types.Artifact):
    """Rows that could not be used: a folder of JSON lines, one file per part of the input that has any.

    Every count of the run (see `outcome.COUNTS`) is a custom property.
    """

    # Where Kubeflow's containers import it from: see components/__init__.py.
    TYPE_NAME = "components.Quarantine"


class MovieLensExampleGenSpec(types.ComponentSpec):
    """TFX's file-based ExampleGen with two more outputs and three more parameters."""

    INPUTS = standard_component_specs.FileBasedExampleGenSpec.INPUTS
    OUTPUTS = {
        **standard_component_specs.FileBasedExampleGenSpec.OUTPUTS,
        "catalogue": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "quarantine": component_spec.ChannelParameter(type=Quarantine),
    }
    PARAMETERS = {
        **standard_component_specs.FileBasedExampleGenSpec.PARAMETERS,
        "data_config": component_spec.ExecutionParameter(type=str),
        executor.WINDOW: component_spec.ExecutionParameter(type=int, optional=True),
        "source_digest": component_spec.ExecutionParameter(type=str),
    }


class MovieLensExampleGen(FileBasedExampleGen):
    """Read ratings and catalogue of a MovieLens release.

    A FileBasedExampleGen, because TFX's driver for that class (locally and on Vertex AI) fingerprints the
    input files: an edited file is read again, an unedited one is served from the cache.

    Outputs:
      examples: splits `train` and `eval`, rows of features.RATING_ROW.
      catalogue: split `catalogue`, rows of features.CATALOGUE_ROW, one per candidate.
      quarantine: bad rows, and all counts.
    """

    SPEC_CLASS = MovieLensExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        input_base: str | data_types.RuntimeParameter,
        data_config: DataConfig,
        source_digest: str,
        window: data_types.RuntimeParameter | None = None,
    ):
        """Construct the component.

        Args:
          input_base: folder that holds the release's files (fetch.resolve_data finds or makes one), or their
            spans (see spans).
          data_config: which release it is, and how to split it.
          source_digest: changes when the executor's code does, so that TFX's cache then misses.
          window: number of spans that a run reads; it replaces `data_config.spans.window`, unless it is 0.
        """
        # One input split per file, so that the fingerprint covers exactly the files that are read, and of
        # spans also those outside the window. If the executor accepts several names for a file, each name
        # gets a split: a missing file is no error here. The driver would take a folder whose path has a star
        # or a bracket for a pattern; so the splits' patterns are then absolute.
        base = listing.literal(input_base) if isinstance(input_base, str) else ""
        base = "" if base == input_base else base
        splits = [
            example_gen_pb2.Input.Split(name=f"{part}_{i}", pattern=os.path.join(base, name))
            for part, names in spans.input_patterns(data_config).items()
            for i, name in enumerate(names)
        ]
        spec = MovieLensExampleGenSpec(
            input_base=input_base,
            input_config=example_gen_pb2.Input(splits=splits),
            output_config=example_gen_pb2.Output(),
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            data_config=data_config.model_dump_json(),
            window=window,
            source_digest=source_digest,
            examples=types.Channel(type=standard_artifacts.Examples),
            catalogue=types.Channel(type=standard_artifacts.Examples),
            quarantine=types.Channel(type=Quarantine),
        )
        # Skip FileBasedExampleGen's own constructor, which builds the standard spec.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
