"""Hash split, time cut, slices, line numbers of byte ranges."""

import io
import itertools
import random
from collections import Counter

import pytest

from components.movielens_example_gen.parsing import lines, splits


def test_the_hash_splits_every_user_by_the_same_share():
    limit = splits.hash_limit(0.2)
    share = Counter(
        user
        for user in range(20)
        for movie in range(2000)
        if splits.row_hash(str(user), str(movie), 4.0, 880_000_000, seed=42)[0] < limit
    )
    # 2,000 draws at 0.2: mean 400, standard deviation 17.9; five of them either way.
    assert all(310 < count < 490 for count in share.values())
    # 40,000 draws: mean 8,000, standard deviation 80.
    assert 7_600 < share.total() < 8_400


def test_the_hash_depends_on_every_part_of_a_row_and_on_the_seed():
    rows = [("1", "23", 4.0, 5), ("12", "3", 4.0, 5), ("1", "23", 4.5, 5), ("1", "23", 4.0, 6)]
    hashes = {splits.row_hash(*row, seed) for row in rows for seed in (0, 1)}
    assert len(hashes) == 8


def test_the_hash_never_changes():
    # Written down on purpose: another value would move rows between train and eval of runs that compare.
    assert splits.row_hash("1", "2", 3.5, 4, 42) == (13671149626985801808, 8310918512181188437)


@pytest.mark.parametrize("eval_share", [0.1, 0.2, 0.3, 0.5, 0.9])
def test_the_time_cut_is_the_smallest_that_leaves_enough_rows_before_it(eval_share):
    generator = random.Random(7)
    for rows in (1, 2, 10, 97, 1000):
        # Few distinct seconds over several days: ties at and around the cut.
        seconds = [generator.randrange(3) * splits.DAY + generator.randrange(20) for _ in range(rows)]
        quota = splits.train_quota(rows, eval_share)
        day, rest = splits.cut_bin(Counter(second // splits.DAY for second in seconds), quota)
        cut = splits.time_cut(Counter(s for s in seconds if s // splits.DAY == day), rest)
        # By the definition; what lies before t changes only right after a row.
        enough = (1 - eval_share) * rows - 1e-9
        expected = next(
            t for t in sorted({second + 1 for second in seconds}) if sum(s < t for s in seconds) >= enough
        )
        assert cut == expected


def test_the_quota_uses_the_share_as_a_decimal():
    # In floats (1 - 0.7) * 10 is 3.0000000000000004, and would need a fourth row.
    assert splits.train_quota(10, 0.7) == 3
    assert splits.train_quota(100_000, 0.2) == 80_000
    assert splits.train_quota(3, 0.2) == 3


def test_slices():
    counts = (0, 1, 19, 20, 99, 100, 5000)
    assert [splits.level(count, splits.TITLE_POPULARITY_LEVELS) for count in counts] == [
        *("unseen", "tail", "tail", "torso", "torso", "head", "head")
    ]


TEXTS = [
    b"a\nbb\n\nccc\n",
    b"a\nbb\nccc",
    b"\n\n\n",
    b"one line without an end",
    b"crlf\r\nlines\r\n\r\nhere\r\n",
    b"x" * 7 + b"\n" + b"y" * 3 + b"\n" * 4 + b"z",
]


@pytest.mark.parametrize(("text", "size"), list(itertools.product(TEXTS, range(1, 13))))
def test_ranges_read_every_line_once_with_its_number(text, size):
    handle = io.BytesIO(text)
    parts = lines.cut("file", len(text), size)
    breaks = {part: lines.count_breaks(handle, part) for part in parts[:-1]}
    read = [
        numbered
        for part in parts
        for numbered in enumerate(lines.read_lines(handle, part), lines.first_line(part, breaks))
    ]
    whole = text.removesuffix(b"\n").split(b"\n")
    assert read == [(number, line.removesuffix(b"\r")) for number, line in enumerate(whole, 1)]
