"""Which file holds which rows, and in which order."""

from __future__ import annotations

import hashlib
import itertools
import pathlib

from components.movielens_example_gen import preparation
from components.movielens_example_gen.config import DataConfig


def digests(root: pathlib.Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.gz"))
    }


def contents(row: dict[str, list]) -> str:
    return str(sorted(row.items()))


def test_the_same_data_gives_the_same_files_however_it_is_cut(write_ml_100k, run_executor, monkeypatch):
    base = write_ml_100k(users=30, films=30)
    whole = digests(run_executor(base, DataConfig(), "whole").root)
    monkeypatch.setattr(preparation, "CHUNK_BYTES", 1000)
    assert digests(run_executor(base, DataConfig(), "cut").root) == whole


def test_a_user_s_rows_are_in_one_file_of_several(write_ml_100k, run_executor, monkeypatch):
    base = write_ml_100k(users=30, films=30)
    whole = run_executor(base, DataConfig(), "whole")
    monkeypatch.setattr(preparation, "SHARD_ROWS", 50)
    sharded = run_executor(base, DataConfig(), "sharded")
    for split in ("train", "eval"):
        users = [{row["user_id"][0] for row in rows} for rows in sharded.files(split)]
        assert len(users) > 1
        assert sum(map(len, users)) == len(set.union(*users))
        rows, expected = (sorted(map(contents, outcome.rows[split])) for outcome in (sharded, whole))
        assert rows == expected


def test_rows_are_well_mixed(write_ml_100k, run_executor):
    outcome = run_executor(write_ml_100k(users=40, films=40), DataConfig())
    users = [row["user_id"][0] for row in outcome.rows["train"]]
    neighbours = sum(a == b for a, b in itertools.pairwise(users))
    # One in 40 by chance, some 16 of 640; grouped by user it would be 600.
    assert neighbours < 50
