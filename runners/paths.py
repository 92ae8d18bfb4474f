"""Folders that runs write to. Standard library only."""

from __future__ import annotations

import pathlib
import re

from common.errors import DataError, disk_errors
from serving import publish


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
    if found := re.search(r"[*?\[\\]", str(path)):
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
