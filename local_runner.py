"""Run the pipeline on this machine.

    python local_runner.py [flags] [-- Beam options]

It reads flags and configuration, finds the data, runs the pipeline, and shows a summary and recommendations.
Large libraries are imported only when they are needed. `--help` lists the flags.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from common import streams
from common.errors import DataError, disk_errors
from pipeline import config as configuration
from runners import exit_codes, flags, paths, secrets
from runners.flags import configure
from runners.reporting import failure
from runners.running import workspace
from runners.terminal import redirect, status

if TYPE_CHECKING:
    from runners.reporting.summary import Summary
    from runners.running.record import Step

_ROOT = pathlib.Path(__file__).resolve().parent
_PROCESSORS = len(os.sched_getaffinity(0))
_MOST_JOBS = 4  # Steps that can train at once: three models and the weight of the predicted rating.
_DEFAULT_ROOT = "runs"
# Of the default preset; another preset pushes to a folder of its own, and never replaces these bundles.
_PUSHED = "pushed"
_SHOWN_USER = "42"


def main(arguments: Sequence[str]) -> int:
    """Run; return the process's exit code."""
    started = time.monotonic()
    try:
        secrets.reject(arguments)  # Before they are parsed, for argparse prints unknown arguments.
        options = parse(arguments)
        config = configure(options)
        flags.run_here(config)
    except ValueError as error:
        print(f"local_runner.py: {error}", file=sys.stderr)
        return exit_codes.MISTAKE
    try:
        with workspace.claimed(options.pipeline_root), paths.entered(options.pipeline_root) as root:
            return _run(options, config, root, started)
    except (DataError, workspace.BusyError) as error:
        print(f"local_runner.py: {error}", file=sys.stderr)
        return exit_codes.BUSY if isinstance(error, workspace.BusyError) else exit_codes.FAILED
    except KeyboardInterrupt:
        print("local_runner.py: stopped", file=sys.stderr)
        return exit_codes.STOPPED


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the flags; a wrong one ends the process with exit code 2.

    Raises:
      ValueError: the root has a path that workers elsewhere cannot use.
    """
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="local_runner.py",
        description="Run the pipeline on this machine, and show what it recommends.",
        usage="%(prog)s [flags] [-- Beam options]",
        epilog="What follows `--` goes to Beam, for example: -- --direct_num_workers=2 "
        "--direct_running_mode=multi_processing",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30),
    )
    _add_flags(parser)
    options = parser.parse_args(arguments[:split])
    pushed = _PUSHED if options.preset == flags.DEFAULT_PRESET else f"{_PUSHED}-{options.preset}"
    options.push_dir = options.push_dir or options.pipeline_root / pushed
    options.beam_options = list(arguments[split + 1 :])
    if any(option.startswith("--runner") for option in options.beam_options):
        # Its workers may be on other machines, and do not enter the root as this process does.
        paths.require_plain(options.pipeline_root, "With a runner of Beam's, --pipeline-root")
    return options


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=flags.local_path,
        metavar="PATH",
        help="folder or zip with the release's files (default: the cache, else they are fetched)",
    )
    flags.add_configuration(parser)
    parser.add_argument(
        "--runner",
        choices=(flags.LOCAL, flags.BEAM),
        default=flags.LOCAL,
        help="a process for each step, or BeamDagRunner in one process (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=flags.positive,
        default=min(_MOST_JOBS, _PROCESSORS),
        metavar="N",
        help="steps that --runner local runs at once; each takes up to 1.5 GB on MovieLens 100K "
        f"(default: one for each processor, at most {_MOST_JOBS}; here %(default)s)",
    )
    parser.add_argument(
        "--pipeline-root",
        type=flags.local_path,
        default=_DEFAULT_ROOT,
        metavar="DIR",
        help="folder for artifacts, metadata and logs (default: %(default)s)",
    )
    parser.add_argument(
        "--push-dir",
        type=flags.local_path,
        metavar="DIR",
        help=f"folder to push to (default: {_PUSHED} in --pipeline-root, so {_DEFAULT_ROOT}/{_PUSHED}; "
        f"{_PUSHED}-PRESET with another preset)",
    )
    parser.add_argument(
        "--report",
        type=flags.local_path,
        metavar="FILE",
        help="also write the run's results as JSON, and show no recommendations (default: none)",
    )
    parser.add_argument(
        "--no-report",
        dest="pages",
        action="store_false",
        help="write no page about the run (default: reports/ in --pipeline-root gets one)",
    )


def _run(
    options: argparse.Namespace, config: configuration.Config, root: pathlib.Path, started: float
) -> int:
    """Find the data, run the pipeline, and show the summary and recommendations.

    Args:
      root: path of the pipeline's folder for TensorFlow, Beam and TFX, see paths.entered.
    """
    paths.require_destination(options.push_dir)
    data_root, config = _find_data(options, config)
    log = workspace.new_log(options.pipeline_root)
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.runner == flags.LOCAL:
        # Read when NumPy is imported. OpenBLAS's threads spin, which would slow the steps beside them down.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, _PROCESSORS // options.jobs)))
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = str(options.pipeline_root)  # TFX imports what looks for settings there.
    # Beam's workers are processes of their own; outside the clone they would not find the project.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{_ROOT}{os.pathsep}{path}" if path else str(_ROOT)
    page = ""
    try:
        with redirect.terminal_and_log(log) as stream:
            screen = status.Terminal(stream)
            try:
                with _stopping(screen, log):
                    summary = _run_pipeline(options, config, root, data_root, screen)
            except failure.RunError as error:
                page = _write_pages(options, config, log.stem, started, error.steps, str(error))
                raise
            _show_summary(screen, summary, time.monotonic() - started, log)
            if options.report:
                _write_report(summary, options.report)
    except failure.RunError as error:
        print("\n".join(filter(None, (f"\n{error}", f"Log: {log}", page))), file=sys.stderr)
        if options.report:
            workspace.write_report({workspace.FAILED: str(error)}, options.report)
        return exit_codes.FAILED
    if options.pages:
        print("Writing the report ...", flush=True)
    with redirect.terminal_and_log(log):
        page = _write_pages(options, config, log.stem, started, summary.steps)
    try:
        return 0 if options.report else _recommend(options.push_dir)
    finally:
        if page:
            print(page)


def _find_data(
    options: argparse.Namespace, config: configuration.Config
) -> tuple[pathlib.Path, configuration.Config]:
    """Return the folder of the data, and the configuration with the pipeline's name."""
    from components.movielens_example_gen.fetching import fetch  # Half a second, which --help need not spend.

    with status.Terminal(sys.stdout).listening():
        folder = fetch.resolve_data(config.data, options.data)
    is_release = options.data is not None and fetch.is_release(config.data, options.data, folder)
    return folder, configuration.of_data(config, options.data, is_release)


