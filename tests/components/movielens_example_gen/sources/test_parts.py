"""Files that Spark, or Hive, wrote as a folder of parts: found, read, fingerprinted."""

from __future__ import annotations

import pathlib

import pyarrow
import pytest

from common import parquet
from common.errors import DataError
from components.movielens_example_gen.config import DataConfig, SpansConfig, SplitConfig
from components.movielens_example_gen.sources import files
from pipeline import config as configuration
from retraining import cut, runs

START = 880_000_000
CONFIG = DataConfig(release="custom", split=SplitConfig(method="time", eval_share=0.5), max_bad_share=0.5)
RATINGS = pyarrow.table(
    {
        "userId": [1, 1, 2, 2],
        "movieId": [1, 2, 1, 2],
        "rating": [5.0, 3.5, 4.0, 0.5],
        "timestamp": [START + i for i in range(4)],
    }
)
MOVIES = pyarrow.table({"movieId": [1, 2], "title": ["A (1990)", "B (1991)"], "genres": ["Drama", "Comedy"]})


def write(folder: pathlib.Path, *parts: pyarrow.Table) -> None:
    """Write a table as Spark does, with its notes and checksums."""
    folder.mkdir(parents=True)
    for number, part in enumerate(parts):
        name = f"part-{number:05d}-3c1f.snappy.parquet"
        if folder.suffix == ".parquet":
            parquet.write_table(part, folder / name)
        else:
            frame = part.to_pandas()
            frame.to_csv(folder / name.replace("snappy.parquet", "csv"), index=False)
        (folder / f".{name}.crc").write_bytes(b"crc")
    for note in ("_SUCCESS", "_metadata.parquet", "._SUCCESS.crc"):
        (folder / note).write_bytes(b"")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_every_part_that_holds_rows_is_read(tmp_path, run_executor, suffix):
    write(tmp_path / "in" / f"ratings.{suffix}", RATINGS.slice(0, 0), RATINGS.slice(0, 3), RATINGS.slice(3))
    write(tmp_path / "in" / f"movies.{suffix}", MOVIES.slice(0, 1), MOVIES.slice(1), MOVIES.slice(0, 1))
    outcome = run_executor(tmp_path / "in", CONFIG)
    rows = sorted((*outcome.rows["train"], *outcome.rows["eval"]), key=lambda row: row["timestamp"])
    assert [(row["user_id"][0], row["movie_title"][0], row["user_rating"][0]) for row in rows] == [
        *(("1", "A (1990)", 5.0), ("1", "B (1991)", 3.5), ("2", "A (1990)", 4.0), ("2", "B (1991)", 0.5))
    ]
    end = "snappy.parquet" if suffix == "parquet" else "csv"
    first = f"line {1 if suffix == 'parquet' else 2} of movies.{suffix}/part-00000-3c1f.{end}"
    assert [(bad["file"], bad["reason"]) for bad in outcome.bad] == [
        (f"movies.{suffix}/part-00002-3c1f.{end}", f"id '1' stands in {first} already")
    ]


def test_hives_parts_are_read_whose_names_have_no_suffix(tmp_path, run_executor):
    for name, table in {"ratings": RATINGS, "movies": MOVIES}.items():
        (tmp_path / "in" / f"{name}.parquet").mkdir(parents=True)
        for part, rows in {"000000_0": table.slice(0, 1), "000001_0_copy_1": table.slice(1)}.items():
            parquet.write_table(rows, tmp_path / "in" / f"{name}.parquet" / part)
    outcome = run_executor(tmp_path / "in", CONFIG)
    assert (len(outcome.rows["train"]), len(outcome.rows["eval"]), outcome.bad) == (2, 2, [])
    (tmp_path / "in" / "movies.parquet" / "notes").write_text("no table")
    with pytest.raises(DataError, match="movies.parquet/notes must be a Parquet file"):
        files.find_inputs(str(tmp_path / "in"), CONFIG)


def test_parts_without_rows_and_two_forms_at_once_are_rejected(tmp_path):
    write(tmp_path / "ratings.parquet", RATINGS.slice(0, 0), RATINGS.slice(0, 0))
    write(tmp_path / "movies.parquet", MOVIES)
    with pytest.raises(DataError, match=r"ratings\.parquet in .* must hold rows, and none of its parts does"):
        files.find_inputs(str(tmp_path), CONFIG)
    (tmp_path / "ratings.csv").write_bytes(b"userId,movieId,rating,timestamp\n1,1,5,7\n")
    with pytest.raises(DataError, match=r"must hold one of .*; found ratings\.csv, ratings\.parquet\. Name"):
        files.find_inputs(str(tmp_path), CONFIG)


def test_an_edited_part_is_read_again(tmp_path):
    from google.protobuf import json_format
    from tfx.components.example_gen import utils
    from tfx.proto import example_gen_pb2

    from components.movielens_example_gen.component import MovieLensExampleGen

    write(tmp_path / "ratings.parquet", RATINGS)
    write(tmp_path / "movies.parquet", MOVIES)
    node = MovieLensExampleGen(input_base=str(tmp_path), data_config=CONFIG, source_digest="a")
    splits = json_format.Parse(node.exec_properties["input_config"], example_gen_pb2.Input()).splits
    before = utils.calculate_splits_fingerprint_span_and_version(str(tmp_path), splits)
    parquet.write_table(MOVIES.slice(1), next((tmp_path / "movies.parquet").glob("part-*")))
    assert utils.calculate_splits_fingerprint_span_and_version(str(tmp_path), splits) != before


def test_spans_may_be_of_parts(tmp_path):
    for number in (1, 2, 3):
        rows = RATINGS.slice(0, 0) if number == 2 else RATINGS
        write(tmp_path / f"span-{number}" / "ratings.parquet", rows, rows)
    write(tmp_path / "span-3" / "version-1" / "ratings.parquet", RATINGS)
    write(tmp_path / "movies.parquet", MOVIES.slice(0, 1), MOVIES.slice(1))
    spans = DataConfig(release="custom", spans=SpansConfig(), split=SplitConfig(method="span"))
    inputs = files.find_inputs(str(tmp_path), spans)
    part = "ratings.parquet/part-0000{}-3c1f.snappy.parquet"
    assert [(source.name, source.split) for source in inputs.ratings] == [
        (f"span-1/{part.format(0)}", "train"),
        (f"span-1/{part.format(1)}", "train"),
        (f"span-3/version-1/{part.format(0)}", "eval"),
    ]
    assert len(inputs.movies) == 2
    config = configuration.retraining().model_copy(update={"data": spans})
    assert runs.find_spans(tmp_path, config) == runs.SpansFound({1: 0, 2: 0, 3: 1}, {2})


def test_movies_in_parts_stay_so_beside_spans(tmp_path):
    write(tmp_path / "in" / "ratings.csv", RATINGS.slice(0, 2), RATINGS.slice(2))
    write(tmp_path / "in" / "movies.csv", MOVIES)
    assert cut.cut(tmp_path / "in", CONFIG, tmp_path / "out", days=7).rows == 4
    assert (tmp_path / "out" / "movies.csv" / "part-00000-3c1f.csv").is_file()
