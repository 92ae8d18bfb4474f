"""The digest of user code: what an edit changes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.source_digest import source_digest

SOURCES = {
    "modules/__init__.py": "",
    "modules/leaf.py": "WIDTH = 32\n",
    "modules/towers.py": "from modules import leaf\n",
    "modules/retrieval.py": "import numpy\nimport modules.towers as towers\n",
    "modules/ranking.py": "RATE = 0.1\n",
    "components/gate/executor.py": "from .words import sentence\n",
    "components/gate/words.py": "def sentence():\n    from modules.leaf import WIDTH\n    return WIDTH\n",
    "components/gate/report.py": "from ..other import thing\n",
    "components/other/thing.py": "THING = 1\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path


def changed_by(project: Path, edited: str) -> set[str]:
    """Modules whose digest changes when one line is appended to the file `edited`."""
    modules = [name[:-3].replace("/", ".") for name in SOURCES if not name.endswith("__init__.py")]
    before = {module: source_digest(module, project) for module in modules}
    with (project / edited).open("a") as file:
        file.write("EDITED = True\n")
    return {module for module in modules if source_digest(module, project) != before[module]}


def test_an_edited_leaf_changes_all_that_depend_on_it_and_nothing_else(project: Path) -> None:
    assert changed_by(project, "modules/leaf.py") == {
        "modules.leaf",
        "modules.towers",
        "modules.retrieval",
        "components.gate.executor",
        "components.gate.words",
    }


def test_an_edited_top_changes_itself_alone(project: Path) -> None:
    assert changed_by(project, "modules/ranking.py") == {"modules.ranking"}


def test_a_module_that_cannot_be_parsed_is_named(project: Path) -> None:
    (project / "modules" / "leaf.py").write_text("WIDTH = \n")
    with pytest.raises(SyntaxError) as raised:
        source_digest("modules.retrieval", project)
    assert raised.value.filename == str(project / "modules" / "leaf.py")


def test_a_relative_import_of_a_sibling_package_counts(project: Path) -> None:
    assert changed_by(project, "components/other/thing.py") == {
        "components.other.thing",
        "components.gate.report",
    }


def test_a_package_init_counts_for_every_module_of_the_package_and_their_dependants(project: Path) -> None:
    assert changed_by(project, "modules/__init__.py") == {
        "modules.leaf",
        "modules.towers",
        "modules.retrieval",
        "modules.ranking",
        "components.gate.executor",
        "components.gate.words",
    }


def test_locked_libraries_of_other_versions_change_every_module(project: Path) -> None:
    before = source_digest("modules.leaf", project)
    (project / "requirements").mkdir()
    (project / "requirements/runtime.lock").write_text("numpy==1.26.4\n")
    assert source_digest("modules.leaf", project) != before


def test_an_import_cycle_ends(project: Path) -> None:
    (project / "modules/leaf.py").write_text("import modules.retrieval\n")
    assert len(source_digest("modules.leaf", project)) == 64


def test_the_same_sources_in_another_folder_have_the_same_digest(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere [1]*?"
    for name, source in SOURCES.items():
        path = other / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    assert source_digest("modules.retrieval", project) == source_digest("modules.retrieval", other)


def test_nothing_is_imported(project: Path) -> None:
    (project / "modules/leaf.py").write_text("raise RuntimeError('imported')\n")
    assert len(source_digest("modules.retrieval", project)) == 64


@pytest.mark.parametrize("entry", ["modules.absent", "numpy", "modules.leaf.WIDTH"])
def test_what_is_no_module_of_the_project_is_rejected_in_words(project: Path, entry: str) -> None:
    with pytest.raises(ValueError, match="dotted name, without a function"):
        source_digest(entry, project)
