"""Run the steps of a pipeline side by side on this machine, each in a process of its own.

As on a cluster, a step's memory is free again when it has ended. The processes are forked from one that has
imported TensorFlow, TFX and Beam, and has used none of them: the threads that they start when they are first
used do not survive a fork.
"""

from __future__ import annotations

import ctypes
import datetime
import graphlib
import json
import logging
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection, wait
from typing import Any

from tfx.dsl.compiler import constants
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from common.progress import progress
from runners.reporting.failure import cause_of
from runners.running.steps import StepError, Watch
from runners.terminal import forwarding
from runners.terminal.display import Outcome
from runners.terminal.status import Terminal

# Of Linux's sys/prctl.h, and of glibc's malloc.h.
_PR_SET_PDEATHSIG, _M_ARENA_MAX = 1, -8
# Keys of a process's last message; the others are forwarding's.
_FAILED, _PEAK = "failed", "peak_bytes"


class ParallelDagRunner(LocalDagRunner):
    """Has LocalDagRunner run each step, in a process of its own, once the steps before it have ended.

    A LocalDagRunner itself, because TFX's command line replaces that class's `run` to create a pipeline.
    """

    def __init__(self, watch: Watch, terminal: Terminal, jobs: int) -> None:
        """Make a runner for one run.

        Args:
          watch: gets the peaks of memory and the failure.
          terminal: shows the steps, whose processes write to nothing but the log.
          jobs: how many steps run at once.
        """
        self._watch, self._terminal, self._jobs = watch, terminal, jobs
        # By the connection on which its process sends; a process is named after its node.
        self._running: dict[Any, multiprocessing.process.BaseProcess] = {}

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None
    ) -> None:
        """Run a pipeline.

        After a failure no step is started, but those that run are waited for: their outputs are then in the
        cache.

        Args:
          pipeline: as compiled.
          run_options: must be None.
        Raises:
          StepError: a step failed; of several it is the first.
        """
        if run_options:
            raise ValueError("ParallelDagRunner runs whole pipelines; run a part with LocalDagRunner")
        run_id = datetime.datetime.now().isoformat()
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
        )
        processors = len(os.sched_getaffinity(0))
        upstream = {
            node.pipeline_node.node_info.id: node.pipeline_node.upstream_nodes for node in pipeline.nodes
        }
        order = list(upstream)
        graph = graphlib.TopologicalSorter(upstream)
        graph.prepare()
        ready: list[str] = []
        try:
            while True:
                ready = sorted([*ready, *graph.get_ready()], key=order.index)
                while ready and len(self._running) < self._jobs and not self._watch.error:
                    beside = min(self._jobs, len(self._running) + len(ready))
                    self._start(pipeline, ready.pop(0), max(1, processors // beside))
                if not self._running:
                    break
                for node_id in self._receive():
                    graph.done(node_id)
        finally:
            for process in self._running.values():
                process.kill()
        if self._watch.error:
            raise self._watch.error

    def _start(self, pipeline: pipeline_pb2.Pipeline, node_id: str, threads: int) -> None:
        alone = pipeline_pb2.Pipeline()
        alone.CopyFrom(pipeline)
        del alone.nodes[:]
        alone.nodes.extend(node for node in pipeline.nodes if node.pipeline_node.node_info.id == node_id)
        reader, writer = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=_run, args=(alone, node_id, self._watch, writer, os.getpid(), threads), name=node_id
        )
        process.start()
        writer.close()
        self._running[reader] = process

    def _receive(self) -> list[str]:
        """Wait until a step's process sends something, and show it; return the steps that succeeded."""
        succeeded = []
        readers: list[Any] = wait(list(self._running))
        for reader in readers:
            process = self._running[reader]
            try:
                message = json.loads(reader.recv_bytes())
            except EOFError:
                process.join()
                message = {_FAILED: _killed(process.exitcode or 0)}
            if _FAILED not in message:
                forwarding.show(message, process.name, self._terminal)
                continue
            del self._running[reader]
            reader.close()
            process.join()
            if peak := message.get(_PEAK):
                self._watch.peaks[process.name] = peak
            if self._terminal.shows(process.name):
                self._terminal.finish(process.name, Outcome("failed"))
            if not message[_FAILED]:
                succeeded.append(process.name)
            elif not self._watch.error:
                self._watch.failed, self._watch.error = process.name, StepError(message[_FAILED])
        return succeeded


def _run(
    alone: pipeline_pb2.Pipeline, node_id: str, watch: Watch, writer: Connection, parent: int, threads: int
) -> None:
    """Run a step, in its process.

    Args:
      alone: the pipeline with this node alone.
      node_id: of the node.
      watch: of the run.
      writer: to the run's process.
      parent: number of that process.
      threads: of TensorFlow's, where the environment does not say how many. Two steps with a thread for each
        processor would wait for each other.
    """
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(variable, str(threads))
    # Ctrl-C reaches all processes; the run's own prints the message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if "MALLOC_ARENA_MAX" not in os.environ:
        # glibc gives threads up to 8 heaps for each processor; what one has freed the others cannot use.
        libc.mallopt(_M_ARENA_MAX, 2)
    if os.getppid() != parent:  # It ended before that.
        os._exit(1)
    forwarder = forwarding.Forwarder(writer)
    progress.handlers[:] = [forwarder]
    watch.display = forwarder
    failed = ""
    try:
        LocalDagRunner().run_with_ir(alone)
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", node_id)
        failed = str(cause_of(watch.error or error))
    forwarder.send({_FAILED: failed, _PEAK: watch.peaks.get(node_id)})
    sys.stdout.flush()
    sys.stderr.flush()
    # Not by way of Python's own end, which waits for threads that TensorFlow or Beam may have left.
    os._exit(0)


def _killed(code: int) -> str:
    """Word the end of a process that sent no last message."""
    if code >= 0:
        return f"its process ended with exit code {code}; the log may tell why."
    name = signal.Signals(-code).name
    if name != "SIGKILL":
        return f"its process was ended by {name}; the log may tell why."
    return (
        "its process was killed (SIGKILL), as Linux does when memory runs out. With --jobs 1 one step runs "
        "at a time, and needs less of it."
    )
