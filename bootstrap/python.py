"""Find a Python 3.10 on this machine."""

import glob
import json
import os
import subprocess
from typing import List, Mapping, NamedTuple, Optional, Sequence

WANTED = "3.10"  # TFX 1.16 has no wheels for a later one

# Run by the Python in question, so that a broken one shows.
PROBE = (
    "import json, os, platform, sys, sysconfig;"
    "header = os.path.join(sysconfig.get_path('include'), 'Python.h');"
    "print(json.dumps([platform.python_implementation(), '%d.%d' % sys.version_info[:2], sys.maxsize > 2**32,"
    " platform.python_version(), os.path.exists(header)]))"
)


class Interpreter(NamedTuple):
    """A Python 3.10; `headers` tells whether an extension in C can be built for it."""

    path: str
    version: str
    headers: bool


def candidates(environ: Mapping[str, str]) -> List[str]:
    """Return the executables named python3.10 on PATH and in pyenv's folders, whether or not they run.

    pyenv's shims on PATH give its folder away even where neither PYENV_ROOT nor HOME does.
    """
    folders = [folder.rstrip("/") for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    roots = [os.path.dirname(folder) for folder in folders if os.path.basename(folder) == "shims"]
    roots += [environ.get("PYENV_ROOT", ""), os.path.join(environ.get("HOME", ""), ".pyenv")]
    for root in filter(None, roots):
        folders += sorted(glob.glob(os.path.join(glob.escape(root), "versions", WANTED + "*", "bin")))
    paths = [os.path.join(folder, "python" + WANTED) for folder in folders]
    return [path for path in dict.fromkeys(paths) if os.access(path, os.X_OK)]


def probe(path: str) -> Optional[Interpreter]:
    """Return what the executable at `path` is, or None where it is no working 64-bit CPython 3.10."""
    try:
        output = subprocess.check_output(
            [path, "-c", PROBE], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        implementation, series, is_64_bit, version, headers = json.loads(output.decode())
    except (OSError, subprocess.CalledProcessError, ValueError):  # a shim of pyenv's without a version, say
        return None
    if (implementation, series, is_64_bit) != ("CPython", WANTED, True):
        return None
    return Interpreter(path, version, headers)


def choose(found: Sequence[Interpreter]) -> Optional[Interpreter]:
    """Return the first that can build the one locked package without a wheel, or None."""
    return next((interpreter for interpreter in found if interpreter.headers), None)


def advice(found: Sequence[Interpreter]) -> str:
    """Return what to do where none of those `found` will do and uv could not download one."""
    if found:
        return (
            "{} lacks its C headers, and uv could not download another Python {}: install them "
            "(python3.10-dev on Debian and Ubuntu), then run it again".format(found[0].path, WANTED)
        )
    return (
        "No Python {0} on PATH or in pyenv's folders, and uv could not download one: install it "
        "(`pyenv install {0}`, or python{0} and python{0}-dev on Debian and Ubuntu), then run it again"
    ).format(WANTED)
