"""The site: every link leads somewhere, nothing comes from the network, and hooks do what they say."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pydantic
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from docs.hooks import elsewhere, fields
from pipeline import config
from tests.components.run_report import chromium
from tests.docs.blocks import DOCS

ROOT = DOCS.parent
# What a page loads by itself, in contrast to a link that a reader follows.
_LOADED = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="?([^" >]+)|<link[^>]*\shref="?([^" >]+)')


def built(folder: pathlib.Path, **settings: Any) -> pathlib.Path:
    """Build as `make docs` does, into another folder."""
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True, **settings))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return built(tmp_path_factory.mktemp("site"))


def test_the_pages_load_nothing_from_the_network(site: pathlib.Path) -> None:
    pages = [path for path in site.rglob("*.html") if path.name != "404.html"]
    assert len(pages) == len(list(DOCS.glob("*.md"))) + len(elsewhere.PAGES)
    for page in pages:
        loaded = ["".join(found) for found in _LOADED.findall(page.read_text(encoding="utf-8"))]
        assert loaded
        for target in loaded:
            assert "//" not in target and (page.parent / target).is_file(), f"{page.name}: {target}"


@chromium.needed
def test_every_page_fits_a_phone_and_complains_of_nothing(site: pathlib.Path) -> None:
    with chromium.started() as browser:
        widths = {}
        for page in sorted(path for path in site.rglob("*.html") if path.name != "404.html"):
            browser.open(page, 390)
            # Tables and equations may be scrolled, the page itself may not.
            widths[page.name] = browser.ask("document.documentElement.scrollWidth")
            assert browser.ask("document.querySelector('h1').clientHeight") > 0
            assert browser.complaints() == [], page.name
    assert set(widths.values()) == {390}, widths


def test_links_that_lead_nowhere_end_the_build(tmp_path: pathlib.Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "data.md").write_text("# Data\n")
    targets = ("nowhere.md", "data.md#no-such-heading", "../nowhere.md", "data.md#data")
    links = "\n".join(f"[link]({target})" for target in targets)
    (tmp_path / "docs" / "index.md").write_text(f"# Index\n\n{links}\n")
    with pytest.raises(Abort, match="Aborted with 3 warnings"):
        built(tmp_path / "site", docs_dir=str(tmp_path / "docs"), nav=[], hooks=[])


def test_a_field_below_another_of_its_type_shares_the_comment_and_others_need_their_own() -> None:
    class Lengths(pydantic.BaseModel):
        # In metres.
        width: float = 1.0
        height: float = 1.0
        name: str = "a"

    assert fields.comments(Lengths) == {"width": "In metres.", "height": "In metres.", "name": ""}
    with pytest.raises(ValueError, match=r"Lengths.name must have a comment"):
        fields.table(Lengths, (), "Lengths")


def test_the_page_of_the_configuration_has_every_field_with_type_range_and_default(
    site: pathlib.Path,
) -> None:
    tables = "\n".join(fields.tables())
    row = "| `dropout` | number, ≥ 0, < 1 | `0.5` | Share of them that a training step leaves out"
    assert tables.split("### models.retrieval.history\n")[1].split("###")[0].count(row) == 1
    for made in (config.default(), config.tutorial(), config.retraining()):
        names = re.findall(r'"(\w+)":', made.model_dump_json(exclude={"vocabularies"}))
        written = (site / "configuration.html").read_text(encoding="utf-8")
        shown = set(re.findall(r"<td><code>(\w+)</code></td>", written))
        bounds = set(made.drift.bounds) if made.drift else set()
        assert set(names) - bounds <= shown
