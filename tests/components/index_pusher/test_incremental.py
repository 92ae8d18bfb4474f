"""An index on top of an earlier one: that it finds what is new, and when it is built anew instead."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher import bundle, incremental, index_gate, manifest, processes, publish, vectors
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Blessing
from components.index_pusher.index import Index, Plan
from components.index_pusher.push import Blessings, push
from components.index_pusher.signatures import Candidates
from tests import planted_models
from tests.conftest import needs_scann

pytestmark = needs_scann

SIZE, DIM, K = 2_000, 16, 50
CONFIG = IndexConfig(recall_k=K, num_leaves=20)
WIDE, NARROW = Plan("partitioned", 20, 16, 1_000), Plan("partitioned", 20, 2, 100)


def candidates(size: int, seed: int = 0) -> Candidates:
    embeddings = np.random.default_rng(seed).normal(size=(size, DIM)).astype(np.float32)
    names = [f"Léon {row}".encode() for row in range(size)]
    return Candidates(np.array(names, object), np.array(names, object), np.arange(size), embeddings)


def queries() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(200, DIM)).astype(np.float32)


def with_new(earlier: Candidates, count: int) -> Candidates:
    """The same in another order, with new titles between them, each next to a query."""
    order = np.random.default_rng(2).permutation(len(earlier) + count)
    names = [f"New {row}".encode() for row in range(count)]
    new = 3 * queries()[-count:]
    return Candidates(
        np.concatenate([earlier.titles, np.array(names, object)])[order],
        np.concatenate([earlier.ids, np.array(names, object)])[order],
        np.arange(len(order)),
        np.concatenate([earlier.embeddings, new])[order],
    )


class _Composite(tf.Module):
    """Keeps an index where a composite does."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        self.index = index


def write_bundle(folder: pathlib.Path, of: Candidates, index: Index, config: IndexConfig = CONFIG) -> str:
    """Write what is read of an earlier bundle."""
    options = tf.saved_model.SaveOptions(namespace_whitelist=list(index.namespaces))
    tf.saved_model.save(_Composite(index), str(folder / "recommend"), options=options)
    vectors.write(of, str(folder))
    measured = index_gate.Measurement(1.0, 1.0, 1.0)
    digests = {"index_config": manifest.digest_of(config.model_dump())}
    manifest.write(str(folder), digests, index_gate.figures(index, measured, len(of)))
    return str(folder)


@pytest.fixture(scope="module")
def earlier() -> Candidates:
    return candidates(SIZE)


@pytest.fixture(scope="module")
def built(earlier: Candidates, tmp_path_factory: pytest.TempPathFactory) -> str:
    index = Index(earlier.embeddings, WIDE, K)
    return write_bundle(tmp_path_factory.mktemp("earlier"), earlier, index)


def found(index: Index, k: int) -> np.ndarray:
    return index.search(tf.constant(queries()), tf.constant(k))[0].numpy()


def test_what_is_new_is_found_and_nothing_is_trained(earlier: Candidates, built: str, monkeypatch) -> None:
    now = with_new(earlier, 40)
    trained = incremental.read(built, "recommend", now, CONFIG)
    assert trained.plan == WIDE
    np.testing.assert_array_equal(now.titles[trained.rows], earlier.titles)

    monkeypatch.setattr("components.index_pusher.index._trained", None)
    grown, measured = index_gate.grow(now.embeddings, queries(), CONFIG, trained)
    assert grown.tail_size == 40 and measured.recall >= 0.99
    firsts, (exact, _) = found(grown, 10)[:, 0], index_gate.brute_force(queries(), now.embeddings, 1)
    new = np.array([title.startswith(b"New") for title in now.titles])
    assert new[exact[-40:, 0]].all(), "each of the last queries has a new title next to it"
    np.testing.assert_array_equal(firsts[-40:], exact[-40:, 0])


def test_the_earlier_titles_are_found_as_the_earlier_index_finds_them(
    earlier: Candidates, built: str
) -> None:
    order = np.random.default_rng(5).permutation(SIZE)
    now = Candidates(earlier.titles[order], earlier.ids[order], np.arange(SIZE), earlier.embeddings[order])
    trained = incremental.read(built, "recommend", now, CONFIG)
    same = Index(now.embeddings, trained.plan, K, trained)
    assert same.tail_size == 0
    before = Index(earlier.embeddings, WIDE, K)
    of_same = now.titles[found(same, K)]
    shared = [len({*a} & {*b}) / K for a, b in zip(of_same, earlier.titles[found(before, K)], strict=True)]
    assert np.mean(shared) > 0.98


