"""A row's history: what it holds, by hand and by definition, and that nothing later reaches it."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from components.movielens_example_gen.beam import preparation
from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.parsing import history, splits
from modules import features

SPLITS = {
    "hash": SplitConfig(eval_share=0.4),
    "given": SplitConfig(method="given"),
    "time, rolling": SplitConfig(method="time", eval_share=0.4),
    "time, static": SplitConfig(method="time", eval_share=0.4, rolling=False),
}


class Row(NamedTuple):
    """One line of u.data."""

    user: int
    movie: int
    rating: int
    timestamp: int


USERS = range(1, 13)
# Film 4 carries film 2's title, and is merged with it.
TITLES = {1: "Alpha (1990)", 2: "Beta (1991)", 3: "Gamma (1992)", 4: "Beta (1991)"}


def write(
    folder: pathlib.Path,
    split: SplitConfig,
    train: Iterable[Row],
    held_out: Iterable[Row],
    titles: Mapping[int, str],
) -> pathlib.Path:
    """Write rows in ml-100k's format: in two files where the split is given, else in one."""
    folder.mkdir()
    parts = {"train/u.data": train, "eval/u.data": held_out}
    if split.method != "given":
        parts = {"u.data": [*train, *held_out]}
    for name, rows in parts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    flags = "|0" * 19
    (folder / "u.item").write_text(
        "".join(f"{m}|{title}|01-Jan-1990||{flags}\n" for m, title in titles.items())
    )
    (folder / "u.user").write_text("".join(f"{user}|33|F|writer|00000\n" for user in USERS))
    return folder


def histories(outcome, split: str) -> dict[tuple, list[tuple]]:
    """Each row's history as (title, rating, second), by user, title, rating and second of the row."""
    names = [feature.name for feature in features.HISTORY_FEATURES]
    return {
        (int(row["user_id"][0]), row["movie_title"][0], row["user_rating"][0], row["timestamp"][0]): list(
            zip(*(row[name] for name in names), strict=True)
        )
        for row in outcome.rows[split]
    }


A, B, C = (TITLES[movie] for movie in (1, 2, 3))
TRAIN = (Row(1, 1, 5, 100), Row(1, 2, 4, 200), Row(1, 3, 3, 200), Row(1, 3, 5, 250))
HELD_OUT = (Row(1, 4, 2, 300), Row(1, 2, 1, 300), Row(2, 1, 3, 350), Row(2, 2, 4, 360), Row(1, 1, 1, 400))
LAST = Row(1, 2, 2, 500)
# The later film comes first among those of second 200; a history holds three.
BEFORE_250 = [(C, 3, 200), (B, 4, 200), (A, 5, 100)]
OF_TRAIN = {
    (1, A, 5, 100): [],
    (1, B, 4, 200): [(A, 5, 100)],
    (1, C, 3, 200): [(A, 5, 100)],
    (1, C, 5, 250): BEFORE_250,
}
AT_300 = [(C, 5, 250), (C, 3, 200), (B, 4, 200)]
STATIC = {
    **{(1, B, 2, 300): AT_300, (1, B, 1, 300): AT_300, (2, A, 3, 350): [], (2, B, 4, 360): []},
    **{(1, A, 1, 400): AT_300, (1, B, 2, 500): AT_300},
}
ROLLING = {
    **STATIC,
    (2, B, 4, 360): [(A, 3, 350)],
    (1, A, 1, 400): [(B, 2, 300), (B, 1, 300), (C, 5, 250)],
    (1, B, 2, 500): [(A, 1, 400), (B, 2, 300), (B, 1, 300)],
}


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (SplitConfig(method="time", eval_share=0.6), ROLLING),
        (SplitConfig(method="time", eval_share=0.6, rolling=False), STATIC),
        (SplitConfig(method="given"), STATIC),
    ],
)
def test_histories_by_hand(run_executor, tmp_path, split, expected):
    base = write(tmp_path / "data", split, reversed(TRAIN), [LAST, *HELD_OUT], TITLES)
    outcome = run_executor(base, DataConfig(split=split, history_length=3))
    assert histories(outcome, "train") == OF_TRAIN
    assert histories(outcome, "eval") == expected


def test_a_train_row_after_an_eval_row_is_not_in_its_history(run_executor, tmp_path):
    split = SplitConfig(method="given")
    base = write(
        tmp_path / "data", split, [Row(1, 1, 5, 100), Row(1, 2, 4, 200)], [Row(1, 3, 3, 150)], TITLES
    )
    outcome = run_executor(base, DataConfig(split=split))
    assert histories(outcome, "eval") == {(1, C, 3, 150): [(A, 5, 100)]}
    # Nor is the eval row in the history of a later train row.
    assert histories(outcome, "train")[1, B, 4, 200] == [(A, 5, 100)]


