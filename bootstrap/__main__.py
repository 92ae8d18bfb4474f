"""Install the packages of the lock files into .venv, and print a line for each step.

The set-up ends at once if nothing changed, and starts over if it was stopped halfway. pip and uv print their
own errors; the last line on standard error says what to do.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bootstrap import index

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
UV = TOOLS / "bin" / "uv"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "marquee-setup.txt"  # inside .venv, so that the two vanish together

TOOLS_LOCK, BUILD_LOCK, RUNTIME_LOCK, DEV_LOCK = (
    ROOT / "requirements" / f"{name}.lock" for name in ("tools", "build", "runtime", "dev")
)


def fingerprint() -> str:
    """Return what .venv is made from.

    The folder is part of it: a virtual environment does not survive being moved.
    """
    locks = b"".join(lock.read_bytes() for lock in (TOOLS_LOCK, BUILD_LOCK, RUNTIME_LOCK, DEV_LOCK))
    return f"lock files {hashlib.sha256(locks).hexdigest()}, in {ROOT}\n"


def is_done(wanted: str) -> bool:
    """Return whether .venv is whole, made from `wanted`, and the Python beneath it still there."""
    return STAMP.exists() and STAMP.read_text() == wanted and os.access(VENV_PYTHON, os.X_OK)


def check_platform() -> None:
    """End in words where the locked wheels cannot run."""
    system, machine = platform.system(), platform.machine()
    libc, version = platform.libc_ver()
    wanted = (system, machine, libc) == ("Linux", "x86_64", "glibc")
    if not wanted or [int(part) for part in version.split(".")] < [2, 28]:
        sys.exit(
            f"Marquee needs Linux on x86-64 with glibc 2.28 or later, and this is {system} on {machine} with"
            f" {libc or 'another C library'} {version}: run it on such a machine, or in a container of one"
        )


def run(title: str, command: list, environ: Mapping[str, str], advice: str) -> None:
    """Run `command` under a line with its title; where it fails, end with what it printed and `advice`."""
    print(f"set-up: {title}", file=sys.stderr, flush=True)
    stdin, stdout, stderr = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(command, env=environ, stdin=stdin, stdout=stdout, stderr=stderr, errors="replace")
    if done.returncode:
        sys.exit(f"{done.stdout}{advice}, then run it again")


def install_uv(environ: Mapping[str, str]) -> None:
    """Install the locked uv with pip, unless it is there.

    `--target` needs no venv module and may be used where the distribution manages Python.
    """
    version = re.findall(r"^uv==(\S+)", TOOLS_LOCK.read_text(), re.MULTILINE)[0]
    try:
        if subprocess.check_output([UV, "--version"], text=True).split()[1] == version:
            return
    except (OSError, subprocess.CalledProcessError):  # not there, or half-written
        pass
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", TOOLS]
    command += ["--require-hashes", "--only-binary", ":all:", "--requirement", TOOLS_LOCK]
    # Habits that a person may have for their own environments; neither goes with --target.
    habits = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    advice = f"uv could not be installed, see above: give {sys.executable} a pip that reaches a package index"
    run(f"uv {version}", command, {**environ, **habits}, advice)


def make_venv(environ: Mapping[str, str]) -> None:
    """Make an empty .venv with a Python 3.10 that uv finds or downloads.

    uv knows PATH but not pyenv, and gives up at a shim of pyenv's that has no version to run. So the Pythons
    themselves come first; pyenv's folder is the one beside the shims where no variable tells it.
    """
    STAMP.unlink(missing_ok=True)
    path = environ.get("PATH", "").split(os.pathsep)
    roots = [environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), *map(os.path.dirname, path)]
    pyenv = [str(found) for root in roots for found in Path(root).glob("versions/3.10*/bin")]
    variables = {**environ, "PATH": os.pathsep.join([*pyenv, *path])}
    command = [UV, "venv", "--quiet", "--no-project", "--clear", "--force", VENV]
    command += ["--python", "cpython@3.10"]
    advice = (
        "No Python 3.10 with its C headers was found, and uv could not fetch one, see above: install it"
        " (python3.10 and python3.10-dev on Debian and Ubuntu, or `pyenv install 3.10`)"
    )
    run("Python 3.10", command, variables, advice)
    # One locked package is built from C++: a Python without headers will not do.
    if not (VENV_PYTHON.resolve().parents[1] / "include" / "python3.10" / "Python.h").exists():
        run("Python 3.10 with its C headers", [*command, "--managed-python"], variables, advice)


def compiler_variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return `environ` with a C++ compiler in it: the locked zig where the machine has none.

    One locked package has no wheel and needs C++: pyfarmhash, which TensorFlow Data Validation imports.
    """
    if all(shutil.which(name, path=environ.get("PATH")) for name in ("gcc", "g++")):
        return environ
    command = [UV, "pip", "install", "--quiet", "--python", VENV_PYTHON, "--target", TOOLS]
    command += ["--require-hashes", "--requirement", BUILD_LOCK]
    run("a C++ compiler, zig", command, environ, "zig could not be installed: install gcc and g++ instead")
    zig, cache = TOOLS / "ziglang" / "zig", TOOLS / "zig-cache"
    return {**environ, "CC": f"{zig} cc", "CXX": f"{zig} c++", "ZIG_GLOBAL_CACHE_DIR": str(cache)}


def install_packages(environ: Mapping[str, str]) -> None:
    """Install the locked packages in .venv, each checked by its hash, as is what it is built with.

    They are compiled, as pip does by default: where Python may not write bytecode, every process that imports
    TFX would compile 1,900 modules anew.
    """
    command = [UV, "pip", "sync", "--quiet", "--compile-bytecode", "--python", VENV_PYTHON]
    command += ["--require-hashes", "--build-constraints", BUILD_LOCK, "--require-build-hashes"]
    command += ["--preview-features", "build-dependency-hashes", RUNTIME_LOCK, DEV_LOCK]
    title = "the locked packages (3 GB, minutes when they must be fetched)"
    run(title, command, environ, "The packages could not be installed, see above: put that right")


def set_up(environ: Mapping[str, str]) -> None:
    """Make .venv what the lock files say, unless it is."""
    wanted = fingerprint()
    if is_done(wanted):
        return
    check_platform()
    if VENV.is_symlink():
        sys.exit(
            f"{VENV} is a link, and the set-up would clear what it leads to: remove it, then run it again"
        )
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second set-up of this folder waits for the first
        if is_done(wanted):
            return
        install_uv(environ)
        variables = index.uv_variables(index.pip_settings(index.pip_configuration()), environ)
        make_venv(variables)
        install_packages(compiler_variables(variables))
        STAMP.write_text(wanted)


def main() -> None:
    """Set up; a person's problem is the last line on standard error, and the exit code is then 1."""
    try:
        set_up(os.environ)
    except OSError as problem:
        sys.exit(f"The set-up could not use a file, {problem}: put that right, then run it again")
    except KeyboardInterrupt:
        sys.exit("\nThe set-up was stopped: run it again, and it starts over")


if __name__ == "__main__":
    main()