def test_it_can_be_asked_for_the_whole_catalogue(earlier: Candidates, built: str) -> None:
    now = with_new(earlier, 40)
    grown = Index(now.embeddings, WIDE, K, incremental.read(built, "recommend", now, CONFIG))
    expected, _ = index_gate.brute_force(queries(), now.embeddings, SIZE + 40)
    np.testing.assert_array_equal(np.sort(found(grown, SIZE + 40)), np.sort(expected))


def test_an_index_on_an_index_keeps_what_the_first_trained(
    earlier: Candidates, built: str, tmp_path: pathlib.Path
) -> None:
    second = with_new(earlier, 30)
    grown = Index(second.embeddings, WIDE, K, incremental.read(built, "recommend", second, CONFIG))
    third = with_new(earlier, 60)
    trained = incremental.read(write_bundle(tmp_path, second, grown), "recommend", third, CONFIG)
    np.testing.assert_array_equal(third.titles[trained.rows], earlier.titles)
    assert index_gate.grow(third.embeddings, queries(), CONFIG, trained)[0].tail_size == 60


def test_scores_of_nan_from_what_was_trained_are_not_sorted_away(earlier: Candidates, built: str) -> None:
    now = with_new(earlier, 40)
    trained = incremental.read(built, "recommend", now, CONFIG)
    broken = {**trained.state, "dataset": np.full_like(trained.state["dataset"], np.nan)}
    grown = Index(now.embeddings, WIDE, K, dataclasses.replace(trained, state=broken))
    _, scores = grown.approximate(tf.constant(queries()), tf.constant(K))
    assert np.isnan(scores.numpy()).all()
    expected, _ = index_gate.brute_force(queries(), now.embeddings, K)
    np.testing.assert_array_equal(found(grown, K), expected)


def _one_gone(of: Candidates) -> Candidates:
    return Candidates(of.titles[1:], of.ids[1:], of.popularity[1:], of.embeddings[1:])


def _retrained(of: Candidates) -> Candidates:
    return dataclasses.replace(of, embeddings=of.embeddings + np.float32(1e-3))


@pytest.mark.parametrize(
    "change, config, words",
    [
        (_one_gone, CONFIG, "1 titles of the earlier index are gone, Léon 0 among them"),
        (_retrained, CONFIG, "have other vectors now"),
        (lambda of: with_new(of, 200), CONFIG, r"9\.1% of the titles are new .* at most 5\.0%"),
        (lambda of: of, IndexConfig(recall_k=K, num_leaves=21), "has another configuration"),
    ],
)
def test_an_index_that_cannot_be_built_on_says_why(
    earlier: Candidates,
    built: str,
    change: Callable[[Candidates], Candidates],
    config: IndexConfig,
    words: str,
) -> None:
    with pytest.raises(ValueError, match=words):
        incremental.read(built, "recommend", change(earlier), config)


def _relist(folder: pathlib.Path, change: Callable[[dict], None]) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "harm, words",
    [
        (lambda folder: (folder / "recommend" / "saved_model.pb").write_bytes(b""), "is changed"),
        (
            lambda folder: _relist(folder, lambda content: content["libraries"].update(scann="0.1")),
            "trained by ScaNN 0.1",
        ),
        (
            lambda folder: _relist(folder, lambda content: content["metrics"].update(index_kind="hashed")),
            "is hashed; one of this size is partitioned",
        ),
    ],
)
def test_a_bundle_of_another_kind_or_damaged_is_not_built_on(
    earlier: Candidates, tmp_path: pathlib.Path, harm: Callable[[pathlib.Path], None], words: str
) -> None:
    write_bundle(tmp_path, earlier, Index(earlier.embeddings, WIDE, K))
    harm(tmp_path)
    with pytest.raises(ValueError, match=words):
        incremental.read(str(tmp_path), "recommend", earlier, CONFIG)


