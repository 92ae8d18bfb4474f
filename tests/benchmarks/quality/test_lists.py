"""Lists of planted models, asked for before each row of eval: the places of titles that are known."""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow as tf

from benchmarks.quality import lists
from modules import features
from tests.helpers import planted_models
from tests.helpers.planted_requests import exact_best

# Users with more titles left than a list has places.
USERS = range(38)
NOW = 879_999_000


def test_the_place_of_a_title_is_that_in_the_list_and_what_is_excluded_has_none(
    planted, tmp_path: pathlib.Path
) -> None:
    world = planted.world
    places = [7 * user % 100 for user in USERS]
    with tf.io.TFRecordWriter(str(tmp_path / "rows.gz"), "GZIP") as writer:
        for user, place in zip(USERS, places, strict=True):
            best = exact_best(world, world.user_vectors[user], world.seen[user], place + 1)
            for title in (best[-1], *world.seen[user][:1]):
                example = planted_models.rating(world.users[user], world.titles[title], NOW)
                excluded = [world.ids[at].encode() for at in world.seen[user]]
                example.features.feature[features.EXCLUDE_ID].bytes_list.value.extend(excluded)
                writer.write(example.SerializeToString())
    retrieval = pathlib.Path(planted.sources.retrieval_dir)
    found = lists.columns(retrieval, pathlib.Path(planted.sources.ranking_dir), 0.0, tmp_path)
    ranks, users = found[features.RANK_UNSEEN], found[features.USER_ID].astype(str)
    is_excluded = ranks == features.EXCLUDED_ROW
    assert ranks[~is_excluded].tolist() == places
    assert users[~is_excluded].tolist() == [world.users[user] for user in USERS]
    assert is_excluded.sum() == sum(len(world.seen[user]) > 0 for user in USERS)
    assert np.all(found[features.TIMESTAMP] == NOW)
