"""The steps of a TFX run, shown on the terminal as they start and end."""

from __future__ import annotations

import contextlib
import dataclasses
import resource
import time
from collections.abc import Callable, Iterator, Sequence

from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.data_types import ExecutionInfo

from common.progress import progress
from runners.reporting import figures
from runners.reporting.failure import cause_in_text, cause_of
from runners.running import beam_stages, record, retry
from runners.terminal.display import StepDisplay


class StepError(Exception):
    """A step that failed: TFX gave it up without raising anything, or it ran in another process."""


@dataclasses.dataclass
class Watch:
    """What is seen of a run beside its record: the failure, if there was one, and memory.

    Attributes:
      display: shows the steps.
      failed: the step that raised; empty if none did.
      error: its exception. BeamDagRunner raises an error of its own that holds this one as text.
      peaks: by step, the peak of resident memory of its process in bytes, until the step's end.
    """

    display: StepDisplay
    failed: str = ""
    error: Exception | None = None
    peaks: dict[str, int] = dataclasses.field(default_factory=dict)

    def with_peaks(self, steps: Sequence[record.Step]) -> list[record.Step]:
        """Add the peaks of memory to steps."""
        return [dataclasses.replace(step, peak_bytes=self.peaks.get(step.node_id)) for step in steps]


@contextlib.contextmanager
def shown(display: StepDisplay) -> Iterator[Watch]:
    """Show a line on the terminal for every step that is launched in this context.

    The hook is around Launcher.launch, where LocalDagRunner and BeamDagRunner meet: both build one Launcher
    for each node and call this one method of it, as does the process that ParallelDagRunner forks for a step.
    The hook sees the node, the execution and the error. The alternative, to listen for log messages such as
    'Component X is running.', depends on their wording, which differs between the two, and sees neither
    cached executions nor errors.
    """
    watch = Watch(display)
    launch = launcher.Launcher.launch

    def shown_launch(self: launcher.Launcher) -> ExecutionInfo | None:
        node_id = self._pipeline_node.node_info.id
        with self._mlmd_connection as connection:
            expected = record.latest_seconds(connection.store, self._pipeline_info.id, node_id)
        with watch.display.step(node_id, expected) as outcome:
            try:
                info, step = _launched(launch, self, node_id)
            except Exception as error:
                watch.failed, watch.error = node_id, error
                raise
            finally:
                # Linux counts in units of 1024 bytes.
                watch.peaks[node_id] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            outcome.state, outcome.figure = step.state, figures.figure(step)
            return info

    launcher.Launcher.launch = shown_launch
    try:
        with beam_stages.counted(lambda done, of: watch.display.stages(done, of)):
            yield watch
    finally:
        launcher.Launcher.launch = launch


def _launched(
    launch: Callable[[launcher.Launcher], ExecutionInfo | None], self: launcher.Launcher, node_id: str
) -> tuple[ExecutionInfo | None, record.Step]:
    """Launch a step, and launch it again after a delay if its failure is transient.

    TFX removes the outputs of an attempt that failed, and records the next one as the same execution.
    """
    for delay in retry.DELAYS:
        try:
            info = launch(self)
            return info, _step(self, info)
        except Exception as error:
            cause = cause_of(error)
            if not retry.is_transient(cause):
                raise
            progress.warning("%s: %s; trying again in %g s", node_id, cause, delay)
        time.sleep(delay)
    info = launch(self)
    return info, _step(self, info)


def _step(self: launcher.Launcher, info: ExecutionInfo | None) -> record.Step:
    """Read how an execution ended.

    Raises:
      StepError: it did not succeed. TFX records inputs that cannot be resolved as a failure, and goes on to
        the next node.
    """
    if info is None or info.execution_id is None:
        raise StepError("A step must find its inputs; TFX skipped this one, because inputs are missing.")
    with self._mlmd_connection as connection:
        step = record.step(connection.store, info.execution_id)
    if not step.done:
        raise StepError(str(cause_in_text(step.error) or f"TFX left the step in the state {step.state}."))
    return step
