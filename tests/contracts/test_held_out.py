"""The held-out part of the planted ratings: its rows, and what is measured on them."""

from __future__ import annotations

import collections
import itertools
import pathlib
import random
import types

import numpy as np
import pytest
import tensorflow as tf

from modules import features, training
from modules.data import dataset
from modules.search_space import SearchConfig
from modules.training import TrainingData
from modules.tuners import held_out
from tests.helpers import planted_ratings

Pairs = set[tuple[int, bytes]]
_SEARCH = SearchConfig(space={})


def pairs(files: list[str], data: TrainingData) -> Pairs:
    """Who rated what."""
    read: Pairs = set()
    for batch in dataset.ratings(files, data.transform):
        users, titles = batch[features.USER_ID][:, 0].numpy(), batch[features.CANDIDATE_KEY][:, 0].numpy()
        read |= set(zip(users.tolist(), titles.tolist(), strict=True))
    return read


def test_the_parts_share_nothing_and_are_all_of_train(fn_args: types.SimpleNamespace) -> None:
    data = held_out.load(fn_args, _SEARCH)
    fitted, rest = pairs(data.train_files, data), pairs(data.eval_files, data)
    every = pairs(fn_args.train_files, data)
    assert fitted | rest == every
    assert not fitted & rest
    assert len(rest) / len(every) == pytest.approx(0.125, abs=0.01)
    # What a user has rated, and is not shown again, is of the first part alone.
    seen = zip(data.interactions.users, data.catalogue.titles[data.interactions.positions], strict=True)
    assert set(seen) == fitted


def test_no_fitted_row_knows_of_a_held_out_one(
    fn_args: types.SimpleNamespace, tmp_path: pathlib.Path
) -> None:
    """Every user's last row but one is of a planted title, which the last row has in its history."""
    data = training.load(fn_args)
    planted_index, planted_title = 4711, b"Planted (1999)"
    rows = collections.defaultdict(list)
    for record in dataset.records(fn_args.train_files).as_numpy_iterator():
        row = tf.train.Example.FromString(record).features.feature
        rows[row[features.USER_ID].int64_list.value[0]].append(row)
    for of_user in rows.values():
        of_user.sort(key=lambda row: row[features.TIMESTAMP].int64_list.value[0])
        of_user[-2][features.CANDIDATE_KEY].bytes_list.value[:] = [planted_title]
        of_user[-2][features.MOVIE_TITLE].int64_list.value[:] = [planted_index]
        of_user[-1][features.HISTORY_TITLE].int64_list.value[0] = planted_index + 1
    with tf.io.TFRecordWriter(str(tmp_path / "rows"), "GZIP") as writer:
        for row in itertools.chain(*rows.values()):
            example = tf.train.Example(features=tf.train.Features(feature=row))
            writer.write(example.SerializeToString())

    parts = held_out.split([str(tmp_path / "rows")], data.transform, 0.125, 42, str(tmp_path / "parts"))
    (fitted,), (rest,) = (dataset.ratings([part], data.transform) for part in parts)
    for batch, users in ((rest, planted_ratings.NUM_USERS), (fitted, 0)):
        assert np.sum(batch[features.CANDIDATE_KEY].numpy() == planted_title) == users
        assert np.sum(batch[features.MOVIE_TITLE].numpy() == planted_index) == users
        assert np.sum(batch[features.HISTORY_TITLE].numpy() == planted_index + 1) == users


def test_a_fitted_rows_history_holds_fitted_titles_that_are_earlier_than_the_row(
    fn_args: types.SimpleNamespace,
) -> None:
    data = held_out.load(fn_args, _SEARCH)
    (batch,) = dataset.ratings(data.train_files, data.transform)
    columns = (features.USER_ID, features.MOVIE_TITLE, features.TIMESTAMP)
    users, titles, seconds = (batch[name].numpy()[:, 0].tolist() for name in columns)
    when = dict(zip(zip(users, titles, strict=True), seconds, strict=True))
    histories = batch[features.HISTORY_TITLE].numpy().tolist()
    known = [
        (when.get((user, index - 1), np.inf), second)
        for user, second, history in zip(users, seconds, histories, strict=True)
        for index in history
        if index
    ]
    assert len(known) > 10_000
    assert all(earlier < second for earlier, second in known)


