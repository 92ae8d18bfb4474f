"""Containers as processes that are forked from one which has imported TFX, for a test that has to be short.

Each still is a process of its own, in which the command's module runs as `__main__` with the command's
arguments; only the imports are not paid for nineteen times. benchmarks/executed_spec.py starts them for real.
"""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import runpy
import sys
from collections.abc import Mapping

_IMPORTED = ("tfx.components", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor")


def launch(
    command: list[str], environment: Mapping[str, str], folder: pathlib.Path, log: pathlib.Path
) -> int:
    """Run `python -m module arguments`; the first call takes as long as the imports."""
    if command[:2] != ["python", "-m"]:
        raise ValueError(f"only `python -m` can be run so; received {command[:3]}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    process = context.Process(target=_run, args=(command[2:], dict(environment), str(folder), str(log)))
    process.start()
    process.join()
    assert process.exitcode is not None, "it was joined"
    return process.exitcode


def _run(words: list[str], environment: dict[str, str], folder: str, log: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with open(log, "ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
