"""Errors that are shown to a person as they stand, in one line and without a traceback."""

from __future__ import annotations

import contextlib
import errno
import pathlib
from collections.abc import Iterator


class DataError(Exception):
    """Data that cannot be used: the message names the file (and line), what is wrong and the remedy.

    It is meant to be shown to a person as it stands, without a traceback.
    """


@contextlib.contextmanager
def disk_errors(path: pathlib.Path) -> Iterator[None]:
    """Say in words what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"The disk is full ({error.filename or path}). Free some space.") from error
        raise DataError(
            f"{error.filename or path} cannot be used: {error.strerror or error}. Put that right, or choose "
            "another place."
        ) from error
