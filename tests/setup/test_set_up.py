"""`make setup` in a copy of what it needs, in environments that lack something."""

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping

import pytest

ROOT = pathlib.Path(__file__).parents[2]
UNREACHABLE = "http://127.0.0.1:9/simple"

# Stands for uv where a test is about what is done and not about uv: it notes what it is told.
FAKE_UV = """#!/bin/sh
if [ "$1" = --version ]; then echo "uv {version}"; exit; fi
echo "$*" >> "{log}"
if [ "$1" = venv ]; then rm -rf .venv; mkdir -p .venv/bin; ln -s "{python}" .venv/bin/python; fi
if [ "$2" = sync ]; then {sync}; fi
"""


def _locked_uv() -> str:
    lines = (ROOT / "requirements/tools.lock").read_text().splitlines()
    return next(line.split()[0][len("uv==") :] for line in lines if line.startswith("uv=="))


class Clone:
    """A copy of the files that the set-up reads, and an environment of its own to run it in."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / "clone"
        self.calls = folder / "calls.txt"
        self.fakes = folder / "fakes"
        self.bin = folder / "bin"
        self.fakes.mkdir()
        self.bin.mkdir()
        shutil.copytree(ROOT / "bootstrap", self.folder / "bootstrap")
        shutil.copytree(ROOT / "requirements", self.folder / "requirements")
        shutil.copy(ROOT / "Makefile", self.folder)
        for name in ("gcc", "g++"):  # so that none is fetched
            (self.bin / name).symlink_to("/usr/bin/false")

    def fake_uv(self, sync: str = "true") -> None:
        """Put a uv in place that does `sync`, a line of shell, when it is to install packages."""
        uv = self.folder / ".tools/bin/uv"
        uv.parent.mkdir(parents=True, exist_ok=True)
        uv.write_text(FAKE_UV.format(version=_locked_uv(), log=self.calls, python=sys.executable, sync=sync))
        uv.chmod(0o755)

    def real_uv(self) -> None:
        """Put the uv in place that this project was set up with, so that none is fetched."""
        uv = self.folder / ".tools/bin/uv"
        uv.parent.mkdir(parents=True)
        uv.symlink_to(ROOT / ".tools/bin/uv")

    def patch(self, code: str) -> None:
        """Have the Python that runs the set-up begin with `code`."""
        (self.fakes / "sitecustomize.py").write_text(code)

    def python_310_on_path(self) -> None:
        (self.bin / "python3.10").symlink_to(pathlib.Path(sys.executable).resolve())

    def setup(self, python: str = sys.executable, **variables: str) -> subprocess.CompletedProcess[str]:
        environ: Mapping[str, str] = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(self.fakes),
            "PYTHONPATH": str(self.fakes),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": UNREACHABLE,  # no test here may fetch anything
            "PIP_RETRIES": "0",
            "UV_HTTP_RETRIES": "0",
            "UV_CACHE_DIR": str(self.fakes / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(self.fakes / "pythons"),
            **variables,
        }
        return subprocess.run(
            ["make", "setup", f"PYTHON={python}"],
            cwd=self.folder, env=environ, text=True, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    def called(self) -> list[str]:
        """Return the first words of each thing that the fake uv was told since the last time."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line.split(" --")[0] for line in lines]


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> Clone:
    return Clone(tmp_path)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a person reads last, having made sure that it is an error in words."""
    assert done.returncode != 0, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_another_platform(clone: Clone) -> None:
    clone.patch("import platform\nplatform.machine = lambda: 'aarch64'\n")
    assert "Marquee needs Linux on x86-64" in _last_line(clone.setup())


def test_another_c_library(clone: Clone) -> None:
    clone.patch("import os\ndef confstr(name): raise OSError(22, 'Invalid argument')\nos.confstr = confstr\n")
    assert "with another C library" in _last_line(clone.setup())


def test_no_pip(clone: Clone, tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    assert "has no pip: install it" in _last_line(clone.setup(python=f"{tmp_path}/bare/bin/python"))


def test_disk_nearly_full(clone: Clone) -> None:
    clone.patch("import shutil, types\nshutil.disk_usage = lambda path: types.SimpleNamespace(free=10**9)\n")
    assert f"about 5 GB free in {clone.folder} and found 1.0 GB" in _last_line(clone.setup())


def test_disk_full_midway(clone: Clone) -> None:
    clone.fake_uv(sync="echo '  cause: a.so: No space left on device (os error 28)'; exit 2")
    clone.python_310_on_path()
    assert "The disk is full" in _last_line(clone.setup())


def test_folder_that_may_not_be_written(clone: Clone) -> None:
    (clone.folder / ".tools").write_text("in the way")
    assert "Set-up could not use a file" in _last_line(clone.setup())


def test_index_out_of_reach_for_pip(clone: Clone) -> None:
    assert "The package index could not be reached" in _last_line(clone.setup())


def test_index_out_of_reach_for_uv(clone: Clone) -> None:
    clone.real_uv()
    clone.python_310_on_path()
    done = clone.setup()
    assert "the locked packages" in done.stderr
    assert "The package index could not be reached" in _last_line(done)


def test_no_python_310_and_no_network(clone: Clone) -> None:
    if any(pathlib.Path(folder, "python3.10").exists() for folder in ("/usr/bin", "/bin")):
        pytest.skip("this system's own Python is 3.10")
    clone.real_uv()
    assert "No Python 3.10 on PATH or in pyenv's folders" in _last_line(clone.setup(UV_OFFLINE="1"))


def test_what_nobody_knows_is_shown(clone: Clone) -> None:
    clone.fake_uv(sync="echo 'the hash of kfp is wrong'; exit 2")
    clone.python_310_on_path()
    done = clone.setup()
    assert "the hash of kfp is wrong" in done.stderr
    assert "uv could not install the packages, see above" in _last_line(done)


def test_it_is_done_once(clone: Clone) -> None:
    clone.fake_uv()
    clone.python_310_on_path()
    first = clone.setup()
    assert first.returncode == 0, first.stderr
    assert [line.split(" ... ")[0].split(" (")[0] for line in first.stderr.splitlines()] == [
        f"set-up: Python {sys.version.split()[0]}",
        "set-up: the locked packages",
    ]
    assert len(clone.called()) == 2
    again = clone.setup()
    assert (again.returncode, again.stdout, again.stderr, clone.called()) == (0, "", "", [])


def test_it_is_done_again_when_a_lock_file_changes(clone: Clone) -> None:
    clone.fake_uv()
    clone.python_310_on_path()
    clone.setup()
    for lock in sorted(clone.folder.glob("requirements/*.lock")):
        clone.called()
        lock.write_text(lock.read_text() + "# changed\n")
        assert clone.setup().returncode == 0
        # The set-up does not install what the benchmarks alone need.
        expected = [] if lock.name == "benchmarks.lock" else ["venv", "pip sync"]
        assert clone.called() == expected, lock.name


def test_it_is_done_again_when_it_was_stopped_halfway(clone: Clone) -> None:
    clone.fake_uv(sync="kill -9 $PPID; sleep 0.2")  # the set-up itself is killed, no handler runs
    clone.python_310_on_path()
    assert clone.setup().returncode != 0
    assert (clone.folder / ".venv").is_dir()
    clone.called()
    clone.fake_uv()
    assert clone.setup().returncode == 0
    assert clone.called() == ["venv", "pip sync"]


def test_it_is_done_again_in_another_folder(clone: Clone, tmp_path: pathlib.Path) -> None:
    clone.fake_uv()
    clone.python_310_on_path()
    clone.setup()
    clone.called()
    clone.folder = clone.folder.rename(tmp_path / "moved")
    assert clone.setup().returncode == 0
    assert clone.called() == ["venv", "pip sync"]


def test_it_is_done_again_when_its_python_is_gone(clone: Clone) -> None:
    clone.fake_uv()
    clone.python_310_on_path()
    clone.setup()
    clone.called()
    (clone.folder / ".venv/bin/python").unlink()
    assert clone.setup().returncode == 0
    assert clone.called() == ["venv", "pip sync"]


def test_zig_is_the_compiler_where_there_is_none(clone: Clone) -> None:
    clone.fake_uv(sync='echo "$CC" >> "$HOME/compiler"')
    clone.python_310_on_path()
    for name in ("gcc", "g++"):
        (clone.bin / name).unlink()
    for name in ("sh", "rm", "mkdir", "ln", "make"):
        (clone.bin / name).symlink_to(shutil.which(name) or name)
    done = clone.setup(PATH=str(clone.bin))
    assert done.returncode == 0, done.stderr
    assert clone.called() == ["venv", "pip install", "pip sync"]
    assert (clone.fakes / "compiler").read_text() == f"{clone.folder}/.tools/ziglang/zig cc\n"
