"""Compile the pipeline for Vertex AI or Kubeflow Pipelines, run it there, and schedule it.

    python kubeflow_v2_runner.py [compile|submit|schedule|status|pause|resume|delete] [flags] [-- Beam flags]

Without a command it compiles, because TFX's own command line runs the file so; all settings then come from
the environment. docs/kubeflow.md shows each command.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pydantic

from common import streams
from common.validation import in_words
from pipeline.config import Config, of_data
from retraining import schedule as schedule_file
from runners import exit_codes, flags, secrets
from runners.kubeflow import environment
from runners.kubeflow.plan import WINDOW, Run, Schedule, ServiceError, Value, parameter_values
from runners.kubeflow.settings import Settings, parse_labels, parse_resources

_REMEDY = f"{secrets.REMEDY}; for --host put a token into {environment.TOKEN}"
_COMPILES = ("compile", "submit", "schedule")
_OUTPUT = "pipeline.json"


class Service(Protocol):
    """A platform's operations on runs and schedules; each returns lines for a user."""

    def submit(self, run: Run) -> str:
        """Begin a run."""

    def schedule(self, run: Run, schedule: Schedule) -> str:
        """Begin runs by a schedule."""

    def status(self, name: str, pipeline_name: str, limit: int) -> list[str]:
        """Describe runs and schedule."""

    def pause(self, name: str) -> str:
        """Begin no more runs."""

    def resume(self, name: str, catch_up: bool) -> str:
        """Begin runs again after a pause."""

    def delete(self, name: str) -> str:
        """Delete the schedule."""


def main(
    arguments: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    connect: Callable[[argparse.Namespace, str], Service] | None = None,
) -> int:
    """Run the command; return the process's exit code.

    Args:
      arguments: the command and its flags.
      environ: variables that give values of flags that are left out.
      connect: makes the service of the flags' platform, given the pipeline's name.
    """
    try:
        # Before they are parsed, for argparse prints unknown arguments.
        secrets.reject(arguments, _REMEDY)
        options = parse(arguments, environ)
        config = flags.configure(options)
        if options.command in _COMPILES:
            return _compile_and(options, config, connect or _connect)
        return _control(options, config, connect or _connect)
    except (ValueError, OSError) as error:
        print(f"kubeflow_v2_runner.py: {_words(error)}", file=sys.stderr)
        return exit_codes.MISTAKE
    except ServiceError as error:
        print(f"kubeflow_v2_runner.py: {error}", file=sys.stderr)
        return exit_codes.FAILED
    except KeyboardInterrupt:
        print("kubeflow_v2_runner.py: stopped", file=sys.stderr)
        return exit_codes.STOPPED


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """Read command and flags; wrong ones end the process with exit code 2."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    own = list(arguments[:split]) or ["compile"]
    parser = argparse.ArgumentParser(
        prog="kubeflow_v2_runner.py",
        description="Compile the pipeline for Vertex AI or Kubeflow, run it there, and schedule it.",
        epilog="What follows `--` goes to Beam, in every step that runs on it.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in (
        ("compile", "write the specification of the pipeline"),
        ("submit", "compile, and begin one run"),
        ("schedule", "compile, and begin runs by a schedule"),
        ("status", "show the newest runs, and the schedule"),
        ("pause", "let the schedule begin no more runs"),
        ("resume", "let a paused schedule go on"),
        ("delete", "delete the schedule"),
    ):
        command = commands.add_parser(name, help=words, description=words.capitalize() + ".")
        environment.add_where(command, environ)
        flags.add_configuration(command)
        if name in _COMPILES:
            environment.add_how(command, environ)
        _add_own(command, name)
    options = parser.parse_args(own)
    options.beam_options = list(arguments[split + 1 :])
    return options


def _add_own(parser: argparse.ArgumentParser, command: str) -> None:
    if command in ("submit", "schedule"):
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a run-time parameter, such as push_destination or retrieval_epochs (default: as compiled)",
        )
        parser.add_argument(
            "--service-account",
            default="",
            metavar="EMAIL",
            help="account that the steps run as (default: the platform's)",
        )
    if command == "submit":
        parser.add_argument(
            "--run-id", metavar="ID", help="name of the run (default: the pipeline's and the time)"
        )
    elif command != "compile":
        parser.add_argument("--name", help="name of the schedule (default: the pipeline's)")
    if command == "schedule":
        when = parser.add_mutually_exclusive_group(required=True)
        when.add_argument("--cron", metavar="'M H D M W'", help="when, such as '0 3 * * 1'")
        when.add_argument(
            "--schedule",
            type=pathlib.Path,
            metavar="FILE",
            help="the schedule that `python -m retraining` takes: when, in which zone, on which window",
        )
        parser.add_argument(
            "--time-zone", metavar="ZONE", help="of --cron (default: UTC, or as the schedule says)"
        )
        parser.add_argument("--start", metavar="TIME", help="first time, ISO 8601 with offset (default: now)")
        parser.add_argument("--end", metavar="TIME", help="last time (default: none)")
    if command == "status":
        parser.add_argument("--limit", type=int, default=10, metavar="N", help="how many runs (default: 10)")
    if command == "resume":
        parser.add_argument("--catch-up", action="store_true", help="also begin the runs that were missed")


def _compile_and(
    options: argparse.Namespace, config: Config, connect: Callable[[argparse.Namespace, str], Service]
) -> int:
    path = getattr(options, "schedule", None)
    file = schedule_file.load(path) if path else None
    config = _without_window(file, config) if file else config
    settings = _settings(options, config)
    config = of_data(config, settings.data_root)
    schedule = None
    if options.command == "schedule":
        schedule = _schedule(options, file or schedule_file.Schedule(), config)
    service = connect(options, config.pipeline_name) if options.command != "compile" else None
    output = options.output
    with tempfile.TemporaryDirectory() as folder:
        if service and not output:
            output = pathlib.Path(folder) / _OUTPUT
        job, path = _compile(config, settings, output or pathlib.Path(_OUTPUT))
    if service is None:
        print(f"Compiled {config.pipeline_name}: {path}")
        return 0
    now = datetime.datetime.now(datetime.timezone.utc)
    run_id = getattr(options, "run_id", None) or f"{config.pipeline_name}-{now:%Y%m%d%H%M%S}"
    window = _window(file, job) if file else {}
    parameters = window | parameter_values(job, options.param)
    run = Run(run_id, job, parameters, options.service_account)
    print(service.schedule(run, schedule) if schedule else service.submit(run))
    return 0


def _control(
    options: argparse.Namespace, config: Config, connect: Callable[[argparse.Namespace, str], Service]
) -> int:
    if config.data.is_own:
        config = of_data(config, environment.data_root(options, config.data.release))
    service = connect(options, config.pipeline_name)
    name = options.name or config.pipeline_name
    if options.command == "status":
        lines = service.status(name, config.pipeline_name, options.limit)
        print("\n".join(lines) or f"{config.pipeline_name} has no runs and no schedule here")
    elif options.command == "resume":
        print(service.resume(name, options.catch_up))
    else:
        print(service.pause(name) if options.command == "pause" else service.delete(name))
    return 0


def _settings(options: argparse.Namespace, config: Config) -> Settings:
    environment.require(options, "image", "pipeline_root")
    root = options.pipeline_root.rstrip("/")
    pushed = "pushed" if options.preset == flags.DEFAULT_PRESET else f"pushed-{options.preset}"
    return Settings(
        platform=options.platform,
        image=options.image,
        pipeline_root=root,
        data_root=environment.data_root(options, config.data.release),
        push_destination=options.push_dir or f"{root}/{pushed}",
        caching=not options.no_cache,
        retries=options.retries,
        resources=tuple(parse_resources(text) for text in options.resources),
        notify=tuple(options.notify),
        labels=parse_labels(options.label),
        beam_pipeline_args=tuple(environment.beam_arguments(options)),
    )


def _schedule(options: argparse.Namespace, file: schedule_file.Schedule, config: Config) -> Schedule:
    given = {"cron": options.cron, "time_zone": options.time_zone}
    when = schedule_file.Schedule.model_validate(
        file.model_dump() | {name: value for name, value in given.items() if value is not None}
    )
    if options.platform == "kubeflow" and when.time_zone != "UTC":
        source = "--time-zone" if options.time_zone else f"time_zone in {options.schedule}"
        raise ValueError(
            f"{source} must be UTC, and the hours those of Kubeflow's controller, whose clock its recurring "
            f"runs follow (CRON_SCHEDULE_TIMEZONE, UTC unless set); received {when.time_zone}"
        )
    try:
        cron = " ".join(when.numbers())
    except ValueError as error:
        source = options.schedule if options.cron is None else "--cron"
        raise ValueError(f"{source}: {error}") from error
    return Schedule(
        name=options.name or config.pipeline_name,
        cron=cron,
        time_zone=when.time_zone,
        start=options.start,
        end=options.end,
    )


def _without_window(file: schedule_file.Schedule, config: Config) -> Config:
    """Configure no window if the schedule's file says null: the parameter `window` cannot say so."""
    spans = config.data.spans
    if not spans or file.read_window(spans.window):
        return config
    data = config.data.model_copy(update={"spans": spans.model_copy(update={"window": None})})
    return config.model_copy(update={"data": data})


