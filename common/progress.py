"""The logger of progress lines, shown while a pipeline runs. Standard library only: workers import it too."""

import logging

progress = logging.getLogger("marquee.progress")
# Attribute of a record.
SHARE = "share"


def done(parts: int, of: int) -> dict[str, float]:
    """Say how much of a job is done as a line is logged, for a bar: `progress.info(..., extra=done(2, 5))`.

    >>> done(1, 4)
    {'share': 0.25}
    """
    return {SHARE: parts / of}
