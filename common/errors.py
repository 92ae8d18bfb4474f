"""Errors whose message is shown to the user unchanged, in one line and without a traceback."""

from __future__ import annotations

import contextlib
import errno
import pathlib
from collections.abc import Iterator


class DataError(Exception):
    """Data that cannot be used: the message names the file (and line), what is wrong and the remedy.

    The message is shown to the user unchanged, without a traceback.
    """


@contextlib.contextmanager
def disk_errors(path: pathlib.Path) -> Iterator[None]:
    """Turn an OSError into a DataError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"The disk is full ({error.filename or path}). Free some space.") from error
        raise DataError(
            f"{error.filename or path} cannot be used: {error.strerror or error}. Mend that, or choose "
            "another path."
        ) from error
