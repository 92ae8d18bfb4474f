"""The candidate vectors: read back by a vector database from PyPI, as the page says."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from common import parquet
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.gates import Refusal
from components.index_pusher.index import vectors
from tests.components.index_pusher.index import exact_search
from tests.docs.blocks import blocks


def candidates_of(world: Any) -> Candidates:
    return Candidates(
        titles=np.array([title.encode() for title in world.titles], object),
        ids=np.array([entry.encode() for entry in world.ids], object),
        popularity=world.popularity.astype(np.int64),
        embeddings=world.embeddings,
    )


def test_faiss_finds_the_neighbours_that_exact_search_finds(
    pushed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "pushed").symlink_to(pushed.destination)
    monkeypatch.chdir(tmp_path)
    world = pushed.planted.world
    (code,) = blocks("vectors.md", "python")
    names: dict[str, Any] = {"query_embeddings": world.user_vectors}
    exec(code, names)
    positions, scores = exact_search.best(world.user_vectors, world.embeddings, 10)
    assert names["titles"].tolist() == [[world.titles[row] for row in rows] for rows in positions]
    np.testing.assert_allclose(names["scores"], scores, atol=1e-5)


def test_the_file_is_as_the_document_says(pushed) -> None:
    world = pushed.planted.world
    path = pushed.destination / "current" / "vectors" / "candidates.parquet"
    table = parquet.read_table(path)
    assert table.column_names == ["movie_id", "movie_title", "popularity", "vector"]
    element = pa.field("element", pa.float32())
    assert table.schema.field("vector").type == pa.list_(element, world.embeddings.shape[1])
    assert table.schema.metadata == {b"marquee.format": b"1", b"marquee.similarity": b"inner_product"}
    assert table["movie_id"].to_pylist() == world.ids
    assert table["movie_title"].to_pylist() == world.titles
    assert table["popularity"].to_pylist() == world.popularity.tolist()
    assert not any(table[name].null_count for name in table.column_names)


@pytest.mark.parametrize("compliant", [False, True], ids=["as pyarrow 10", "as pyarrow 18"])
def test_what_was_written_is_read_back_however_pyarrow_names_a_lists_element(
    planted, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, compliant: bool
) -> None:
    """With what pyarrow 18 does by default."""
    write = functools.partial(parquet.write_table, use_compliant_nested_type=compliant)
    monkeypatch.setattr(parquet, "write_table", write)
    candidates = candidates_of(planted.world)
    vectors.check(vectors.write(candidates, str(tmp_path)), candidates)


@pytest.mark.parametrize("change", ["embeddings", "titles"])
def test_a_file_that_is_not_what_was_written_is_refused(planted, tmp_path: pathlib.Path, change: str) -> None:
    candidates = candidates_of(planted.world)
    path = vectors.write(candidates, str(tmp_path))
    column = getattr(candidates, change).copy()
    column[7] = column[8]
    with pytest.raises(
        Refusal, match="read back with another column " + {"embeddings": "vector"}.get(change, "")
    ):
        vectors.check(path, dataclasses.replace(candidates, **{change: column}))


def test_vectors_of_another_width_are_refused(planted, tmp_path: pathlib.Path) -> None:
    candidates = candidates_of(planted.world)
    path = vectors.write(candidates, str(tmp_path))
    with pytest.raises(Refusal, match="another schema"):
        vectors.check(path, dataclasses.replace(candidates, embeddings=candidates.embeddings[:, :3]))
