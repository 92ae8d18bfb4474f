"""Folders that runs write to. Standard library only."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

from common.errors import DataError, disk_errors
from serving import publish

_PATTERN = re.compile(r"[*?\[\\]")
# The current folder of whichever process reads this path.
_HERE = "/proc/self/cwd"


@contextlib.contextmanager
def entered(root: pathlib.Path) -> Iterator[pathlib.Path]:
    r"""Yield a path of the pipeline's folder that TensorFlow, Beam and TFX do not take for a pattern.

    They find files by patterns that begin with the unescaped path. Where it holds one of * ? [ \, this
    process makes the folder its current one, which the processes that it starts inherit, and names it so. ML
    Metadata then has the same paths in every run, which TFX's cache and the look-up of champions need.
    """
    if not _PATTERN.search(str(root)):
        yield root
        return
    before = os.open(".", os.O_RDONLY)
    os.chdir(root)
    try:
        yield pathlib.Path(_HERE)
    finally:
        os.fchdir(before)
        os.close(before)


def as_given(text: str) -> str:
    """Name the folder that this process has `entered` by its own path, in a text for a person.

    >>> as_given("/proc/self/cwd/Transform is gone") == f"{os.getcwd()}/Transform is gone"
    True
    """
    return text.replace(_HERE, os.getcwd()) if _HERE in text else text


def require_plain(path: object, name: str) -> None:
    r"""Raise if TensorFlow, Beam or TFX would take a path for a pattern.

    TFX finds the files of an artifact, and TensorFlow those of a SavedModel, by patterns that begin with the
    unescaped path.

    Args:
      name: the folder's name for the user, such as its flag.
    Raises:
      ValueError: the path holds one of * ? [ \.

    >>> require_plain("/srv/films (2024)", "--pipeline-root")
    >>> require_plain("/srv/films [2024]", "--push-dir")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: --push-dir must lead to a folder without * ? [ \ in its path, ...
    """
    if found := _PATTERN.search(str(path)):
        raise ValueError(
            f"{name} must lead to a folder without * ? [ \\ in its path, for TensorFlow reads such a path as "
            f"a pattern; received {path}, which has {found[0]}. Name another folder."
        )


def require_destination(path: pathlib.Path) -> None:
    """Make the folder to push to, and read it as a push will, so that no run ends at its last step.

    Raises:
      DataError: the folder cannot be written, or a push to it would be rejected.
    """
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        try:
            publish.require_readable(str(path))
        except ValueError as error:
            raise DataError(str(error)) from error
