"""The flag of the benchmarks that read a pushed bundle."""

from __future__ import annotations

import argparse
import pathlib


def add_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that names the bundle."""
    parser.add_argument(
        "--bundle",
        type=pathlib.Path,
        default=pathlib.Path("runs/pushed/current"),
        help="folder of one version (default: %(default)s)",
    )


def find(parser: argparse.ArgumentParser, bundle: pathlib.Path) -> pathlib.Path:
    """Return the folder that the flag names, or end with the parser's error."""
    folder = bundle.resolve()
    if not (folder / "manifest.json").is_file():
        parser.error(f"{folder} holds no bundle; run the pipeline first, or name another --bundle")
    return folder
