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


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message that has text, or else the name of the error's class.

    >>> first_line(OSError("\nNo route to host\n  at channel.cc:12")), first_line(TimeoutError())
    ('No route to host', 'TimeoutError')
    """
    lines = map(str.strip, str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


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
