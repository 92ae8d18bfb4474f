"""What import-linter cannot hold: it knows packages, and these are files at the root."""

import ast
import pathlib

import tomli

ROOT = pathlib.Path(__file__).parents[1]
PIPELINE_CODE = {"retraining", "runners", "serving", "pipeline", "components", "modules", "common"}
BESIDE = {"bootstrap", "tests", "benchmarks"}


def _imported(path: pathlib.Path) -> set[str]:
    """Return the top-level names that the file at `path` imports, wherever in it.

    Import by a name put together at run time is not seen.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else str(node.module).split(".")[0])
    return names


def test_recommend_stands_alone() -> None:
    imported = _imported(ROOT / "recommend.py")
    assert imported
    assert not imported & (PIPELINE_CODE | {"local_runner", "tfx", "."})


def test_the_set_up_needs_nothing_but_python() -> None:
    for path in (ROOT / "bootstrap").glob("*.py"):
        assert not _imported(path) & (PIPELINE_CODE | {"."}), path


def test_nothing_imports_an_entry_point() -> None:
    entry_points = {path.stem for path in ROOT.glob("*.py")}
    for package in PIPELINE_CODE:
        for path in (ROOT / package).rglob("*.py"):
            assert not _imported(path) & entry_points, path


def test_every_package_is_under_contract() -> None:
    contracts = tomli.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set(contracts["root_packages"]) == PIPELINE_CODE == packages - BESIDE


def test_no_folder_hides_from_the_contracts() -> None:
    """Import-linter passes over a folder without __init__.py in silence."""
    for package in PIPELINE_CODE:
        for path in (ROOT / package).rglob("*.py"):
            assert path.with_name("__init__.py").exists(), path.parent
