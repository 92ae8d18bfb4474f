"""A few users of planted ratings, and the lists that a bundle of planted models serves them."""

from __future__ import annotations

import pytest

from components.run_report import collect, viewers
from components.run_report.contents import Viewer
from serving import manifest
from tests.conftest import Pushed


@pytest.fixture(scope="module")
def shown(pushed: Pushed) -> list[Viewer]:
    bundle = str(pushed.destination / "bundles" / "1")
    return viewers.collect(pushed.planted.sources.queries_dir, {1: bundle, 2: "/nowhere"}, show_ids=True)


def test_users_are_chosen_by_activity_and_served_what_they_have_not_rated_before(shown: list[Viewer]) -> None:
    assert [viewer.rows for viewer in shown] == sorted(viewer.rows for viewer in shown)
    for viewer in shown:
        titles = [title.title for title in viewer.served[1]]
        assert titles and len(set(titles)) == len(titles)
        scores = [title.score for title in viewer.served[1]]
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


def test_a_version_that_cannot_be_asked_is_left_out(shown: list[Viewer]) -> None:
    assert all(set(viewer.served) == {1} for viewer in shown)


def test_users_are_named_by_their_ids_only_where_that_is_wanted(pushed: Pushed, shown: list[Viewer]) -> None:
    hashed = viewers.collect(pushed.planted.sources.queries_dir, {}, show_ids=False)
    ids = set(pushed.planted.world.users)
    assert {viewer.name for viewer in shown} <= ids
    assert hashed and not {viewer.name for viewer in hashed} & ids


def test_a_bundles_parts_and_card_are_read(pushed: Pushed) -> None:
    path = str(pushed.destination / "bundles" / "1")
    read = collect.bundle({"tfx_version": "1", **pushed.figures}, path)
    assert read.version == 1 and read.card.startswith("# Model card")
    files = manifest.read(path)["files"]
    assert sum(read.sizes.values()) == sum(file["bytes"] for file in files.values())
    assert "tfx_version" not in read.figures and read.figures["index_kind"] == "exact"
