"""Train rows, evaluated rows and what a query knows, on made-up rows."""

import dataclasses
import pathlib

import numpy as np
import pytest

from benchmarks import protocol, splits
from benchmarks.protocol import ML_100K, Ratings
from benchmarks.splits import ROLLING, STATIC
from common.errors import DataError
from components.movielens_example_gen.parsing.splits import time_cut, train_quota
from components.movielens_example_gen.sources.releases import RELEASES


def _ratings(*rows: tuple[int, int, int]) -> Ratings:
    # (user, title, second)
    users, titles, times = (np.array(column) for column in zip(*rows, strict=True))
    ids, names = (np.array([str(i) for i in range(6)]) for _ in range(2))
    genres = np.ones((6, 1), bool)
    return Ratings(users, titles, 1.0 + np.arange(len(rows)) % 5, times, ids, names, genres)


def _known(queries: splits.Queries) -> list[list[int]]:
    """Titles that each query knows, by time."""
    numbers, positions = queries.known(slice(None))
    return [queries.pool.titles[positions[numbers == n]].tolist() for n in range(len(queries))]


TRAIN = _ratings((1, 0, 30), (0, 1, 10), (1, 2, 20), (0, 3, 40))
LATER = _ratings((1, 4, 70), (2, 0, 60), (2, 1, 60), (2, 2, 61), (1, 5, 50), (3, 3, 99))


def test_a_static_query_knows_its_users_train_rows() -> None:
    assert _known(splits.queries(TRAIN, LATER, STATIC)) == [[2, 0], [], [], [], [2, 0], []]


def test_a_rolling_query_knows_its_users_strictly_earlier_rows() -> None:
    # User 1's row of second 50 counts for that of 70; user 2's rows of second 60 do not for each other.
    assert _known(splits.queries(TRAIN, LATER, ROLLING)) == [[2, 0, 5], [], [], [0, 1], [2, 0], []]


def test_titles_of_train_are_no_candidates_even_of_the_querys_own_second() -> None:
    train = _ratings((0, 0, 10), (0, 1, 20), (0, 2, 20), (1, 3, 5))
    last = _ratings((0, 4, 20), (1, 4, 9), (2, 5, 7))
    found = splits.queries(train, last, ROLLING)
    assert _known(found) == [[0], [3], []]
    numbers, positions = found.excluded(slice(None))
    assert numbers.tolist() == [0, 0, 0, 1]
    assert found.pool.titles[positions].tolist() == [0, 1, 2, 3]


def test_the_last_row_of_each_user_is_left_out_and_of_one_second_the_last_in_the_file() -> None:
    rows = _ratings((0, 0, 9), (1, 0, 4), (0, 1, 9), (0, 2, 8), (3, 3, 1), (1, 2, 3))
    train, last = splits.leave_one_out(rows)
    assert last.tolist() == [2, 1, 4]
    assert train.tolist() == [0, 3, 5]


@pytest.mark.parametrize("view", [STATIC, ROLLING])
def test_nothing_later_changes_what_a_causal_query_knows(view: str) -> None:
    train = _ratings((0, 0, 10), (0, 1, 30), (0, 2, 50), (1, 3, 20))
    evaluated = _ratings((0, 4, 40), (1, 5, 15)) if view == STATIC else _ratings((0, 4, 60), (1, 5, 70))
    before = _known(splits.queries(train, evaluated, view).causal())
    changed = dataclasses.replace(
        train, titles=np.where(train.times > evaluated.times[train.users], 5, train.titles)
    )
    assert _known(splits.queries(changed, evaluated, view).causal()) == before
    assert before == ([[0, 1], []] if view == STATIC else [[0, 1, 2], [3]])


def test_blocks_know_what_the_whole_knows(monkeypatch) -> None:
    whole = splits.queries(TRAIN, LATER, ROLLING)
    expected = _known(whole)
    monkeypatch.setattr(splits, "_BLOCK", 4)
    found = []
    for block in whole.blocks:
        numbers, positions = whole.known(block)
        size = len(whole.starts[block])
        found += [whole.pool.titles[positions[numbers == n]].tolist() for n in range(size)]
    assert found == expected


def test_the_time_cut_is_the_pipelines() -> None:
    times = np.random.RandomState(0).randint(0, 40, 333)
    train, held_out = splits.time_cut(times)
    seconds = dict(zip(*(column.tolist() for column in np.unique(times, return_counts=True)), strict=True))
    cut = time_cut(seconds, train_quota(333, 0.2))
    assert train.tolist() == np.flatnonzero(times < cut).tolist()
    assert sorted([*train, *held_out]) == list(range(333))
    assert times[train].max() < times[held_out].min()


