"""What a Trainer reads: order, positions, and who rated what."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Mapping
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from modules import features
from modules.data import dataset
from modules.data.dataset import Catalogue, Interactions
from tests.helpers import planted_ratings

CANDIDATE_SIDE = [f.name for f in features.TRANSFORMED_FEATURES if f.side is features.Side.CANDIDATE]
TITLES = ["Zulu (1964)", "Éloge (2001)", "Alien (1979)", "alien (1979)"]


def films(titles: list[str]) -> list[dict]:
    return [
        {
            features.MOVIE_ID: str(row),
            features.MOVIE_TITLE: title,
            features.MOVIE_GENRES: ["Drama"],
            features.MOVIE_YEAR: 1900 + row,
        }
        for row, title in enumerate(titles)
    ]


def years(raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Stands for Transform's layer: every transformed feature is the year."""
    return dict.fromkeys(CANDIDATE_SIDE, raw[features.MOVIE_YEAR])


def catalogue(titles: list[str]) -> Catalogue:
    encoded = np.array(sorted(title.encode() for title in titles), object)
    return Catalogue(movie_ids=encoded, titles=encoded, transformed={})


def batch(users: list[int], titles: list[str], ratings: list[float], genders: list[int]) -> dict:
    columns = {
        features.USER_ID: tf.constant(users, tf.int64),
        features.CANDIDATE_KEY: tf.constant(titles),
        features.RATING: tf.constant(ratings),
        features.TIMESTAMP: tf.constant([int(10 * rating) for rating in ratings], tf.int64),
        features.USER_GENDER: tf.constant(genders, tf.int64),
        features.USER_AGE: tf.constant(users, tf.int64),
        features.USER_OCCUPATION: tf.constant(users, tf.int64),
    }
    return {name: column[:, tf.newaxis] for name, column in columns.items()}


def test_the_catalogue_is_in_the_order_of_its_titles_whatever_the_file_s(tmp_path: pathlib.Path) -> None:
    for name, titles in (("a", TITLES), ("b", TITLES[::-1])):
        pattern = planted_ratings.write(map(planted_ratings.serialized, films(titles)), tmp_path / name)
        loaded = dataset.load_catalogue([pattern], years)
        assert [title.decode() for title in loaded.titles] == sorted(TITLES, key=str.encode)
        of_title = {row[features.MOVIE_TITLE].encode(): row for row in films(titles)}
        for position, title in enumerate(loaded.titles):
            assert loaded.movie_ids[position] == of_title[title][features.MOVIE_ID].encode()
            assert loaded.transformed[features.MOVIE_YEAR][position] == of_title[title][features.MOVIE_YEAR]
        assert sorted(loaded.transformed) == sorted(CANDIDATE_SIDE)


def test_features_by_index_are_those_of_the_title_or_none_where_titles_share_the_index() -> None:
    # Four titles of a vocabulary of two: the other two share its last index.
    titles = np.array([b"Alien", b"Big", b"Heat", b"Zulu"], object)
    transformed = {
        features.MOVIE_TITLE: np.array([[2], [1], [2], [0]]),
        features.MOVIE_GENRES: np.array([[4, 0], [3, 5], [6, 0], [7, 2]]),
    }
    found = Catalogue(titles, titles, transformed).features_of_indices(3)
    assert found[features.MOVIE_TITLE].tolist() == [[0], [1], [2]]
    assert found[features.MOVIE_GENRES].tolist() == [[7, 2], [3, 5], [0, 0]]
    whole = Catalogue(titles[1:], titles[1:], {name: rows[1:] for name, rows in transformed.items()})
    assert whole.features_of_indices(3)[features.MOVIE_GENRES].tolist() == [[7, 2], [3, 5], [6, 0]]


def test_a_title_twice_is_refused(tmp_path: pathlib.Path) -> None:
    rows = map(planted_ratings.serialized, films(["Alien (1979)", "Zulu (1964)", "Alien (1979)"]))
    with pytest.raises(ValueError, match="titles must be unique in the catalogue"):
        dataset.load_catalogue([planted_ratings.write(rows, tmp_path / "twice")], years)


