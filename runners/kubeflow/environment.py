"""Flags of the platform, each with the variable that stands for it where it is left out."""

from __future__ import annotations

import argparse
import contextlib
import logging
import pathlib
import warnings
from collections.abc import Iterator, Mapping

# A flag would be seen in the list of processes.
TOKEN = "KF_PIPELINES_TOKEN"

_VARIABLES = {
    "image": "MARQUEE_IMAGE",
    "pipeline_root": "MARQUEE_PIPELINE_ROOT",
    "data": "MARQUEE_DATA_ROOT",
    "push_dir": "MARQUEE_PUSH_DIR",
    "project": "GOOGLE_CLOUD_PROJECT",
    "region": "GOOGLE_CLOUD_REGION",
    "host": "KF_PIPELINES_ENDPOINT",
}
_PLATFORMS = ("vertex", "kubeflow")


def add_where(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Add the flags that say where runs are."""
    parser.add_argument(
        "--platform", choices=_PLATFORMS, default=_PLATFORMS[0], help="who runs it (default: %(default)s)"
    )
    _add(parser, environ, "--project", "ID", "Google Cloud project")
    _add(parser, environ, "--region", "NAME", "region of Vertex AI, such as europe-west4")
    _add(parser, environ, "--host", "URL", f"Kubeflow's API; a token for it is taken from {TOKEN}")
    _add(parser, environ, "--pipeline-root", "URI", "folder for artifacts, such as gs://bucket/marquee")
    _add(
        parser, environ, "--data", "URI", "folder with the release's files (data/RELEASE in --pipeline-root)"
    )
    parser.add_argument(
        "--namespace", default="kubeflow", metavar="NAME", help="Kubeflow's (default: %(default)s)"
    )


def add_how(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Add the flags that say how steps run."""
    _add(parser, environ, "--image", "IMAGE", "container image of every step, see Dockerfile")
    _add(parser, environ, "--push-dir", "URI", "folder to push to (pushed in --pipeline-root)")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        metavar="FILE",
        help="the compiled job; .yaml holds its specification alone (default: pipeline.json, of compile)",
    )
    parser.add_argument("--no-cache", action="store_true", help="serve no step from earlier runs")
    parser.add_argument(
        "--retries", type=int, default=2, metavar="N", help="of a step that failed (default: %(default)s)"
    )
    parser.add_argument(
        "--resources",
        action="append",
        default=[],
        metavar="STEP=WHAT",
        help="of the steps that a glob names, such as "
        "Trainer.*=cpu:8,memory:32,accelerator:NVIDIA_TESLA_T4:1; memory in GB (default: the platform's)",
    )
    parser.add_argument(
        "--notify", action="append", default=[], metavar="EMAIL", help="mail when a run has ended (Vertex AI)"
    )
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="of runs, for bills (Vertex AI)"
    )
    parser.add_argument("--dataflow", action="store_true", help="run Beam's steps on Dataflow (Vertex AI)")


def _add(
    parser: argparse.ArgumentParser, environ: Mapping[str, str], flag: str, metavar: str, words: str
) -> None:
    variable = _VARIABLES[flag.lstrip("-").replace("-", "_")]
    parser.add_argument(
        flag, default=environ.get(variable, ""), metavar=metavar, help=f"{words} (default: ${variable})"
    )


def require(options: argparse.Namespace, *names: str) -> None:
    """Insist on flags.

    Raises:
      ValueError: neither flag nor variable says it.
    """
    for name in names:
        if not getattr(options, name):
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"{options.command} must be told {flag}: give it, or set {_VARIABLES[name]}")


def data_root(options: argparse.Namespace, release: str) -> str:
    """Return where the data are.

    Raises:
      ValueError: neither a flag nor a variable says it.
    """
    if not options.data:
        require(options, "pipeline_root")
    return options.data or f"{options.pipeline_root.rstrip('/')}/data/{release}"


def beam_arguments(options: argparse.Namespace) -> list[str]:
    """Return the flags of Beam that the options ask for, those after `--` last.

    Raises:
      ValueError: Dataflow needs what is not told.
    """
    arguments: list[str] = []
    if options.dataflow:
        require(options, "project", "region")
        arguments = [
            "--runner=DataflowRunner",
            f"--project={options.project}",
            f"--region={options.region}",
            f"--temp_location={options.pipeline_root.rstrip('/')}/dataflow",
            # The steps' own image, which holds the modules that workers import, and Beam's boot program.
            f"--sdk_container_image={options.image}",
            "--sdk_location=container",
            "--experiments=use_runner_v2",
        ]
        if getattr(options, "service_account", ""):
            arguments.append(f"--service_account_email={options.service_account}")
    return arguments + options.beam_options


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' notes from the terminal: dozens of lines about their own plans."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
