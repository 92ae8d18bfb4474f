"""`make setup` in a copy of what it needs, in environments that lack something."""

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PYTHON_310 = pathlib.Path(sys.executable).resolve()
UNREACHABLE = "http://127.0.0.1:9/simple"

# Stands for uv where a test is about what is done and not about uv: it notes its arguments.
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

    def fake_uv(self, sync: str = "true", python: str = sys.executable) -> None:
        """Install a uv that finds `python`, and does `sync`, a line of shell, to install packages."""
        uv = self.folder / ".tools/bin/uv"
        uv.parent.mkdir(parents=True, exist_ok=True)
        uv.write_text(FAKE_UV.format(version=_locked_uv(), log=self.calls, python=python, sync=sync))
        uv.chmod(0o755)

    def real_uv(self) -> None:
        """Install the uv that this project was set up with, so that none is fetched."""
        uv = self.folder / ".tools/bin/uv"
        uv.parent.mkdir(parents=True)
        uv.symlink_to(ROOT / ".tools/bin/uv")

    def patch(self, code: str) -> None:
        """Have the Python that runs the set-up begin with `code`."""
        (self.fakes / "sitecustomize.py").write_text(code)

    def setup(self, python: str = sys.executable, **variables: str) -> subprocess.CompletedProcess[str]:
        running = self.start(python, **variables)
        out, err = running.communicate(timeout=120)
        return subprocess.CompletedProcess(running.args, running.returncode, out, err)

    def start(self, python: str = sys.executable, **variables: str) -> subprocess.Popen[str]:
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
        return subprocess.Popen(
            ["make", "setup", f"PYTHON={python}"],
            cwd=self.folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def called(self) -> list[str]:
        """Return the first words of each call of the fake uv since the last time."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line.split(" --")[0] for line in lines]


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> Clone:
    return Clone(tmp_path)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what stands last but for make's own line, having made sure that it is an error in words."""
    assert done.returncode != 0, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *_, last, makes = done.stderr.splitlines()
    assert makes.startswith("make: *** ")
    return last


def test_an_older_python(clone: Clone) -> None:
    clone.patch("import sys\nsys.version_info = (3, 8, 18, 'final', 0)\n")
    assert "The set-up needs Python 3.9 or later" in _last_line(clone.setup())


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("platform.system, platform.machine = lambda: 'Darwin', lambda: 'arm64'", "is Darwin on arm64"),
        ("platform.machine = lambda: 'aarch64'", "is Linux on aarch64"),
        ("platform.libc_ver = lambda: ('', '')", "with another C library"),
        ("platform.libc_ver = lambda: ('glibc', '2.17')", "with glibc 2.17"),
    ],
)
def test_a_platform_without_wheels(clone: Clone, patch: str, words: str) -> None:
    clone.patch(f"import platform\n{patch}\n")
    line = _last_line(clone.setup())
    assert "Marquee needs Linux on x86-64 with glibc 2.28 or later" in line and words in line