def test_positions_are_found_and_cold_start_users_are_none() -> None:
    titles = np.array([b"Zulu (1964)", b"", b"Alien (1979)", b"Zulu (1965)", b"zzz"], object)
    assert catalogue(TITLES).positions(titles).tolist() == [1, -1, 0, -1, -1]


def test_interactions_are_read_over_all_batches() -> None:
    read = dataset.load_interactions(
        [batch([2, 0], ["b", "a"], [4.0, 1.0], [1, 2]), batch([0], ["c"], [2.5], [2])],
        catalogue(["a", "b", "c", "d"]),
        num_users=3,
    )
    assert read.users.tolist() == [2, 0, 0]
    assert read.positions.tolist() == [1, 0, 2]
    assert read.ratings.tolist() == [4.0, 1.0, 2.5]
    assert read.timestamps.tolist() == [40, 10, 25]
    assert (read.mean_rating, read.rating_range) == (2.5, (1.0, 4.0))
    # One row for each of the three users, one for cold-start users.
    assert read.user_features[features.USER_GENDER].tolist() == [2, 0, 1, 0]
    assert sorted(read.user_features) == ["user_age", "user_gender", "user_occupation"]
    assert read.popularity(4).tolist() == [1, 1, 1, 0]


def test_a_rated_title_that_is_no_candidate_is_refused() -> None:
    with pytest.raises(ValueError, match="every rated title must be in the catalogue; it lacks 'x'"):
        dataset.load_interactions([batch([0, 0], ["a", "x"], [1.0, 2.0], [0, 0])], catalogue(["a", "z"]), 1)


def test_seen_lists_each_title_of_a_user_once_and_nothing_of_cold_start_users() -> None:
    interactions = Interactions(
        users=np.array([1, 3, 1, 1, 3]),
        positions=np.array([7, 2, 0, 7, 9]),
        ratings=np.full(5, 3.0),
        timestamps=np.arange(5),
        mean_rating=3.0,
        rating_range=(1.0, 5.0),
        user_features={},
        num_users=4,
    )
    positions, splits = interactions.seen()
    assert (positions.dtype, splits.dtype) == (np.int32, np.int64)
    of_user = [positions[start:end].tolist() for start, end in itertools.pairwise(splits)]
    assert of_user == [[], [0, 7], [], [2, 9], []]
    assert interactions.popularity(10).tolist() == [1, 0, 1, 0, 0, 0, 0, 2, 0, 1]


def test_the_latest_ratings_come_first_and_titles_of_one_second_in_descending_order() -> None:
    length = features.HISTORY_LENGTH
    many = np.arange(length + 2)
    interactions = Interactions(
        users=np.concatenate([[2, 0, 2, 2, 0], np.full(length + 2, 1)]),
        positions=np.concatenate([[4, 7, 9, 5, 6], many]),
        ratings=np.concatenate([[1.0, 2.0, 3.0, 4.0, 5.0], many / 2]),
        timestamps=np.concatenate([[10, 20, 30, 30, 5], 100 + many]),
        mean_rating=3.0,
        rating_range=(1.0, 5.0),
        user_features={},
        num_users=3,
    )
    history = interactions.latest(length)
    assert history.positions.shape == (4, length)
    assert history.positions[[0, 2], :4].tolist() == [[7, 6, -1, -1], [9, 5, 4, -1]]
    assert history.ratings[[0, 2], :4].tolist() == [[2.0, 5.0, 0.0, 0.0], [3.0, 4.0, 1.0, 0.0]]
    assert history.timestamps[[0, 2], :4].tolist() == [[20, 5, 0, 0], [30, 30, 10, 0]]
    # The two earliest are left out.
    assert history.positions[1].tolist() == many[:1:-1].tolist()
    assert (history.positions[3] == -1).all()