def test_without_histories_the_columns_are_there_and_empty(run_executor, tmp_path):
    base = write(tmp_path / "data", SPLITS["time, rolling"], TRAIN, HELD_OUT, TITLES)
    outcome = run_executor(base, DataConfig(split=SPLITS["time, rolling"], history_length=0))
    for row in outcome.rows["train"] + outcome.rows["eval"]:
        assert [row[feature.name] for feature in features.HISTORY_FEATURES] == [[], [], []]


FILMS = {movie: f"Film {movie} (1990)" for movie in range(1, 41)}
# Nobody rates these but where rows are added.
NEW_FILMS = range(31, 41)
GAINING = [user for user in USERS if user % 6 == 4]
FIRST, END, STEP = 1_000, 21_000, 500


def random_rows(seed: int) -> list[Row]:
    """Rows of every user in few seconds, so that many share one; sorted by time."""
    draw = random.Random(seed)
    rows = {
        (user, draw.randint(1, 30), draw.randrange(FIRST, END, STEP)): draw.randint(1, 5)
        for user in USERS
        for _ in range(25)
    }
    return sorted(
        (Row(user, m, rating, t) for (user, m, t), rating in rows.items()), key=lambda row: row.timestamp
    )


def half(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Divide rows for the given split, each by itself."""
    held_out = [row for row in rows if sum(row) % 2]
    return [row for row in rows if not sum(row) % 2], held_out


@pytest.mark.parametrize("name", SPLITS)
def test_histories_by_definition(run_executor, tmp_path, monkeypatch, name):
    # Several parts, so that a user's rows are scattered, and shards.
    monkeypatch.setattr(preparation, "CHUNK_BYTES", 1_000)
    monkeypatch.setattr(preparation, "SHARD_ROWS", 60)
    split = SPLITS[name]
    base = write(tmp_path / "data", split, *half(random_rows(0)), FILMS)
    outcome = run_executor(base, DataConfig(split=split, history_length=4))
    train, held_out = (histories(outcome, part) for part in ("train", "eval"))
    assert min(len(train), len(held_out)) > 80
    known = {*train, *held_out} if name == "time, rolling" else set(train)
    for (user, title, rating, second), found in (*train.items(), *held_out.items()):
        earlier = [row for row in known if row[0] == user and row[3] < second]
        earlier.sort(key=lambda row: (row[3], row[1].encode()), reverse=True)
        assert found == [row[1:] for row in earlier[:4]], (user, title, rating, second)
    visits = set()
    for row in (*outcome.rows["train"], *outcome.rows["eval"]):
        user, second = int(row["user_id"][0]), row["timestamp"][0]
        gaps = [second - other[3] for other in known if other[0] == user and other[3] < second]
        visits.add("first" if not gaps else "return" if min(gaps) > 3_600 else "sitting")
        assert row["visit"] == ["first" if not gaps else "return" if min(gaps) > 3_600 else "sitting"]
    # Rolling, nobody is away for an hour.
    assert visits == set(features.VISITS[:2] if name == "time, rolling" else features.VISITS)
    for row in outcome.rows["train"]:
        assert row["exclude_movie_id"] == []
    for row in outcome.rows["eval"]:
        user, second = int(row["user_id"][0]), row["timestamp"][0]
        # All of train, whenever it was; of eval what is earlier, where the split says that it is known.
        excluded = [other for other in train if other[0] == user]
        if name == "time, rolling":
            excluded += [other for other in held_out if other[0] == user and other[3] < second]
        ids = {title: str(movie) for movie, title in FILMS.items()}
        excluded.sort(key=lambda row: (row[3], row[1].encode()))
        assert row["exclude_movie_id"] == [ids[title] for _, title, *_ in excluded]


def read_bytes(outcome) -> dict[tuple, tuple]:
    """Each row's split and history as it is written, by user, movie, rating and second of the row."""
    rows: dict[tuple, tuple] = {}
    for split in (features.TRAIN_SPLIT, features.EVAL_SPLIT):
        paths = sorted(map(str, outcome.folder(split).iterdir()))
        for record in tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator():
            row = tf.train.Example.FromString(record).features.feature
            text = [int(row[name].bytes_list.value[0]) for name in ("user_id", "movie_id")]
            key = (*text, int(row["user_rating"].float_list.value[0]), row["timestamp"].int64_list.value[0])
            columns = [row[feature.name].SerializeToString() for feature in features.HISTORY_FEATURES]
            rows[Row(*key)] = (split, *columns)
    return rows


def perturb(rows: Sequence[Row], time: int) -> list[Row]:
    """Change some users' rows at a time and after it: titles, ratings, later seconds, rows more and fewer.

    As many rows as before, for a time split's cut goes by their number.
    """
    draw = random.Random(time)
    changed, taken = [], 0
    for row in rows:
        kind = row.user % 6
        if row.timestamp < time or kind == 5:
            changed.append(row)
        elif kind == 0:
            taken += 1
        elif kind == 1:
            changed.append(row._replace(movie=row.movie % 30 + 1))
        elif kind == 2:
            changed.append(row._replace(rating=row.rating % 5 + 1))
        elif kind == 3:
            changed.append(row._replace(timestamp=draw.randrange(row.timestamp + 1, END + 100)))
        else:
            changed.append(row)
    # Three new rows for each user at the time itself: the rows of that second must not change.
    new = [Row(user, movie, 3, time) for user in GAINING for movie in NEW_FILMS[:3]]
    seconds = draw.sample(range(time + 1, END + 100), taken - len(new))
    new += [Row(draw.choice(GAINING), draw.choice(NEW_FILMS), 3, second) for second in seconds]
    return [*changed, *new]


@pytest.mark.slow("runs the ExampleGen many times")
@pytest.mark.parametrize("name", SPLITS)
def test_nothing_later_than_a_row_reaches_its_history(run_executor, tmp_path, name):
    split = SPLITS[name]
    rows = random_rows(1)
    before = read_bytes(
        run_executor(write(tmp_path / "data", split, *half(rows), FILMS), DataConfig(split=split))
    )
    assert set(before) == set(rows)
    reached = False
    seconds = [row.timestamp for row in rows if row.user in GAINING]
    # One time among train rows, one after a time split's cut.
    for share in (0.3, 0.7):
        time = seconds[int(share * len(seconds))]
        future = perturb(rows, time)
        assert len(set(future)) == len(rows)
        base = write(tmp_path / f"from-{time}", split, *half(future), FILMS)
        after = read_bytes(run_executor(base, DataConfig(split=split), f"out-{time}"))
        assert set(after) == set(future)
        compared = {row for row in before if row in after and row.timestamp <= time}
        assert {row.timestamp for row in compared} >= {time, FIRST}
        assert compared >= {row for row in rows if row.timestamp < time}
        assert {row: after[row] for row in compared} == {row: before[row] for row in compared}
        reached = reached or any(after[row] != before[row] for row in before if row in after)
    # The perturbations do reach histories, those of later rows.
    assert reached


@pytest.mark.slow("runs the ExampleGen many times")
@pytest.mark.parametrize("name", SPLITS)
def test_what_is_earlier_reaches_it(run_executor, tmp_path, name):
    split = SPLITS[name]
    rows = random_rows(1)
    before = read_bytes(
        run_executor(write(tmp_path / "data", split, *half(rows), FILMS), DataConfig(split=split))
    )
    # A train row of user 1 that stays one with another rating: two stars do not matter to `half`.
    limit = splits.hash_limit(split.eval_share)
    past, other = next(
        (row, other)
        for row in rows
        if row.user == 1 and row.timestamp > FIRST + 3 * STEP and before[row][0] == features.TRAIN_SPLIT
        for other in [row._replace(rating=row.rating + 2 if row.rating < 3 else row.rating - 2)]
        if name != "hash"
        or splits.row_hash("1", str(row.movie), float(other.rating), row.timestamp, 42)[0] >= limit
    )
    changed = [other if row == past else row for row in rows]
    base = write(tmp_path / "changed", split, *half(changed), FILMS)
    after = read_bytes(run_executor(base, DataConfig(split=split), "changed-out"))
    assert after[other] == before[past]
    reached = {row for row in before if row != past and after[row] != before[row]}
    assert reached == {row for row in rows if row.user == 1 and row.timestamp > past.timestamp}


def test_runs_of_known_rows_by_definition():
    generator = np.random.default_rng(5)
    for length in (0, 1, 3, 100):
        known = np.sort(generator.integers(0, 60, 40))
        times = generator.integers(0, 70, 5)
        positions, bounds = history.latest_first(*history.spans(known, times, length))
        for i, time in enumerate(times):
            expected = sorted((second for second in known if second < time), reverse=True)[:length]
            assert known[positions[bounds[i] : bounds[i + 1]]].tolist() == expected
