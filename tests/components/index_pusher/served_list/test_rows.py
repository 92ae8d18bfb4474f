"""What is read to judge a list, from planted splits."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.served_list import rows
from modules import features
from tests.helpers import planted_models


@pytest.fixture(scope="module")
def world() -> planted_models.World:
    return planted_models.make_world()


@pytest.fixture(scope="module")
def splits(world, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("splits")
    planted_models.write_queries(world, root / "eval")
    planted_models.write_train(world, root / "train")
    return root


def users_of(records: list[bytes]) -> list[bytes]:
    return rows.parse(records).queries[features.USER_ID].tolist()


def test_a_small_split_is_read_whole(world, splits: pathlib.Path) -> None:
    users = users_of(rows.whole_users(str(splits / "eval"), 1_000))
    assert len(users) == 5 * len(world.users) and set(users) == {user.encode() for user in world.users}


@pytest.mark.parametrize("size", [60, 7, 2])
def test_of_a_large_one_some_users_are_read_with_all_their_rows(splits: pathlib.Path, size: int) -> None:
    users = users_of(rows.whole_users(str(splits / "eval"), size))
    counts = {user: users.count(user) for user in users}
    assert set(counts.values()) == {5}
    assert len(counts) == max(1, size // 5)


def test_which_users_does_not_depend_on_the_files(splits: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (name,) = (splits / "eval").iterdir()
    records = list(tf.data.TFRecordDataset(str(name), "GZIP").as_numpy_iterator())
    for number, part in enumerate((records[150:], records[:150])):
        with tf.io.TFRecordWriter(str(tmp_path / f"{number}.gz"), "GZIP") as writer:
            for record in part:
                writer.write(record)
    one, other = (rows.whole_users(str(folder), 50) for folder in (splits / "eval", tmp_path))
    assert sorted(one) == sorted(other)


def test_train_tells_the_last_moment_the_titles_and_the_genres(world, splits: pathlib.Path) -> None:
    candidates = Candidates(
        titles=np.array([title.encode() for title in world.titles], object),
        ids=np.array([name.encode() for name in world.ids], object),
        popularity=world.popularity,
        embeddings=world.embeddings,
    )
    train = rows.read_train(str(splits / "train"), {b"1", b"2", b"39"}, candidates)
    assert set(train.latest) == {b"2", b"39"}, "user 1 has no row in train"
    assert train.latest[b"39"] == 879_996_400 - world.seen[38].min()
    assert train.rated[b"2"].tolist() == sorted(world.seen[1])
    seen = np.unique(np.concatenate(world.seen))
    assert train.genres.sum(axis=1).tolist() == [2 if row in seen else 0 for row in range(len(world.titles))]
    assert train.genres[seen[seen % 2 == 0][0]].tolist() == [True, True, False], "comedy and drama"


def test_without_a_train_split_nothing_is_told(world) -> None:
    candidates = Candidates(np.array([b"a"]), np.array([b"1"]), np.array([0]), np.zeros([1, 2], np.float32))
    train = rows.read_train("", {b"1"}, candidates)
    assert not train.latest and train.genres.shape == (1, 0)
