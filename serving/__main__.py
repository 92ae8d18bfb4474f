"""List and verify the published versions, and choose the one that is served.

    python -m serving versions DIR
    python -m serving verify DIR [--version N]
    python -m serving rollback DIR
    python -m serving promote DIR VERSION

DIR is where the pipeline pushes to: a folder, or gs://bucket/folder (which needs TensorFlow). Exit codes: 0;
1 if a version is damaged or a command cannot be carried out; 2 for a mistake in the command.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from common import streams
from serving import manifest, publish
from serving.stores import store

_FAILED = 1
# Metrics by which versions can be compared, if a manifest has them, and their headings.
_METRICS = {
    "num_candidates": "titles",
    "index_recall": "index recall",
    "recommend_recall": "recommend recall",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the process's exit code."""
    options = _parse(arguments)
    if "://" in options.directory:  # TensorFlow is imported, which should print nothing.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        warnings.simplefilter("ignore")
    try:
        return options.command(options)
    except (OSError, ValueError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return _FAILED


class _OneLineParser(argparse.ArgumentParser):
    """argparse prints the whole usage above an error; one line is easier to read."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _OneLineParser(prog="serving", description="List, verify and serve published versions.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_OneLineParser)
    for name, function, words in (
        ("versions", _versions, "list the published versions, and compare the names and sizes of files"),
        ("verify", _verify, "compare every file with its version's manifest"),
        ("rollback", _rollback, "serve the version before the served one, verified first"),
        ("promote", _promote, "serve a given version, verified first"),
    ):
        command = commands.add_parser(name, help=words, description=f"{words.capitalize()}.")
        command.add_argument("directory", metavar="DIR", help="where the pipeline pushes to")
        command.set_defaults(command=function)
        if name == "verify":
            command.add_argument(
                "--version", type=_version, metavar="N", help="this version alone (default: all)"
            )
        if name == "promote":
            command.add_argument("version", type=_version, metavar="VERSION", help="the version to serve")
    return parser.parse_args(arguments)


def _version(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a version, a whole number from 1, received {text!r}")
    return int(text)


def _versions(options: argparse.Namespace) -> int:
    destination, versions = _open(options.directory)
    served, withdrawn = destination.current(), store.read_withdrawn(destination)
    rows = [["version", "created", "state", "size", "files", *_METRICS.values()]]
    for version in versions:
        state = "served" if version == served else "withdrawn" if version in withdrawn else ""
        rows.append([str(version), *_describe(destination, version, state)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if served not in versions:
        print("No version is served. Choose one: python -m serving promote DIR VERSION")
    return 0


def _describe(destination: store.Store, version: int, state: str) -> list[str]:
    files = destination.describe(version, digests=False)
    size = _size(sum(int(file["bytes"]) for file in files.values()))
    try:
        content = store.read_manifest(destination, version)
    except ValueError:
        return ["", state, size, f"no readable {manifest.MANIFEST}", *[""] * len(_METRICS)]
    differences = manifest.differences(files, content)
    metrics = [_metric(content["metrics"].get(name)) for name in _METRICS]
    summary = differences[0] if differences else f"{len(files)}, complete"
    return [content["created"], state, size, summary, *metrics]


def _metric(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _size(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def _verify(options: argparse.Namespace) -> int:
    destination, versions = _open(options.directory)
    if options.version is not None and options.version not in versions:
        raise ValueError(
            f"{options.directory} must hold version {options.version}; it holds "
            f"{', '.join(map(str, versions))}. Choose one of these."
        )
    code = 0
    for version in versions if options.version is None else [options.version]:
        try:
            content = store.read_manifest(destination, version)
        except ValueError as error:
            differences = [str(error)]
        else:
            differences = manifest.differences(destination.describe(version), content)
        if not differences:
            print(f"version {version}: {len(content['files'])} files are as the manifest lists them")
        for difference in differences:
            print(f"version {version}: {difference}", file=sys.stderr)
        code = _FAILED if differences else code
    if code:
        print("serving: damaged; serve another version (rollback, promote), or push again", file=sys.stderr)
    return code


def _rollback(options: argparse.Namespace) -> int:
    return _report(publish.rollback(options.directory))


def _promote(options: argparse.Namespace) -> int:
    return _report(publish.promote(options.directory, options.version))


def _report(change: publish.ServedChange) -> int:
    before = f"; before: version {change.before}" if change.before != change.after else ", as before"
    print(f"Served: version {change.after}, verified{before if change.before else ''}")
    return 0


def _open(directory: str) -> tuple[store.Store, list[int]]:
    destination = store.open_store(directory)
    versions = destination.versions()
    if not versions:
        raise ValueError(f"{directory} must hold a published version; it holds none. Push to it first.")
    return destination, versions


if __name__ == "__main__":
    sys.exit(streams.run("serving", main))