def test_cold_users_are_grouped_by_their_earlier_rows() -> None:
    # User 0 is known; user 1 is not, and rates a title every second but two in the first.
    train = _ratings((0, 0, 1))
    own = [(1, 0, 100), (1, 1, 100), *((1, 2, second) for second in range(101, 123))]
    later = _ratings((0, 1, 100), *own)
    whole = dataclasses.replace(
        train,
        **{
            name: np.concatenate([getattr(train, name), getattr(later, name)])
            for name in ("users", "titles", "ratings", "times")
        },
    )
    found = splits.cold_start(whole, train, later.users, later.times)
    assert {name: int(rows.sum()) for name, rows in found.items()} == {
        "cold": 24,
        "cold, 0 earlier": 2,
        "cold, 1-4": 3,  # Seconds 101 to 103 have 2 to 4 rows before them.
        "cold, 5-19": 15,
        "cold, 20+": 4,
    }
    assert not found["cold"][0]
    assert np.flatnonzero(found["cold, 0 earlier"]).tolist() == [1, 2]


@pytest.mark.parametrize(
    "view, expected",
    [
        (STATIC, ["sitting", "return", "return", "first", "first", "first"]),
        (ROLLING, ["sitting", "return", "sitting", "first", "first", "return"]),
    ],
)
def test_a_visit_is_named_by_the_latest_rating_that_the_query_knows(view: str, expected: list[str]) -> None:
    train = _ratings((0, 0, 10), (2, 1, 20), (0, 1, 100))
    # User 1 is not in train; a rating of the same second is not known.
    later = _ratings((0, 2, 3700), (0, 3, 7301), (0, 4, 7302), (1, 2, 500), (1, 3, 500), (1, 4, 4101))
    assert splits.visits(splits.queries(train, later, view)).tolist() == expected


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    rows = [f"{1 + row % 3}\t{1 + row}\t{1 + row % 5}\t{900 + row}\n" for row in range(10)]
    (tmp_path / "u.data").write_text("".join(rows))
    (tmp_path / "u.item").write_text(
        "".join(f"{1 + row}|Film {row} (1990)|01-Jan-1990||u" + "|0" * 19 + "\n" for row in range(10))
    )
    (tmp_path / "u1.base").write_text("".join(reversed(rows[2:])))
    (tmp_path / "u1.test").write_text("".join(rows[:2]))
    return tmp_path


def _of_protocol(name: str, folder: pathlib.Path) -> list[splits.Split]:
    return list(splits.of_protocol(name, folder, ML_100K, protocol.read(folder), seeds=(7, 8)))


def test_the_official_splits_that_are_there_are_found(folder) -> None:
    (split,) = _of_protocol(splits.OFFICIAL, folder)
    assert (split.name, split.seed, split.views) == ("u1", 7, (STATIC,))
    assert split.train.tolist() == [9, 8, 7, 6, 5, 4, 3, 2]
    assert split.held_out.tolist() == [0, 1]
    (folder / "u1.test").unlink()
    assert _of_protocol(splits.OFFICIAL, folder) == []


@pytest.mark.parametrize("test", ["1\t1\t1\t900\n", "1\t1\t1\t900\n2\t2\t4\t901\n"])
def test_an_official_split_of_other_rows_is_rejected(folder, test: str) -> None:
    (folder / "u1.test").write_text(test)
    with pytest.raises(DataError, match=r"u1.base and u1.test in .* each row of u.data once; they do not"):
        _of_protocol(splits.OFFICIAL, folder)


def test_every_seed_gets_its_own_random_split_and_the_same_time_cut(folder) -> None:
    random = _of_protocol(splits.RANDOM, folder)
    assert [split.train.tolist() for split in random] == [
        protocol.random_split(10, seed)[0].tolist() for seed in (7, 8)
    ]
    cuts = _of_protocol(splits.TIME, folder)
    assert [split.held_out.tolist() for split in cuts] == [[8, 9], [8, 9]]
    assert cuts[0].views == (STATIC, ROLLING)
    assert [split.seed for split in cuts] == [7, 8]
    last = _of_protocol(splits.LEAVE_ONE_OUT, folder)
    assert [(split.held_out.tolist(), split.seed, split.views) for split in last] == [
        ([9, 7, 8], seed, (ROLLING,)) for seed in (7, 8)
    ]


def test_films_of_one_title_are_two_candidates_in_ml_1m(tmp_path) -> None:
    (tmp_path / "ratings.dat").write_text("1::7::5::900\n2::9::3::901\n2::7::1::902\n")
    (tmp_path / "movies.dat").write_bytes("7::Léon (1994)::Crime\n9::Léon (1994)::Drama\n".encode("latin-1"))
    ratings = protocol.read(tmp_path, RELEASES["ml-1m"])
    assert ratings.title_names.tolist() == ["Léon (1994)", "Léon (1994) [9]"]
    assert (ratings.titles.tolist(), ratings.times.tolist()) == ([0, 1, 0], [900, 901, 902])
