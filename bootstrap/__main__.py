"""Make .venv what the lock files say, in steps of a line each.

It ends at once when nothing changed, and starts over when it was stopped halfway. A person's problem ends in
one line on standard error that says what to do.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from typing import Dict, Iterator, Mapping, Sequence

from bootstrap import index, python
from bootstrap.problems import INDEX_ADVICE, SetupError, diagnose, platform_problem, space_problem

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(ROOT, ".tools")
UV = os.path.join(TOOLS, "bin", "uv")
ZIG = os.path.join(TOOLS, "ziglang", "zig")
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "marquee-setup.txt")  # inside .venv, so that the two vanish together

TOOLS_LOCK = os.path.join(ROOT, "requirements", "tools.lock")
BUILD_LOCK = os.path.join(ROOT, "requirements", "build.lock")
LOCKS = [os.path.join(ROOT, "requirements", name) for name in ("runtime.lock", "dev.lock")]


def fingerprint() -> str:
    """Return what .venv is made from, as one line.

    The folder is part of it: a virtual environment does not survive being moved.
    """
    digest = hashlib.sha256()
    for path in [*LOCKS, BUILD_LOCK, TOOLS_LOCK]:
        with open(path, "rb") as lock:
            digest.update(hashlib.sha256(lock.read()).digest())
    return "Python {}, lock files {}, in {}\n".format(python.WANTED, digest.hexdigest(), ROOT)


def is_done(wanted: str) -> bool:
    """Return whether .venv is whole, made from `wanted`, and the Python beneath it still there."""
    try:
        with open(STAMP) as stamp:
            return stamp.read() == wanted and os.access(VENV_PYTHON, os.X_OK)
    except FileNotFoundError:
        return False


def libc() -> str:
    """Return the C library's name and version, nothing where it is not glibc."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        return ""