def test_a_recall_that_does_not_hold_has_the_index_built_anew(
    earlier: Candidates, tmp_path: pathlib.Path
) -> None:
    narrow = write_bundle(tmp_path / "bundle", earlier, Index(earlier.embeddings, NARROW, K))
    destination = str(tmp_path / "destination")
    publish.publish(narrow, destination)
    now = with_new(earlier, 40)
    index, measured, origin = bundle._index(now, queries(), CONFIG, destination)
    assert origin["index_built_on"] == 0 and "of the exact top 50, under" in origin["index_built_anew"]
    assert index.tail_size == 0 and measured.recall >= 0.99
    assert index.plan.leaves_to_search > NARROW.leaves_to_search


def test_where_nothing_is_trained_nothing_is_looked_at() -> None:
    assert incremental.in_service("nowhere://here", "recommend", candidates(300), IndexConfig()) is None


def test_nothing_in_service_is_nothing_to_build_on(earlier: Candidates, tmp_path: pathlib.Path) -> None:
    assert incremental.in_service(str(tmp_path / "none"), "recommend", earlier, CONFIG) is None


def grown_world(world: planted_models.World, count: int) -> planted_models.World:
    """The same world with new titles before all others."""
    rng = np.random.default_rng(3)
    return dataclasses.replace(
        world,
        titles=[f"New {row} (1998)" for row in range(count)] + world.titles,
        ids=[str(5_000 + row) for row in range(count)] + world.ids,
        popularity=np.concatenate([np.zeros(count, int), world.popularity]),
        embeddings=np.concatenate(
            [rng.normal(size=(count, planted_models.DIM)).astype(np.float32), world.embeddings]
        ),
        seen=[rows + count for rows in world.seen],
    )


ASK = processes.ask_saved_models  # in a fresh process, which the fixture below does not
REQUEST: dict[str, tuple[list[int], type]] = {
    **{name: ([], np.int64) for name in ("timestamp", "user_age")},
    **{name: ([], np.bytes_) for name in ("user_gender", "user_occupation")},
    **{name: ([0], np.bytes_) for name in ("history_title", "exclude_title")},
    "history_rating": ([0], np.float32),
    "history_timestamp": ([0], np.int64),
}


@pytest.mark.usefixtures("in_process")
@pytest.mark.slow("pushes three times")
def test_a_push_builds_on_the_version_in_service_and_proves_the_whole(
    planted, tmp_path: pathlib.Path
) -> None:
    config = IndexConfig(num_leaves=10)
    destination = str(tmp_path / "destination")

    def pushed(world: planted_models.World, name: str) -> dict:
        root = tmp_path / name
        retrieval = planted_models.write_model(world, root / "retrieval", planted_models.RETRIEVAL)
        ranking = planted_models.write_model(world, root / "ranking", planted_models.RANKING)
        sources = dataclasses.replace(
            planted.sources, retrieval_dir=retrieval, ranking_dir=ranking, config=config
        )
        blessings = Blessings(Blessing(1, retrieval), Blessing(1, ranking))
        return push(sources, blessings, destination, str(root / "archive"))

    first = pushed(planted.world, "first")
    assert (first["pushed"], first["index_kind"], first["index_built_on"]) == (1, "partitioned", 0)
    assert "index_built_anew" not in first
    second = pushed(grown_world(planted.world, 6), "second")
    assert (second["pushed_version"], second["index_built_on"], second["index_tail"]) == (2, 1, 6)
    assert second["num_candidates"] == 306
    assert second["index_recall"] >= 0.99 and second["recommend_recall"] >= 0.99
    third = pushed(planted_models.make_world(seed=4), "third")
    assert (third["pushed_version"], third["index_built_on"]) == (3, 0)
    assert third["index_built_anew"] == "the titles of the earlier index have other vectors now"

    recommend = os.path.join(second["pushed_destination"], "recommend")
    request = {
        **{name: np.zeros([2, *shape], kind) for name, (shape, kind) in REQUEST.items()},
        "user_id": np.array([b"1", b"40"], object),
        "k": np.array(20, np.int32),
    }
    (fresh,) = ASK([processes.Job(recommend, "serving_default", request)], True)
    assert fresh["num_returned"].tolist() == [20, 9], "the second had three titles left, and has the six new"
    assert sum(title.startswith(b"New") for title in fresh["movie_title"][1]) == 6
