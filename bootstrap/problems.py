"""What can be wrong with a machine, each as one line that says what to do. Pure functions."""

import re
import sys
from typing import Optional

MIN_GLIBC = (2, 28)  # the oldest that every locked wheel runs on
NEEDED_BYTES = 5 * 10**9  # 3 GB of packages, and what is downloaded and unpacked on the way

DISK_FULL_SIGNS = re.compile(r"No space left on device|Disk quota exceeded|os error (28|122)\b")
NO_PIP_SIGNS = re.compile(r"No module named '?pip\b")
UNREACHABLE_SIGNS = re.compile(
    r"error sending request|dns error|name resolution|Name or service not known|Network is unreachable"
    r"|Connection refused|Connection\w*Error|connection broken|ConnectTimeout|timed out|Could not connect"
    r"|ProxyError|CERTIFICATE_VERIFY_FAILED|invalid peer certificate|Network connectivity is disabled"
    r"|from versions: none",  # all that a quiet pip says when it does not retry
    re.IGNORECASE,
)

INDEX_ADVICE = (
    "The package index could not be reached, or lacks a package: check the network, or set pip up with an "
    "index that will do (`python3 -m pip config set global.index-url URL`), then run it again"
)


class SetupError(Exception):
    """One line that says what a person should do."""


def platform_problem(system: str, machine: str, libc: str) -> Optional[str]:
    """Return why the locked wheels cannot run here, or None.

    Args:
      system: as `platform.system()`.
      machine: as `platform.machine()`.
      libc: as `os.confstr("CS_GNU_LIBC_VERSION")`, empty where the C library is not glibc.

    >>> platform_problem("Linux", "x86_64", "glibc 2.36") is None
    True
    """
    numbers = re.match(r"glibc (\d+)\.(\d+)", libc)
    new_enough = numbers is not None and tuple(int(part) for part in numbers.groups()) >= MIN_GLIBC
    if (system, machine) == ("Linux", "x86_64") and new_enough:
        return None
    return (
        "Marquee needs Linux on x86-64 with glibc {}.{} or later, and this is {} on {} with {}: "
        "run it on such a machine, or in a container of one".format(
            MIN_GLIBC[0], MIN_GLIBC[1], system, machine, libc or "another C library"
        )
    )


def space_problem(free_bytes: int, folder: str) -> Optional[str]:
    """Return what to do when `free_bytes` in `folder` are too few for the packages, or None."""
    if free_bytes >= NEEDED_BYTES:
        return None
    return (
        "Set-up needs about {:.0f} GB free in {} and found {:.1f} GB: free some space, then run it again"
    ).format(NEEDED_BYTES / 1e9, folder, free_bytes / 1e9)


def diagnose(output: str, unreachable: str = INDEX_ADVICE) -> Optional[str]:
    """Return what to do about a failure that `output` of pip, of uv or of the system gives away, or None.

    Args:
      output: what was printed.
      unreachable: what to say where the network is the cause.

    >>> diagnose("OSError: [Errno 28] No space left on device")[:17]
    'The disk is full:'
    """
    if DISK_FULL_SIGNS.search(output):
        return (
            "The disk is full: free about {:.0f} GB where this folder and uv's cache lie (~/.cache/uv, or "
            "UV_CACHE_DIR), then run it again".format(NEEDED_BYTES / 1e9)
        )
    if NO_PIP_SIGNS.search(output):
        return (
            "{} has no pip: install it (python3-pip on Debian and Ubuntu, `python3 -m ensurepip` "
            "elsewhere), then run it again".format(sys.executable)
        )
    return unreachable if UNREACHABLE_SIGNS.search(output) else None
