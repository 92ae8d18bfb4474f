"""Flags that every runner has: they say what the pipeline does, not where it runs."""

from __future__ import annotations

import argparse
import os
import pathlib

from components.index_pusher.index import scann_operations
from components.movielens_example_gen.sources import releases
from pipeline import config as configuration

DEFAULT_PRESET = "default"
# Values of local_runner.py's --runner.
LOCAL, BEAM = "local", "beam"


def local_path(text: str) -> pathlib.Path:
    """Read a flag that means a file or folder of this machine; return its absolute path.

    Raises:
      ArgumentTypeError: it is a URL, which pathlib would take for a folder's name; or the home of a user that
        does not exist; or not UTF-8, which TFX's records need.
    """
    if "://" in text:
        raise argparse.ArgumentTypeError(
            "must be a path of this machine, such as where a bucket is mounted, and no URL: runs that keep "
            "their files in a bucket begin with kubeflow_v2_runner.py"
        )
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise argparse.ArgumentTypeError(
            f"must not be below the home of an unknown user, {text.partition('/')[0]}; received {text!r}"
        )
    path = os.path.realpath(expanded)  # Unlike pathlib's resolve, it does not raise on a link to itself.
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"must be UTF-8, received {path!r}. Rename the folder") from error
    return pathlib.Path(path)


def positive(text: str) -> int:
    """Read a flag that means a number of at least 1.

    Raises:
      ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, received {text!r}")
    return int(text)


def run_here(config: configuration.Config) -> None:
    """Check that a configuration can be run by this process alone.

    Raises:
      ValueError: the configuration needs ScaNN, which is not installed.
    """
    scann_operations.require(config.index)


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `configure` reads."""
    parser.add_argument(
        "--release",
        choices=list(releases.RELEASES),
        metavar="NAME",
        help=f"which data: {', '.join(releases.RELEASES)} (default: as configured, ml-100k in the presets)",
    )
    parser.add_argument(
        "--preset",
        choices=list(configuration.PRESETS),
        default=DEFAULT_PRESET,
        help="configuration to start from (default: %(default)s)",
    )
    parser.add_argument(
        "--config",
        type=pathlib.Path,
        metavar="FILE",
        help="JSON with values that replace the preset's (default: none)",
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="search hyper-parameters on a part of the train split, and train with the best (default: as "
        "configured, not in the presets)",
    )
    parser.add_argument(
        "--strategy",
        choices=["none", "mirrored"],
        help="spread trainings over the GPUs of a machine (default: as configured, none in the presets)",
    )
    parser.add_argument(
        "--batch-recommendations",
        action="store_true",
        help="write recommendations of the pushed bundle for every user of train to Parquet (default: as "
        "configured, not in the presets)",
    )


def configure(options: argparse.Namespace) -> configuration.Config:
    """Compose the configuration: the preset, the file over it, the flags over both.

    Raises:
      ValueError: the file does not hold a configuration, or one that no runner here can run, or the search
        spaces do not fit the models.
    """
    config = configuration.PRESETS[options.preset]()
    if options.config:
        config = configuration.load(options.config, config)
    if options.release:
        data = config.data.model_copy(update={"release": options.release})
        config = config.model_copy(update={"data": data})
    if options.strategy:
        config = config.model_copy(update={"strategy": options.strategy})
    if config.strategy == "multi_worker":
        raise ValueError(
            f"{options.config}: strategy multi_worker needs a Trainer started on each of several workers, "
            "and this runner starts one: set strategy to mirrored, or none"
        )
    if options.batch_recommendations:
        config = configuration.with_batch(config)
    return configuration.tuned(config) if options.tune else config