def test_no_pip(clone: Clone, tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = f"{tmp_path}/bare/bin/python"
    done = clone.setup(python=python)
    assert "No module named pip" in done.stderr
    assert f"give {python} a pip" in _last_line(done)


def test_folder_that_may_not_be_written(clone: Clone) -> None:
    (clone.folder / ".tools").write_text("in the way")
    assert "The set-up could not use a file" in _last_line(clone.setup())


def test_an_environment_elsewhere_is_not_cleared(clone: Clone, tmp_path: pathlib.Path) -> None:
    clone.fake_uv()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (clone.folder / ".venv").symlink_to(elsewhere)
    assert ".venv is a link, and the set-up would clear what it leads to" in _last_line(clone.setup())
    assert (elsewhere / "kept").exists() and not clone.called()


def test_index_out_of_reach_for_pip(clone: Clone) -> None:
    assert "uv could not be installed, see above" in _last_line(clone.setup())


def test_uv_uses_pips_index_and_prints_its_own_errors(clone: Clone) -> None:
    clone.real_uv()
    (clone.bin / "python3.10").symlink_to(PYTHON_310)
    done = clone.setup()
    assert f"error sending request for url ({UNREACHABLE}" in done.stderr
    assert "The packages could not be installed, see above" in _last_line(done)


@pytest.mark.parametrize(
    "variables", [{"PATH": "{}/shims:/usr/bin:/bin"}, {"PYENV_ROOT": "{}"}, {"HOME": "{}/.."}], ids=str
)
def test_pyenvs_python_is_found(clone: Clone, tmp_path: pathlib.Path, variables: dict[str, str]) -> None:
    clone.real_uv()
    pyenv = tmp_path / "home/.pyenv"
    (pyenv / "shims").mkdir(parents=True)
    shim = pyenv / "shims/python3.10"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    (pyenv / "versions").mkdir()
    (pyenv / "versions/3.10.13").symlink_to(PYTHON_310.parents[1])
    clone.setup(UV_OFFLINE="1", **{name: value.format(pyenv) for name, value in variables.items()})
    assert (clone.folder / ".venv/bin/python").resolve() == PYTHON_310


def test_a_python_without_c_headers_is_passed_over(clone: Clone, tmp_path: pathlib.Path) -> None:
    bare = tmp_path / "bare/bin/python3.10"
    bare.parent.mkdir(parents=True)
    bare.touch(mode=0o755)
    clone.fake_uv(python=str(bare))
    assert clone.setup().returncode == 0
    first, second, _ = clone.calls.read_text().splitlines()
    assert second == f"{first} --managed-python"


def test_no_python_310_and_no_network(clone: Clone) -> None:
    if any(pathlib.Path(folder, "python3.10").exists() for folder in ("/usr/bin", "/bin")):
        pytest.skip("this system's own Python is 3.10")
    clone.real_uv()
    assert "No Python 3.10 with its C headers was found" in _last_line(clone.setup(UV_OFFLINE="1"))


def test_it_is_done_once(clone: Clone) -> None:
    clone.fake_uv()
    first = clone.setup()
    assert first.returncode == 0, first.stderr
    assert [line.split(" (")[0] for line in first.stderr.splitlines()] == [
        "set-up: Python 3.10",
        "set-up: the locked packages",
    ]
    _, sync = clone.calls.read_text().splitlines()
    assert {"--compile-bytecode", "--require-hashes", "--require-build-hashes"} <= set(sync.split())
    assert len(clone.called()) == 2
    again = clone.setup()
    assert (again.returncode, again.stdout, again.stderr, clone.called()) == (0, "", "", [])


def test_it_is_done_again_when_a_lock_file_changes(clone: Clone) -> None:
    clone.fake_uv()
    clone.setup()
    for lock in sorted(clone.folder.glob("requirements/*.lock")):
        clone.called()
        lock.write_text(lock.read_text() + "# changed\n")
        assert clone.setup().returncode == 0
        # The set-up does not install what the benchmarks alone need.
        expected = [] if lock.name == "benchmarks.lock" else ["venv", "pip sync"]
        assert clone.called() == expected, lock.name


def test_the_set_up_is_repeated_if_it_was_stopped_halfway(clone: Clone) -> None:
    clone.fake_uv(sync="kill -9 $PPID; sleep 0.2")  # the set-up itself is killed, no handler runs
    assert clone.setup().returncode != 0
    assert (clone.folder / ".venv").is_dir()
    clone.called()
    clone.fake_uv()
    assert clone.setup().returncode == 0
    assert clone.called() == ["venv", "pip sync"]


def test_what_is_left_of_an_environment_goes(clone: Clone) -> None:
    clone.real_uv()
    (clone.bin / "python3.10").symlink_to(PYTHON_310)
    (clone.folder / ".venv/lib").mkdir(parents=True)
    clone.setup()
    assert (clone.folder / ".venv/bin/python").resolve() == PYTHON_310


def test_two_set_ups_at_once_install_once(clone: Clone) -> None:
    clone.fake_uv(sync="sleep 2")
    both = [clone.start(), clone.start()]
    errors = [each.communicate(timeout=120)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], errors
    assert clone.called() == ["venv", "pip sync"]


def test_it_is_done_again_in_another_folder(clone: Clone, tmp_path: pathlib.Path) -> None:
    clone.fake_uv()
    clone.setup()
    clone.called()
    clone.folder = clone.folder.rename(tmp_path / "moved")
    assert clone.setup().returncode == 0
    assert clone.called() == ["venv", "pip sync"]


def test_the_set_up_is_repeated_if_its_python_is_missing(clone: Clone) -> None:
    clone.fake_uv()
    clone.setup()
    clone.called()
    (clone.folder / ".venv/bin/python").unlink()
    assert clone.setup().returncode == 0
    assert clone.called() == ["venv", "pip sync"]


def test_zig_is_the_compiler_where_there_is_none(clone: Clone) -> None:
    clone.fake_uv(sync='echo "$CC" >> "$HOME/compiler"')
    for name in ("gcc", "g++"):
        (clone.bin / name).unlink()
    for name in ("sh", "rm", "mkdir", "ln", "make"):
        (clone.bin / name).symlink_to(shutil.which(name) or name)
    done = clone.setup(PATH=str(clone.bin))
    assert done.returncode == 0, done.stderr
    assert clone.called() == ["venv", "pip install", "pip sync"]
    assert (clone.fakes / "compiler").read_text() == f"{clone.folder}/.tools/ziglang/zig cc\n"
