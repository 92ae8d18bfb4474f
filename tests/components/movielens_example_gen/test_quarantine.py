"""Bad rows: where they go, and when they stop a run."""

import pathlib
from collections import Counter

import pytest

from common.errors import DataError
from components.movielens_example_gen.beam import preparation
from components.movielens_example_gen.config import DataConfig, SplitConfig

START = 1_112_486_027
HALF = SplitConfig(eval_share=0.5)


BAD_RATINGS = [
    (b"1\t2\t3\n", "columns", "expected 4 columns, found 3"),
    (b"1\t2\t9\t880000000\n", "rating", "rating '9' must be one of 1, 2, 3, 4, 5"),
    (
        b"1\t2\t3\tnoon\n",
        "timestamp",
        "timestamp 'noon' must be whole seconds since 1970, from 1 and below 2147483648 (January 2038, "
        "where 32-bit seconds end)",
    ),
    (b"\t2\t3\t880000000\n", "empty_id", "the user id is empty"),
    (b"1\t777\t3\t880000000\n", "unknown_movie", "movie id '777' is not in the catalogue"),
    (b"1\xff\t2\t3\t880000000\n", "bytes", "byte 2 is not ascii"),
    (b"x\n", "columns", "expected 4 columns, found 1"),
]


@pytest.mark.parametrize("chunk_bytes", [8 << 20, 64])
def test_bad_rows_are_quarantined_with_file_line_and_reason(
    write_ml_100k, run_executor, monkeypatch, chunk_bytes
):
    monkeypatch.setattr(preparation, "CHUNK_BYTES", chunk_bytes)
    base = write_ml_100k(
        extra=b"".join(row for row, _, _ in BAD_RATINGS) + b"1\t2\t5\t890000000\n",
        extra_item=b"10|No flags (1990)|01-Jan-1990||\n1|Again (1990)" + b"|" * 22 + b"\n",
        extra_user=b"7|old|M|writer|0\n",
    )
    outcome = run_executor(base, DataConfig(max_bad_share=0.5, split=HALF))
    assert [(bad["file"], bad["line"], bad["reason"]) for bad in outcome.bad] == [
        ("u.item", 10, "expected 24 columns, found 5"),
        ("u.item", 11, "id '1' stands in line 1 of u.item already"),
        *(("u.data", 28 + i, reason) for i, (_, _, reason) in enumerate(BAD_RATINGS)),
        ("u.user", 7, "age 'old' must be a whole number from 0 to 120, or empty"),
    ]
    assert outcome.bad[7]["row"] == "1\\xff\t2\t3\t880000000"
    kinds = Counter(f"bad_ratings_{kind}" for _, kind, _ in BAD_RATINGS)
    assert {name: count for name, count in outcome.counts.items() if name in kinds} == kinds
    assert outcome.counts["bad_ratings"] == 7 and outcome.counts["ratings_read"] == 35
    assert outcome.counts["bad_movies"] == 2 and outcome.counts["bad_users_age"] == 1
    assert outcome.counts["ratings_kept"] == 28


def test_too_many_bad_rows_stop_in_words_and_the_quarantine_stays(write_ml_100k, run_executor, tmp_path):
    base = write_ml_100k(extra=b"".join(row for row, _, _ in BAD_RATINGS))
    with pytest.raises(DataError) as caught:
        run_executor(base, DataConfig(max_bad_share=0.1))
    message = str(caught.value)
    assert "At most 10 % of the rows may be bad" in message and "7 of 34 ratings (20.6 %)" in message
    assert "u.data, line 28: expected 4 columns, found 3: '1\\t2\\t3'" in message
    assert message.count("\n  u.data, line") == 3
    kept = pathlib.Path(message.rsplit(": ", 1)[1])
    assert kept == tmp_path / "out" / "quarantine_refused"
    assert len((kept / "ratings-00000.jsonl").read_text().splitlines()) == 7