def run(
    command: Sequence[str], environ: Mapping[str, str], advice: str, unreachable: str = INDEX_ADVICE
) -> None:
    """Run `command` without a sound; upon failure show its last words, many where nobody knows why.

    Raises:
      SetupError: what to do, as the output gives it away, else `advice`.
    """
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        known = diagnose(done.stdout, unreachable)
        lines = done.stdout.splitlines()[-1 if known else -20 :]
        print("failed\n" + "".join("    {}\n".format(line) for line in lines), end="", flush=True)
        raise SetupError(known or advice)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print one line for what is done inside: its title at the start, its time at the end."""
    print("set-up: {} ... ".format(title), end="", flush=True)
    start = time.time()
    yield
    print("{:.0f} s".format(time.time() - start), flush=True)


def install_uv(environ: Mapping[str, str]) -> None:
    """Install the locked uv with pip, unless it is there.

    `--target` needs no venv module and may be used where the distribution manages Python. The platform is
    spelt out because the pip of an old Python knows neither the wheel's tag nor its Python.
    """
    with open(TOOLS_LOCK) as lock:
        version = re.findall(r"^uv==(\S+)", lock.read(), re.MULTILINE)[0]
    try:
        if subprocess.check_output([UV, "--version"]).decode().split()[1] == version:
            return
    except (OSError, subprocess.CalledProcessError):  # not there, or half-written
        pass
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", TOOLS]
    command += ["--require-hashes", "--requirement", TOOLS_LOCK, "--no-deps", "--only-binary", ":all:"]
    command += ["--platform", "manylinux2014_x86_64", "--python-version", "310", "--ignore-requires-python"]
    # Habits that a person may have for their own environments; neither goes with --target.
    habits = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    advice = (
        "pip could not install uv, see above: upgrade pip if it is old (`{} -m pip install --upgrade pip`)"
    )
    with step("uv {}".format(version)):
        run(command, {**environ, **habits}, advice.format(sys.executable) + ", then run it again")


def pip_configuration() -> str:
    """Return what `pip config list` prints, nothing where pip is too old to know the command."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    try:
        output = subprocess.check_output(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.CalledProcessError:
        return ""
    return output.decode()


def make_venv(environ: Mapping[str, str]) -> None:
    """Make an empty .venv with a Python 3.10 of this machine, or one that uv has or downloads."""
    # An active .venv leads PATH, and is about to go.
    paths = [path for path in python.candidates(environ) if not path.startswith(VENV + os.sep)]
    found = [interpreter for interpreter in map(python.probe, paths) if interpreter]
    chosen = python.choose(found)
    command = [UV, "venv", "--quiet", "--no-project", "--clear", VENV, "--python"]
    command += [chosen.path] if chosen else [python.WANTED, "--managed-python"]
    title = "{} ({})".format(chosen.version, chosen.path) if chosen else "{}, by uv".format(python.WANTED)
    with step("Python " + title):
        with contextlib.suppress(FileNotFoundError):
            os.remove(STAMP)
        run(command, environ, python.advice(found), unreachable=python.advice(found))


def compiler_variables(environ: Mapping[str, str]) -> Dict[str, str]:
    """Return `environ` with a C++ compiler in it: the locked zig where the machine has none.

    One locked package has no wheel and needs C++: pyfarmhash, which TensorFlow Data Validation imports.
    """
    if all(shutil.which(name, path=environ.get("PATH")) for name in ("gcc", "g++")):
        return dict(environ)
    command = [UV, "pip", "install", "--quiet", "--python", VENV_PYTHON, "--target", TOOLS]
    command += ["--require-hashes", "--requirement", BUILD_LOCK]
    with step("a C++ compiler, zig"):
        run(command, environ, "uv could not install zig: install gcc and g++ instead, then run it again")
    cache = os.path.join(TOOLS, "zig-cache")
    return {**environ, "CC": ZIG + " cc", "CXX": ZIG + " c++", "ZIG_GLOBAL_CACHE_DIR": cache}


def install_packages(environ: Mapping[str, str]) -> None:
    """Install the locked packages in .venv, each checked by its hash, as is what it is built with.

    They are compiled, as pip does by default: where Python may not write bytecode, every process that imports
    TFX would compile 1,900 modules anew.
    """
    command = [UV, "pip", "sync", "--quiet", "--compile-bytecode", "--python", VENV_PYTHON]
    command += ["--require-hashes", "--build-constraints", BUILD_LOCK, "--require-build-hashes"]
    command += ["--preview-features", "build-dependency-hashes", *LOCKS]
    with step("the locked packages (3 GB, minutes when they must be fetched)"):
        run(
            command,
            environ,
            "uv could not install the packages, see above: put that right, then run it again",
        )


def set_up(environ: Mapping[str, str]) -> None:
    """Make .venv what the lock files say, unless it is.

    Raises:
      SetupError: what to do, where something is missing.
    """
    wanted = fingerprint()
    if is_done(wanted):
        return
    problem = platform_problem(platform.system(), platform.machine(), libc())
    if problem:
        raise SetupError(problem)
    os.makedirs(TOOLS, exist_ok=True)
    with open(os.path.join(TOOLS, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second set-up of this folder waits for the first
        if is_done(wanted):
            return
        problem = space_problem(shutil.disk_usage(ROOT).free, ROOT)
        if problem and not os.path.isdir(VENV):  # else much of it is in place, or at hand in uv's cache
            raise SetupError(problem)
        install_uv(environ)
        variables = index.uv_variables(index.pip_settings(pip_configuration()), environ)
        make_venv(variables)
        install_packages(compiler_variables(variables))
        with open(STAMP, "w") as stamp:
            stamp.write(wanted)


def main() -> int:
    """Set up and return the exit code; a person's problem is the last line on standard error."""
    try:
        set_up(os.environ)
    except SetupError as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as problem:
        advice = "Set-up could not use a file, {}: put that right, then run it again".format(problem)
        print(diagnose(str(problem)) or advice, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nSet-up was stopped: run it again, and it starts over", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
