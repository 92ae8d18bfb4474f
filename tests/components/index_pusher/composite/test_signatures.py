"""Models that cannot be served are refused in words, before anything is built on them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from components.index_pusher.composite import signatures
from components.index_pusher.gates import Refusal
from modules import features
from tests.helpers import planted_models, planted_requests


@pytest.fixture(scope="module")
def small() -> planted_models.World:
    return planted_models.make_world(num_candidates=20)


def loaded(world: planted_models.World, folder: pathlib.Path) -> Any:
    path = planted_models.write_model(world, folder, planted_models.RETRIEVAL, tflite=False)
    return signatures.load(path, "retrieval", planted_models.RETRIEVAL)


def queries_of(users: list[str], histories: Sequence[planted_models.History]) -> dict[str, np.ndarray]:
    """Columns as of queries.parse, of users of whom no more is known."""
    queries = {row.name: np.full(len(users), row.default) for row in features.QUERY_FEATURES}
    queries[features.USER_ID] = np.array([user.encode() for user in users], object)
    history = {name: tensor.numpy() for name, tensor in planted_requests.history_columns(histories).items()}
    return {**queries, **history}


def test_the_catalogue_and_the_queries_are_read_as_planted(small, tmp_path: pathlib.Path) -> None:
    model = loaded(small, tmp_path)
    candidates = signatures.read_candidates(model)
    assert [title.decode() for title in candidates.titles] == small.titles
    np.testing.assert_array_equal(candidates.embeddings, small.embeddings)
    histories = [[], [(small.titles[4], 5.0, 1)], [], [(small.titles[row], 5.0, 1) for row in (2, 9, 11)]]
    embedded = signatures.embed(model, queries_of(["1", "40", "nobody", "nobody"], histories), batch=3)
    mean = small.embeddings[[2, 9, 11]].mean(axis=0)
    np.testing.assert_allclose(
        embedded, [small.user_vectors[0], small.user_vectors[39], np.zeros(8), mean], atol=1e-6
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_candidate_embeddings_that_are_not_finite_are_refused(small, tmp_path, value: float) -> None:
    embeddings = small.embeddings.copy()
    embeddings[7, 3] = value
    model = loaded(dataclasses.replace(small, embeddings=embeddings), tmp_path)
    with pytest.raises(Refusal, match="1 of 20 candidate embeddings hold NaN or infinity"):
        signatures.read_candidates(model)


def test_query_embeddings_that_are_not_finite_are_refused(small, tmp_path: pathlib.Path) -> None:
    vectors = small.user_vectors.copy()
    vectors[1] = np.nan
    model = loaded(dataclasses.replace(small, user_vectors=vectors), tmp_path)
    with pytest.raises(Refusal, match="1 of 3 query embeddings hold NaN"):
        signatures.embed(model, queries_of(["1", "2", "3"], [[]] * 3))


def test_a_title_that_occurs_twice_is_refused(small, tmp_path: pathlib.Path) -> None:
    model = loaded(
        dataclasses.replace(small, titles=["Twice (1990)", *small.titles[:18], "Twice (1990)"]), tmp_path
    )
    with pytest.raises(Refusal, match=r"holds a title 2 times: Twice \(1990\)"):
        signatures.read_candidates(model)


def test_a_model_without_the_signatures_is_refused_by_name(planted, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refusal, match="the retrieval model lacks the signature query and seen; it has rate"):
        signatures.load(planted.sources.ranking_dir, "retrieval", ("query", "rate", "seen"))
    with pytest.raises(Refusal, match="the ranking model holds no SavedModel at .*/Format-Serving"):
        signatures.load(str(tmp_path), "ranking", ("rate",))
