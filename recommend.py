"""Recommend titles to a user from what the pipeline pushed.

    python recommend.py --user 42 [--k 10] [--model-dir runs/pushed]

Stands alone: NumPy, TensorFlow, ScaNN and rich, and nothing of the project, as a server would.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

DEFAULT_MODEL_DIR = "runs/pushed"
MANIFEST = "manifest.json"
MODEL = "recommend"


class BundleError(Exception):
    """No bundle that can be loaded; the message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Print recommendations; return the process's exit code."""
    options = parse(arguments)
    try:
        bundle = find_bundle(pathlib.Path(options.model_dir))
        check_bundle(bundle)
        answer = ask(load(bundle), options)
    except BundleError as error:
        print(f"recommend.py: {error}", file=sys.stderr)
        return 2
    show(answer, options, int(bundle.name))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the flags; a wrong one ends the process with one line and exit code 2."""
    parser = _OneLineParser(description="Recommend titles to a user from what the pipeline pushed.")
    parser.add_argument("--user", required=True, help="user id, as in the ratings")
    parser.add_argument("--k", type=_positive, default=10, help="how many titles (default: %(default)s)")
    parser.add_argument(
        "--model-dir", default=DEFAULT_MODEL_DIR, help="where the pipeline pushed to (default: %(default)s)"
    )
    parser.add_argument(
        "--timestamp",
        type=_seconds,
        default=int(time.time()),
        help="moment of the request, Unix seconds (default: now)",
    )
    return parser.parse_args(arguments)


class _OneLineParser(argparse.ArgumentParser):
    """argparse prints the whole usage above an error; one line is easier to read."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def _positive(text: str) -> int:
    """An int32 of at least 1."""
    return _integer(text, 1, 2**31 - 1)


def _seconds(text: str) -> int:
    """An int64 of at least 0."""
    return _integer(text, 0, 2**63 - 1)


def _integer(text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}, received {text!r}")
    return value


def find_bundle(model_dir: pathlib.Path) -> pathlib.Path:
    """Follow the pointer once, so that a push in this moment cannot mix two versions.

    Raises:
      BundleError: nothing was pushed there.
    """
    current = model_dir / "current"
    if not current.is_symlink():
        raise BundleError(
            f"nothing has been pushed to {model_dir}. Run the pipeline first, or name another --model-dir."
        )
    bundle = current.resolve()
    if not bundle.is_dir():
        raise BundleError(f"{current} points at {bundle}, which is gone. Run the pipeline again.")
    return bundle


def check_bundle(bundle: pathlib.Path) -> None:
    """Hold the composite's files against the manifest.

    Raises:
      BundleError: the manifest is unreadable, or a file is missing or changed.
    """
    try:
        files = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))["files"]
        digests = {path: entry["sha256"] for path, entry in files.items() if path.startswith(f"{MODEL}/")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the bundle {bundle} has no readable {MANIFEST}. Run the pipeline again."
        ) from error
    for path, expected in digests.items():
        try:
            digest = hashlib.sha256((bundle / path).read_bytes()).hexdigest()
        except OSError as error:
            raise BundleError(f"the bundle {bundle} lacks {path}. Run the pipeline again.") from error
        if digest != expected:
            raise BundleError(f"the bundle {bundle} is damaged: {path} has changed. Run the pipeline again.")


def load(bundle: pathlib.Path) -> Any:
    """Load the composite's signature, quietly."""
    # Read by TensorFlow's C++ side as it is loaded, so set before the import.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    warnings.simplefilter("ignore")
    try:
        import scann  # noqa: F401, registers the operations of the index
        import tensorflow as tf
    except ImportError as error:
        raise BundleError(f"{error}. Run it with the Python of the project's environment.") from error
    try:
        return tf.saved_model.load(str(bundle / MODEL)).signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(
            f"the bundle {bundle} cannot be loaded: {reason}. Run the pipeline again."
        ) from error


def ask(serve: Any, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Ask for one user; whatever else the signature takes is left unknown, by the type of the input.

    The model knows the side features of the users it knows.

    Returns:
      The signature's outputs for this user, by name.
    """
    import tensorflow as tf

    told = {"user_id": [options.user], "timestamp": [options.timestamp], "k": options.k}
    request = {}
    for name, spec in serve.structured_input_signature[1].items():
        if name not in told and spec.shape.rank == 2:
            request[name] = tf.zeros([1, 0], spec.dtype)  # A list, of which nothing is told.
            continue
        unknown = ["unknown" if spec.dtype == tf.string else -1]
        request[name] = tf.constant(told.get(name, unknown), spec.dtype)
    answer = serve(**request)
    return {name: tensor.numpy()[0] for name, tensor in answer.items()}


def show(answer: dict[str, np.ndarray], options: argparse.Namespace, version: int) -> None:
    """Print a table, and say who was served how."""
    import rich.console
    import rich.markup
    import rich.table

    user = rich.markup.escape(options.user)
    known = answer["served_by"] == b"model"
    heading = f"Recommended to user {user}, without titles already rated (version {version}):"
    if not known:
        heading = f"User {user} is unknown to the model; the most popular titles instead (version {version}):"
    table = rich.table.Table()
    table.add_column("#", justify="right")
    table.add_column("Title", overflow="fold")
    table.add_column("Score" if known else "Ratings", justify="right")
    table.add_column("Predicted rating", justify="right")
    count = int(answer["num_returned"])
    for row in range(count):
        score = answer["score"][row]
        table.add_row(
            str(row + 1),
            rich.markup.escape(answer["movie_title"][row].decode("utf-8", "replace")),
            f"{score:.4f}" if known else f"{score:.0f}",
            f"{answer['predicted_rating'][row]:.2f}",
        )
    console = rich.console.Console(highlight=False)
    console.print(heading, soft_wrap=True)
    console.print(table)
    if count < options.k:
        console.print(f"{count} titles remain of the {options.k} asked for.")


if __name__ == "__main__":
    sys.exit(main())