def _run_pipeline(
    options: argparse.Namespace,
    config: configuration.Config,
    root: pathlib.Path,
    data_root: pathlib.Path,
    screen: status.Terminal,
) -> Summary:
    with screen.listening():
        with screen.step("TensorFlow and TFX") as outcome:
            gc.disable()  # A sixth of the imports' time would go into looking for garbage.
            from pipeline.pipeline import create_pipeline
            from runners.reporting.summary import read_summary
            from runners.running import local

            # To look at what was imported takes time, and has each step's process copy its memory.
            gc.freeze()
            gc.enable()
            outcome.state = "loaded"
        steps = local.run(
            lambda connection: create_pipeline(
                config=config,
                data_root=str(data_root),
                pipeline_root=str(root),
                push_destination=str(options.push_dir),
                metadata_connection_config=connection,
                beam_pipeline_args=options.beam_options,
            ),
            options.runner,
            options.pipeline_root,
            screen,
            options.jobs,
        )
    return read_summary(steps)


@contextlib.contextmanager
def _stopping(screen: status.Terminal, log: pathlib.Path) -> Iterator[None]:
    """End the process with a message on Ctrl-C.

    The signal handler ends the process at once: Beam turns a KeyboardInterrupt inside a worker into an error
    of its own, and threads that still work would delay an orderly exit.
    """

    def stop(*_: object) -> None:
        screen.end(
            "Stopped. The same command goes on from here: finished steps are in the cache.", f"Log: {log}"
        )
        os._exit(exit_codes.STOPPED)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _show_summary(screen: status.Terminal, summary: Summary, seconds: float, log: pathlib.Path) -> None:
    from runners.reporting import tables

    tables.show(screen.console, summary, seconds, log)


def _write_pages(
    options: argparse.Namespace,
    config: configuration.Config,
    name: str,
    started: float,
    steps: Sequence[Step],
    failed: str = "",
) -> str:
    """Write the page about a run; return the line that tells of it, or nothing where none is wanted."""
    if not options.pages or not steps:
        return ""
    from runners.reporting import pages

    run = pages.Run(name, time.monotonic() - started, failed)
    return pages.written(options.pipeline_root, options.push_dir, run, config, steps)


def _write_report(summary: Summary, path: pathlib.Path) -> None:
    from runners.reporting import report

    report.write(summary, path)


def _recommend(push_dir: pathlib.Path) -> int:
    """Show what the pushed bundle recommends, as `recommend.py` does; return its exit code."""
    import recommend

    with disk_errors(push_dir):
        pushed = (push_dir / "current").exists()
    if not pushed:
        print("\nNo bundle was ever pushed, so there are no recommendations: see docs/gates.md.")
        return 0
    print(flush=True)
    return recommend.main(["--user", _SHOWN_USER, "--model-dir", str(push_dir)])


if __name__ == "__main__":
    sys.exit(streams.run("local_runner.py", lambda: main(sys.argv[1:])))
