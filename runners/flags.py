"""Flags that every runner has: what is made, but not where it runs."""

from __future__ import annotations

import argparse
import os
import pathlib

from components.index_pusher.index import scann_operations
from components.movielens_example_gen.sources import releases
from pipeline import config as configuration

DEFAULT_PRESET = "default"


def local_path(text: str) -> pathlib.Path:
    """Read a flag that means a file or folder of this machine; return its absolute path.

    Raises:
      ArgumentTypeError: it is a URL, which pathlib would take for a folder's name; or in the home of nobody;
        or not UTF-8, in which TFX records it.
    """
    if "://" in text:
        raise argparse.ArgumentTypeError(
            "must be a path of this machine, such as where a bucket is mounted, and no URL: runs that keep "
            "their files in a bucket begin with kubeflow_v2_runner.py"
        )
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise argparse.ArgumentTypeError(
            f"must not be below the home of nobody; {text.partition('/')[0]} has none, received {text!r}"
        )
    path = os.path.realpath(expanded)  # Which, unlike pathlib's resolve, bears a link that leads to itself.
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"must be UTF-8, received {path!r}. Rename the folder") from error
    return pathlib.Path(path)


def run_here(config: configuration.Config) -> None:
    """Check that a configuration can be run by this process alone.

    Raises:
      ValueError: it needs ScaNN, which is not installed.
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
        help="recommend to every user of the train split, as Parquet, what is pushed (default: as "
        "configured, not in the presets)",
    )


def configure(options: argparse.Namespace) -> configuration.Config:
    """Compose the configuration: the preset, the file over it, the flags over both.

    Raises:
      ValueError: the file does not hold a configuration, or one that no runner here can run, or what is tuned
        does not fit its models.
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