def test_who_is_left_out_of_the_vocabulary_leaves_cold_start_users_nothing() -> None:
    """Two users have an index, the rows of others the one that stands for cold-start users too."""
    rows = [batch([2, 1], ["b", "a"], [4.0, 1.0], [3, 2]), batch([2, 0], ["c", "c"], [2.5, 3.0], [2, 1])]
    read = dataset.load_interactions(rows, catalogue(["a", "b", "c"]), num_users=2)
    assert read.users.tolist() == [2, 1, 2, 0]
    assert read.popularity(3).tolist() == [1, 1, 2]
    assert read.user_features[features.USER_GENDER].tolist() == [1, 2, 0]
    positions, splits = read.seen()
    assert (positions.tolist(), splits.tolist()) == ([2, 0], [0, 1, 2, 2])
    history = read.latest(features.TRAIN_HISTORY_LENGTH)
    assert history.positions[:, 0].tolist() == [2, 0, -1]
    assert history.timestamps[2].max() == 0


class TestRatings:
    @pytest.fixture
    def read(self, tmp_path: pathlib.Path):
        numbers = [tf.train.Feature(int64_list=tf.train.Int64List(value=[number])) for number in range(10)]
        records = [
            tf.train.Example(
                features=tf.train.Features(feature=dict.fromkeys("nm", number))
            ).SerializeToString()
            for number in numbers
        ]
        pattern = planted_ratings.write(records, tmp_path / "numbers")
        transform = mock.create_autospec(tft.TFTransformOutput, instance=True)
        transform.transformed_feature_spec.return_value = dict.fromkeys(
            "nm", tf.io.FixedLenFeature([1], tf.int64)
        )

        def read(passes: int = 1, **how) -> list[list[list[int]]]:
            """Numbers by pass, batch and row."""
            batches = dataset.ratings([pattern], transform, batch_size=4, **how)
            assert sorted(batches.element_spec) == sorted(how.get("columns", "nm"))
            return [[rows["n"][:, 0].numpy().tolist() for rows in batches] for _ in range(passes)]

        return read

    def test_rows_come_in_the_order_of_the_file_the_last_batch_being_smaller(self, read) -> None:
        assert read() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]]

    def test_columns_that_are_not_wanted_are_left_out(self, read) -> None:
        assert read(columns=("n",)) == read()

    def test_a_shuffle_brings_every_row_once_in_another_order_in_each_pass(self, read) -> None:
        first, second = read(passes=2, shuffle_seed=1)
        for batches in (first, second):
            assert sorted(itertools.chain(*batches)) == list(range(10))
        assert first != second

    def test_the_seed_decides_the_order(self, read) -> None:
        assert read(passes=2, shuffle_seed=1) == read(passes=2, shuffle_seed=1)
        assert read(shuffle_seed=1) != read(shuffle_seed=2)

    def test_a_split_too_large_to_be_held_is_read_anew_in_each_pass(
        self, read, tmp_path, monkeypatch
    ) -> None:
        monkeypatch.setattr(dataset, "_CACHED_BYTES", 0)
        for part in range(10):  # Beside the file that the fixture wrote.
            (tmp_path / "numbers" / f"more-{part}").write_bytes(
                (next((tmp_path / "numbers").iterdir())).read_bytes()
            )
        first, second = read(passes=2, shuffle_seed=1)
        assert sorted(itertools.chain(*first)) == sorted([*range(10)] * 11)
        assert first != second
        assert [first, second] == read(passes=2, shuffle_seed=1)
        assert [sum(map(len, of_pass)) for of_pass in read(passes=1, shuffle_seed=1, whole=True)] == [108]

    @pytest.mark.parametrize("cached", [0, 1 << 20])
    def test_a_batch_is_of_several_files(self, read, tmp_path, monkeypatch, cached: int) -> None:
        monkeypatch.setattr(dataset, "_CACHED_BYTES", cached)
        # The files alone then decide.
        monkeypatch.setattr(dataset, "_SHUFFLE_ROWS", 1)
        (file,) = (tmp_path / "numbers").iterdir()
        file.with_name("more").write_bytes(file.read_bytes())
        ((first, *_),) = read(shuffle_seed=1)
        assert first == [0, 0, 1, 1]
