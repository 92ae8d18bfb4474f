"""The whole pipeline on planted rows: a run as a person starts it, which is killed twice on its way."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3
import tempfile
import time

import ml_metadata as mlmd
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import RunOptions

from pipeline import config as configuration
from pipeline.pipeline import create_pipeline
from runners.running import record, workspace
from tests.helpers import planted_release
from tests.helpers.processes import warm_python

Uris = dict[tuple[str, str], str]

KILLED_AT = ("Transform", "Trainer.ranking")
_REACHED_WITHIN = 500.0  # Seconds: a step's start, on a busy machine.


def run(folder: pathlib.Path) -> None:
    """Run the pipeline, kill it as soon as it shows each step of KILLED_AT, and run it to its end.

    Args:
      folder: an empty one, which PlantedPipeline then reads.
    Raises:
      AssertionError: a run ended otherwise than that; with what it printed.
    """
    (folder / "config.json").write_text(_config().model_dump_json())
    planted_release.write(folder / "data")
    command = ["local_runner.py", *_flags(folder)]
    for step in KILLED_AT:
        stdout = folder / f"killed-{step}"
        # Step by step, so that a training has ended when the next one is killed.
        started = warm_python.start([*command, "--jobs", "1"], stdout, stdout)
        deadline = time.monotonic() + _REACHED_WITHIN
        try:
            while f"\n{step} ..." not in stdout.read_text():
                assert started.process.is_alive() and time.monotonic() < deadline, stdout.read_text()
                time.sleep(0.05)
        finally:
            started.process.kill()
            started.finish()
    done = warm_python.run(command, timeout=warm_python.PIPELINE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output").write_text(done.stdout)
    database = str(folder / "root" / workspace.METADATA)
    store = mlmd.MetadataStore(metadata.sqlite_metadata_connection_config(database))
    latest = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
    outputs = [(s.node_id, o.key, o.uri) for s in record.latest_run(store) for o in s.outputs]
    (folder / "run.json").write_text(json.dumps({"name": latest.name, "outputs": outputs}))


class PlantedPipeline:
    """The run that ended well, and steps run anew on what it left.

    Attributes:
      flags: of local_runner.py, for a run that finds all of it in the cache.
      pushed: where its bundle is.
      output: what it printed.
      uris: of its outputs, by step and key.
      config: its configuration.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.flags = _flags(folder)
        self.pushed = folder / "root" / "pushed"
        self.output = (folder / "output").read_text()
        recorded = json.loads((folder / "run.json").read_text())
        self._run = recorded["name"]
        self.config = configuration.of_data(_config(), folder / "data", is_release=False)
        self.uris: Uris = {(step, key): uri for step, key, uri in recorded["outputs"]}

    def again(self, step: str, beam: list[str]) -> Uris:
        """Run a step alone, with Beam's flags, on a copy of the run's metadata; returns its outputs."""
        root = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
        with (
            contextlib.closing(sqlite3.connect(self._folder / "root" / workspace.METADATA)) as recorded,
            contextlib.closing(sqlite3.connect(root / workspace.METADATA)) as copy,
        ):
            recorded.backup(copy)  # Whole, even while a test's run writes there.
        connection = metadata.sqlite_metadata_connection_config(str(root / workspace.METADATA))
        pipeline = create_pipeline(
            config=self.config,
            data_root=str(self._folder / "data"),
            pipeline_root=str(root),
            push_destination=str(self.pushed),
            metadata_connection_config=connection,
            beam_pipeline_args=beam,
        )
        pipeline.enable_cache = False
        options = RunOptions(from_nodes=[step], to_nodes=[step], base_pipeline_run_id=self._run)
        LocalDagRunner().run(pipeline, run_options=options)
        ran = record.latest_run(mlmd.MetadataStore(connection))
        return {(s.node_id, o.key): o.uri for s in ran if s.state == "run" for o in s.outputs}


def _flags(folder: pathlib.Path) -> list[str]:
    """Return the flags of local_runner.py for the run in a folder."""
    paths = {"--config": "config.json", "--data": "data", "--pipeline-root": "root"}
    return [word for flag, name in paths.items() for word in (flag, str(folder / name))]


def _config():
    return planted_release.config(epochs=1, batch={"timestamp": 900_000_000})
