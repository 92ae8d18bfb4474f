"""A pipeline run on this machine, to its end or to a failure in words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import ml_metadata as mlmd
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from runners import leftovers, record, steps
from runners.failure import RunError, cause_of
from runners.terminal import Terminal
from runners.workspace import METADATA

RUNNERS = {"local": LocalDagRunner, "beam": BeamDagRunner}

Create = Callable[[mlmd.proto.ConnectionConfig], pipeline.Pipeline]


def run(create: Create, runner: str, root: Path, terminal: Terminal) -> list[record.Step]:
    """Run a pipeline and show its steps.

    Args:
      create: makes the pipeline, given where its metadata is.
      runner: a key of RUNNERS.
      root: the pipeline's folder, whose lock the caller holds.
      terminal: for the steps.
    Returns:
      What ML Metadata holds of the run.
    Raises:
      RunError: a step, or the wiring, raised. The traceback is in the log.
    """
    connection = metadata.sqlite_metadata_connection_config(str(root / METADATA))
    store = mlmd.MetadataStore(connection)
    leftovers.remove(root, store)
    with steps.shown(terminal) as watch:
        try:
            RUNNERS[runner]().run(create(connection))
        except Exception as error:
            logging.getLogger(__name__).exception("The run failed")
            place = f"{watch.failed} failed: " if watch.failed else ""
            raise RunError(f"{place}{cause_of(watch.error or error)}") from error
    return record.latest_run(store)
