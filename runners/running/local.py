"""Run a pipeline on this machine, to its end or to a failure with a message."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_metadata as mlmd
from apache_beam.options.pipeline_options import StandardOptions
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner

from common.errors import disk_errors
from common.progress import progress
from components.index_pusher.index import scann_operations
from pipeline.beam_flags import LOCAL_RUNNER
from runners import flags, paths
from runners.reporting.failure import RunError, cause_of
from runners.running import leftovers, record, steps
from runners.running.parallel import ParallelDagRunner
from runners.running.workspace import METADATA
from runners.terminal.status import Terminal

Create = Callable[[mlmd.proto.ConnectionConfig], pipeline.Pipeline]


def run(create: Create, runner: str, root: Path, terminal: Terminal, jobs: int) -> list[record.Step]:
    """Run a pipeline and show its steps.

    Args:
      create: makes the pipeline, given the connection to its metadata.
      runner: flags.LOCAL, for a process for each step; flags.BEAM, for BeamDagRunner in this process.
      root: the pipeline's folder, whose lock the caller holds.
      terminal: for the steps.
      jobs: how many steps flags.LOCAL runs at once.
    Returns:
      The steps of the run, as ML Metadata records them.
    Raises:
      RunError: the metadata cannot be read, or a step, or the wiring, raised. The traceback is in the log.
      DataError: the disk cannot be read or written.
    """
    if not scann_operations.installed():
        progress.info(scann_operations.MISSING)
    connection = metadata.sqlite_metadata_connection_config(str(root / METADATA))
    earlier = record.latest_id(_open(connection, root))
    with steps.shown(terminal) as watch, _named_runner():
        dag_runner = ParallelDagRunner(watch, terminal, jobs) if runner == flags.LOCAL else BeamDagRunner()
        try:
            dag_runner.run(create(connection))
        except Exception as error:
            logging.getLogger(__name__).exception("The run failed")
            step = f"{watch.failed} failed: " if watch.failed else ""
            message = f"{step}{cause_of(watch.error or error)}"
            recorded = record.latest_run(mlmd.MetadataStore(connection), after=earlier)
            raise RunError(paths.as_given(message), watch.with_peaks(recorded)) from error
    return watch.with_peaks(record.latest_run(mlmd.MetadataStore(connection)))


@contextlib.contextmanager
def _named_runner() -> Iterator[None]:
    """Make Beam's local runner the default for BeamDagRunner too, whose own Beam pipeline takes no flags."""
    default = StandardOptions.DEFAULT_RUNNER
    StandardOptions.DEFAULT_RUNNER = LOCAL_RUNNER
    try:
        yield
    finally:
        StandardOptions.DEFAULT_RUNNER = default


def _open(connection: mlmd.proto.ConnectionConfig, root: Path) -> mlmd.MetadataStore:
    try:
        store = mlmd.MetadataStore(connection)
        with disk_errors(root):
            leftovers.remove(root, store)
    except (RuntimeError, mlmd.errors.StatusError) as error:
        logging.getLogger(__name__).exception("The metadata cannot be used")
        cause = cause_of(error)
        if cause.disk_full:
            raise RunError(str(cause)) from error
        # ML Metadata quotes the query that failed, which is long.
        reason = (str(error).rpartition(" query: ")[0] or str(error)).rstrip(".")
        raise RunError(
            f"{root / METADATA} must be the record of earlier runs; it cannot be read: {reason}. Restore it, "
            "or move it away (then every step runs anew, and there is no champion), or name another folder "
            "with --pipeline-root."
        ) from error
    return store
