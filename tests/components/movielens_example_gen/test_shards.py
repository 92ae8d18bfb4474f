"""Which file holds which rows, and in which order."""

from __future__ import annotations

import itertools

import pytest

from components.movielens_example_gen.beam import preparation
from components.movielens_example_gen.config import DataConfig, SplitConfig
from pipeline.beam_flags import with_runner


def files(outcome) -> dict[str, list[list[dict[str, list]]]]:
    return {split: outcome.files(split) for split in ("train", "eval", "catalogue")}


def contents(row: dict[str, list]) -> str:
    return str(sorted(row.items()))


@pytest.mark.parametrize("method", ["hash", "time"])
def test_files_hold_the_same_rows_in_the_same_order_however_the_data_is_cut(
    write_ml_100k, run_executor, monkeypatch, method
):
    base, config = write_ml_100k(users=30, films=30), DataConfig(split=SplitConfig(method=method))
    whole = run_executor(base, config, "whole")
    monkeypatch.setattr(preparation, "CHUNK_BYTES", 1000)
    # By Beam's own runner, which hands encoded copies from step to step.
    cut = run_executor(base, config, "cut", with_runner([]))
    assert (files(cut), cut.counts) == (files(whole), whole.counts)


def test_shards_hold_the_same_rows_and_whoever_reads_them_in_order_soon_meets_all(
    write_ml_100k, run_executor, monkeypatch
):
    base = write_ml_100k(users=30, films=30)
    whole = run_executor(base, DataConfig(), "whole")
    monkeypatch.setattr(preparation, "SHARD_ROWS", 100)
    sharded = run_executor(base, DataConfig(), "sharded")
    for split in ("train", "eval"):
        rows, expected = (sorted(map(contents, outcome.rows[split])) for outcome in (sharded, whole))
        assert rows == expected
    users = [{row["user_id"][0] for row in rows} for rows in sharded.files("eval")]
    assert len(users) > 3 and sum(map(len, users)) == len(set.union(*users)) == 30
    in_order = [row["user_id"][0] for row in sharded.rows["train"]]
    # Shard after shard, it would be the first one's: a fifth.
    assert len(set(in_order[: len(in_order) // len(users)])) > 20


def test_rows_are_well_mixed(write_ml_100k, run_executor):
    outcome = run_executor(write_ml_100k(users=40, films=40), DataConfig())
    users = [row["user_id"][0] for row in outcome.rows["train"]]
    neighbours = sum(a == b for a, b in itertools.pairwise(users))
    # One in 40 by chance, some 16 of 640; grouped by user it would be 600.
    assert neighbours < 50
