"""recommend.py in a process of its own."""

from __future__ import annotations

import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[3] / "recommend.py"


def run(*arguments: str, cwd: pathlib.Path) -> subprocess.CompletedProcess:
    """Run it with the project out of reach of Python's path."""
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
