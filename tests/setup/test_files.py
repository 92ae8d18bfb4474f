"""The lock files, the bootstrap's syntax, what setup.py packs, and where it stops."""

import ast
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv

import pytest

import bootstrap

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("pipeline", "components", "modules", "runners", "serving", "common")
REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(path.name for path in REQUIREMENTS.glob("*.lock"))


def _blocks(lock: str) -> dict[str, str]:
    """Return the text of each locked package by `name==version`."""
    parts = re.split(r"^(?=[A-Za-z0-9])", (REQUIREMENTS / lock).read_text(), flags=re.MULTILINE)[1:]
    return {part.split()[0]: part for part in parts}


def test_every_set_of_requirements_is_locked() -> None:
    assert sorted(path.with_suffix(".lock").name for path in REQUIREMENTS.glob("*.in")) == LOCKS


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock: str) -> None:
    blocks = _blocks(lock)
    assert blocks
    for name, block in blocks.items():
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z,-]+\])?==\S+", name), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), name


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_folder(lock: str) -> None:
    text = (REQUIREMENTS / lock).read_text()
    assert not re.search(
        r"://|^\s*-(-index|-extra-index|-find-links|-trusted|i |f )|#.* /", text, re.MULTILINE
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_pinned_is_what_is_locked(lock: str) -> None:
    wanted = (REQUIREMENTS / lock).with_suffix(".in").read_text()
    pins = re.findall(r"^([\w-]+)(?:\[\w+\])?==([\w.]+)", wanted, re.MULTILINE)
    assert pins
    locked = {name.split("[")[0].split("==")[0] + "==" + name.split("==")[1] for name in _blocks(lock)}
    assert {f"{name}=={version}" for name, version in pins} <= locked


def test_development_agrees_with_run_time() -> None:
    run_time = dict(name.split("==") for name in _blocks("runtime.lock"))
    for name in _blocks("dev.lock"):
        package, version = name.split("==")
        assert run_time.get(package, version) == version


@pytest.mark.parametrize("path", sorted((ROOT / "bootstrap").glob("*.py")), ids=lambda path: path.name)
def test_the_oldest_python_can_read_the_bootstrap(path: pathlib.Path) -> None:
    ast.parse(path.read_text(), feature_version=bootstrap.OLDEST)


def test_setup_py_packs_the_sources_and_the_schemas(tmp_path: pathlib.Path) -> None:
    shutil.copy(ROOT / "setup.py", tmp_path)
    wanted = set()
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
        paths = [*(tmp_path / package).rglob("*.py"), *(tmp_path / package).rglob("*.pbtxt")]
        wanted |= {str(path.relative_to(tmp_path)) for path in paths}
    command = [sys.executable, "setup.py", "--quiet", "sdist"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (archive,) = (tmp_path / "dist").iterdir()
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert any(name.endswith(".pbtxt") for name in wanted)
    assert wanted <= names
    assert not any(name.startswith(("tests", "bootstrap", "benchmarks")) for name in names)


@pytest.mark.parametrize(
    ("foreign", "own", "rejected"),
    [
        ("modules/__init__.py", "", "modules"),
        ("pipeline.py", "", "pipeline"),
        ("runners/of_another/__init__.py", "", "runners"),  # without __init__.py it is a package too
        ("modules_of_another/__init__.py", "", ""),
        ("modules/__init__.py", "marquee-0.1.0.dist-info/METADATA", ""),  # an earlier version of this project
    ],
)
def test_setup_py_spares_another_projects_package(
    tmp_path: pathlib.Path, foreign: str, own: str, rejected: str
) -> None:
    venv.create(tmp_path / "venv")
    (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (site / "setuptools.pth").write_text(sysconfig.get_path("purelib"))
    for name in filter(None, (foreign, own)):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("Name: marquee\n" if name == own else "")
    project = tmp_path / "project"
    (project / "modules").mkdir(parents=True)
    shutil.copy(ROOT / "setup.py", project)
    (project / "modules/__init__.py").touch()
    command = [str(tmp_path / "venv/bin/python"), "setup.py", "--quiet", "build"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (project / "build/lib/modules").exists() is not bool(rejected), done.stderr
    if rejected:
        line = done.stderr.splitlines()[-1]
        assert line.startswith(f"Marquee installs a package {rejected}, and {site}/{foreign.split('/')[0]}")