def _window(file: schedule_file.Schedule, job: Mapping[str, Any]) -> dict[str, Value]:
    """Take the window from the schedule's file, if data arrives as spans."""
    declared = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    return {WINDOW: file.window} if file.window and WINDOW in declared else {}


def _compile(config: Config, settings: Settings, output: pathlib.Path) -> tuple[dict[str, Any], pathlib.Path]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with environment.quiet():
        from runners.kubeflow import compiling

        return compiling.compile_job(config, settings, output)


def _connect(options: argparse.Namespace, pipeline_name: str) -> Service:
    with environment.quiet():
        if options.platform == "kubeflow":
            from runners.kubeflow import kubeflow

            environment.require(options, "host")
            # The client takes an address without a scheme for http.
            host = options.host if "://" in options.host else f"http://{options.host}"
            secrets.reject([host], _REMEDY)
            clients = kubeflow.connect(options.host, os.environ.get(environment.TOKEN, ""))
            return kubeflow.Kubeflow(clients, options.host, options.namespace, pipeline_name)
        from runners.kubeflow import vertex

        environment.require(options, "project", "region")
        return vertex.Vertex(vertex.connect(options.region), options.project, options.region)


def _words(error: Exception) -> str:
    if not isinstance(error, pydantic.ValidationError):
        return str(error)
    field = error.errors()[0]["loc"]
    return in_words(error, f"--{field[0]}".replace("_", "-") if field else "")


if __name__ == "__main__":
    sys.exit(streams.run("kubeflow_v2_runner.py", lambda: main(sys.argv[1:])))