def test_users_and_timestamps_decide_the_parts_and_not_the_order_of_rows(
    fn_args: types.SimpleNamespace, tmp_path: pathlib.Path
) -> None:
    def parts(files: list[str], seed: int, name: str) -> tuple[Pairs, Pairs]:
        fitted, rest = held_out.split(files, data.transform, 0.125, seed, str(tmp_path / name))
        return pairs([fitted], data), pairs([rest], data)

    data = training.load(fn_args)
    paths = tf.io.gfile.glob(fn_args.train_files)
    records = list(tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator())
    random.Random(0).shuffle(records)
    for shard in range(3):
        with tf.io.TFRecordWriter(str(tmp_path / f"shard-{shard}"), "GZIP") as writer:
            for record in records[shard::3]:
                writer.write(record)

    here = parts(fn_args.train_files, 1, "here")
    assert parts([str(tmp_path / "shard-*")], 1, "there") == here
    assert parts(fn_args.train_files, 2, "elsewhere") != here


def test_a_part_without_rows_is_refused_in_words(fn_args: types.SimpleNamespace) -> None:
    search = _SEARCH.model_copy(update={"held_out": 1e-6})
    with pytest.raises(
        ValueError, match="must have rows; .* fitted to and 0 held out. Change tuning.held_out"
    ):
        held_out.load(fn_args, search)


def test_titles_found_are_counted_as_numpy_counts_them(fn_args: types.SimpleNamespace) -> None:
    data = held_out.load(fn_args, _SEARCH)
    assert (len(data.catalogue), held_out.depth(data)) == (51, 5)
    draw = np.random.default_rng(0)
    num_users = data.interactions.num_users + 1
    queries = draw.normal(size=(num_users, 4)).astype(np.float32)
    candidates = draw.normal(size=(len(data.catalogue), 4)).astype(np.float32)
    fitted = pairs(data.train_files, data)
    (rest,) = dataset.ratings(data.eval_files, data.transform)
    vocabulary = [b"", *data.transform.vocabulary_by_name(features.MOVIE_TITLE)]
    hits = []
    for user, title, history in zip(
        rest[features.USER_ID][:, 0].numpy(),
        rest[features.CANDIDATE_KEY][:, 0].numpy(),
        rest[features.HISTORY_TITLE].numpy(),
        strict=True,
    ):
        scores = dict(zip(data.catalogue.titles, candidates @ queries[user], strict=True))
        known = {title for user_of_title, title in fitted if user_of_title == user}
        known |= {vocabulary[index] for index in history}
        better = [t for t in scores if scores[t] > scores[title] and t not in known]
        hits.append(len(better) < 5)

    found = held_out.found(
        data,
        lambda batch: tf.gather(queries, batch[features.USER_ID][:, 0]),
        lambda _: tf.constant(candidates),
    )
    assert 0 < np.mean(hits) < 1
    assert found == pytest.approx(np.mean(hits))
    broken = held_out.found(
        data,
        lambda batch: tf.fill([len(batch[features.USER_ID]), 4], np.nan),
        lambda _: tf.constant(candidates),
    )
    assert np.isnan(broken)


def test_the_error_of_ratings_is_that_of_numpy(fn_args: types.SimpleNamespace) -> None:
    data = held_out.load(fn_args, _SEARCH)
    (batch,) = dataset.ratings(data.eval_files, data.transform)
    truth = batch[features.RATING].numpy()[:, 0]
    users = batch[features.USER_ID].numpy()[:, 0]
    # Some beyond what a rating can be, which serving clips.
    predicted = np.clip(users / 4, 1.5, 4.5)
    expected = np.mean(np.square(predicted - truth))

    error, explained = held_out.rating_error(
        data, lambda batch: tf.cast(batch[features.USER_ID], tf.float32) / 4
    )
    assert error == pytest.approx(expected**0.5)
    assert explained == pytest.approx(1 - expected / truth.var())
    mean = float(truth.mean())
    _, explained = held_out.rating_error(data, lambda batch: tf.fill([len(batch[features.RATING]), 1], mean))
    assert explained == pytest.approx(0, abs=1e-5)
