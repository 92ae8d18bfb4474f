"""Python commands in processes that are forked from one that has imported TensorFlow and TFX.

Importing TFX takes longer than most of what a test asks of a command. A forked process is a process of its
own, with the command's arguments, environment, working directory and standard streams. It finds the libraries
imported already, and imports the project itself. Functions that it registers with atexit do not run. Tests of
what a command imports start interpreters instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.util
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence

from tests.helpers.beam import light

# For a command that runs a whole pipeline; other tests, and so their commands, have 300 seconds.
PIPELINE_SECONDS = 1800.0
_SECONDS = 250.0

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Libraries alone; not tensorflow_recommenders, which imports ScaNN: a process without ScaNN must have none.
_PRELOADED = (
    "tfx.components",
    "tfx.orchestration.beam.beam_dag_runner",
    "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor",
    "tfx.orchestration.local.local_dag_runner",
)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that was started.

    Attributes:
      process: its process; what it prints goes to the files `stdout` and `stderr`.
    """

    process: multiprocessing.process.BaseProcess
    stdout: pathlib.Path
    stderr: pathlib.Path

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self.process.pid is not None, "it was started"
        return self.process.pid

    def finish(self, timeout: float = _SECONDS) -> subprocess.CompletedProcess[str]:
        """Wait for its end.

        Args:
          timeout: seconds, after which it is killed.
        Raises:
          subprocess.TimeoutExpired: it was killed.
        """
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            raise subprocess.TimeoutExpired(self.process.name, timeout, self.stdout.read_bytes())
        code = self.process.exitcode
        assert code is not None, "it has ended"
        return subprocess.CompletedProcess(
            self.process.name, code, self.stdout.read_text(), self.stderr.read_text()
        )


def start(
    arguments: Sequence[str],
    stdout: pathlib.Path,
    stderr: pathlib.Path,
    cwd: pathlib.Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Command:
    """Start a command; the first one waits for the imports.

    Args:
      arguments: what follows `python`: `-m module ...`, `-c code ...` or `script ...`.
      stdout: a file to which its standard output is appended.
      stderr: the same for its standard error.
      cwd: its working directory.
      env: its environment; this process's by default.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    for path in (stdout, stderr):
        path.touch()
    words = [str(argument) for argument in arguments]
    environment = dict(os.environ if env is None else env)
    process = context.Process(
        target=_main, name=words[0], args=(words, str(cwd), environment, str(stdout), str(stderr))
    )
    process.start()
    # Before multiprocessing waits, at this process's end, for what a failed test has left.
    multiprocessing.util.Finalize(None, process.kill, exitpriority=0)
    return Command(process, stdout, stderr)


def run(
    arguments: Sequence[str],
    cwd: pathlib.Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float = _SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` with captured text does."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = (pathlib.Path(folder, name) for name in ("stdout", "stderr"))
        return start(arguments, stdout, stderr, cwd, env).finish(timeout)


def launch(
    command: list[str], environment: Mapping[str, str], folder: pathlib.Path, log: pathlib.Path
) -> int:
    """Run a container's command, as `spec_executor.subprocess_launch` does."""
    if command[:2] != ["python", "-m"]:
        raise ValueError(f"only `python -m` can be run so; received {command[:3]}")
    return start(command[1:], log, log, folder, environment).finish(PIPELINE_SECONDS).returncode


def _main(words: list[str], cwd: str, environment: dict[str, str], stdout: str, stderr: str) -> None:
    """Become the command, in the forked process."""
    light.use()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for path, stream in ((stdout, 1), (stderr, 2)):
        with open(path, "ab") as file:
            os.dup2(file.fileno(), stream)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    found = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    libraries = [path for path in sys.path if path and pathlib.Path(path).resolve() != ROOT]
    kind, *rest = words
    first = os.path.dirname(os.path.abspath(kind)) if kind not in ("-c", "-m") else cwd
    sys.path[:] = [first, *found, *libraries]
    try:
        if kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(rest[0], "<string>", "exec"), main.__dict__)
        elif kind == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(kind, run_name="__main__")
    finally:
        with contextlib.suppress(ValueError):  # A command may have closed its streams.
            sys.stdout.flush()
