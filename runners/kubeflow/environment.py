"""Flags of the platform; if a flag is left out, an environment variable gives its value."""

from __future__ import annotations

import argparse
import contextlib
import logging
import pathlib
import warnings
from collections.abc import Iterator, Mapping

# A variable and not a flag, because the list of processes shows flags.
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
        "--platform",
        choices=_PLATFORMS,
        default=_PLATFORMS[0],
        help="where the pipeline runs (default: %(default)s)",
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
    _add(parser, environ, "--push-dir", "URI", "folder to push to (pushed[-PRESET] in --pipeline-root)")
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
    """Require that flags or their variables are set.

    Raises:
      ValueError: neither a flag nor its variable is set.
    """
    for name in names:
        if not getattr(options, name):
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"{options.command} needs {flag}: give it, or set {_VARIABLES[name]}")


def data_root(options: argparse.Namespace, release: str) -> str:
    """Return the folder of the data.

    Raises:
      ValueError: neither a flag nor a variable names it.
    """
    if not options.data:
        require(options, "pipeline_root")
    return options.data or f"{options.pipeline_root.rstrip('/')}/data/{release}"


def beam_arguments(options: argparse.Namespace) -> list[str]:
    """Return the flags of Beam for the options, those after `--` last.

    Raises:
      ValueError: Dataflow is requested, and a flag that it needs is not set.
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
    """Keep the libraries' warnings off the terminal: dozens of lines about deprecations."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
