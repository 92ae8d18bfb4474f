"""The whole pipeline on planted rows, in this process."""

from __future__ import annotations

import pathlib

import ml_metadata as mlmd
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import RunOptions

from pipeline.pipeline import create_pipeline
from runners import record
from tests.kubeflow import planted_release

Uris = dict[tuple[str, str], str]


class PlantedPipeline:
    """One run of all steps, and steps run anew on what it left.

    Attributes:
      pushed: where its bundle is.
      uris: of the first run's outputs, by step and key.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.pushed = folder / "pushed"
        self._folder = folder
        self._data = planted_release.write(folder / "data")
        self._connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite"))
        self.uris = self._run(["--direct_running_mode=in_memory"])

    def again(self, step: str, beam: list[str]) -> Uris:
        """Run a step alone, with Beam's flags; returns its outputs."""
        store = mlmd.MetadataStore(self._connection)
        first = min(store.get_contexts_by_type("pipeline_run"), key=lambda run: run.id).name
        options = RunOptions(from_nodes=[step], to_nodes=[step], base_pipeline_run_id=first)
        return self._run(beam, options)

    def _run(self, beam: list[str], options: RunOptions | None = None) -> Uris:
        pipeline = create_pipeline(
            config=planted_release.config(epochs=1, batch={"timestamp": 900_000_000}),
            data_root=str(self._data),
            pipeline_root=str(self._folder / "root"),
            push_destination=str(self.pushed),
            metadata_connection_config=self._connection,
            beam_pipeline_args=beam,
        )
        pipeline.enable_cache = False
        LocalDagRunner().run(pipeline, run_options=options)
        steps = record.latest_run(mlmd.MetadataStore(self._connection))
        ran = [step for step in steps if step.state == "run"]
        return {(step.node_id, output.key): output.uri for step in ran for output in step.outputs}
