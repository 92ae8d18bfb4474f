"""Look up what is locked in OSV's database of vulnerabilities; pass over those that docs/security.md lists.

uv looks up a script's lock file, so all lock files are written as one. Nothing is resolved or installed.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from bootstrap.__main__ import ROOT, UV, VENV_PYTHON

PAGE = ROOT / "docs" / "security.md"

_ID = re.compile(r"\b(?:CVE-\d{4}-\d+|PYSEC-\d{4}-\d+|GHSA(?:-[0-9a-z]{4}){3})\b")
_PIN = re.compile(r"^([\w-]+)(?:\[[\w,-]+\])?==(\S+)", re.MULTILINE)
_SCRIPT = '# /// script\n# requires-python = ">=3.10"\n# dependencies = [{}]\n# ///\n'
_LOCK = 'version = 1\nrequires-python = ">=3.10"\n\n[manifest]\nrequirements = [{}]\n'
_PACKAGE = '\n[[package]]\nname = "{}"\nversion = "{}"\nsource = {{ registry = "." }}\n'


def locked() -> list[tuple[str, str]]:
    """Return name and version of every package in a lock file."""
    pins = set()
    for lock in (ROOT / "requirements").glob("*.lock"):
        pins.update(_PIN.findall(lock.read_text()))
    return sorted(pins)


def known() -> list[str]:
    """Return the ids in the table of docs/security.md."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [found for row in rows for found in _ID.findall(row)]


def main(arguments: Sequence[str]) -> int:
    """Print what is not known yet; return uv's exit code: 0, 1 where there is some, 2 for no answer.

    Args:
      arguments: more of them for `uv audit`.
    """
    pins = locked()
    command = [str(UV), "audit", "--no-config", "--preview-features", "audit-command", "--frozen", *arguments]
    for ignored in known():
        command += ["--ignore", ignored]
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "locked.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(_SCRIPT.format(", ".join('"{}=={}"'.format(*pin) for pin in pins)))
        with open(script + ".lock", "w", encoding="utf-8") as file:
            wanted = ", ".join('{{ name = "{}", specifier = "=={}" }}'.format(*pin) for pin in pins)
            file.write(_LOCK.format(wanted) + "".join(_PACKAGE.format(*pin) for pin in pins))
        environ = {**os.environ, "UV_PYTHON": str(VENV_PYTHON)}
        return subprocess.run([*command, "--script", script], env=environ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
