"""Data that arrives as spans: the window, versions, late rows, gaps, and the cache."""

import os
import pathlib
from collections.abc import Mapping

import pyarrow
import pydantic
import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from common import parquet
from common.errors import DataError
from components.movielens_example_gen.config import DataConfig, SpansConfig, SplitConfig
from components.movielens_example_gen.sources import files, spans
from components.movielens_example_gen.sources.spans import Span
from pipeline import config as configuration
from retraining import runs

WEEK = 604_800
START = 880_000_000
NEWEST = SplitConfig(method="span")


def row(user: int, film: int, span: int, second: int = 0) -> bytes:
    return b"%d\t%d\t%d\t%d\n" % (user, film, 1 + film % 5, START + span * WEEK + second)


def film(number: int, title: str = "") -> bytes:
    flags = b"|".join([b"1"] + [b"0"] * 18)
    return b"%d|%s|01-Jan-1990||u|%s\n" % (number, (title or f"Film {number} (1990)").encode(), flags)


def person(number: int, age: int = 30) -> bytes:
    return b"%d|%d|F|writer|00000\n" % (number, age)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Spans 1 to 4, in each of which users 1 to 3 rate the film of the span's number."""
    base = tmp_path / "spans"
    for number in range(1, 5):
        write(base, {f"span-{number}/u.data": b"".join(row(user, number, number) for user in (1, 2, 3))})
    write(base, {"u.item": b"".join(map(film, range(1, 10))), "u.user": b"".join(map(person, range(1, 10)))})
    return base


def write(base: pathlib.Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)


def titles(outcome, split: str) -> list[str]:
    return sorted(row["movie_title"][0] for row in outcome.rows[split])


def config(split: SplitConfig = NEWEST, **changes) -> DataConfig:
    return DataConfig(spans=SpansConfig(**changes), split=split, max_bad_share=0.5)


def test_the_newest_span_is_eval_and_the_window_before_it_train(root, run_executor):
    outcome = run_executor(root, config(window=3))
    assert titles(outcome, "train") == ["Film 2 (1990)"] * 3 + ["Film 3 (1990)"] * 3
    assert titles(outcome, "eval") == ["Film 4 (1990)"] * 3
    assert outcome.artifacts["examples"].get_int_custom_property("newest_span") == 4
    # Rolling, as in serving: the history of an eval row holds what came before it, train or eval.
    assert [r["history_title"] for r in outcome.rows["eval"]] == [["Film 3 (1990)", "Film 2 (1990)"]] * 3


def test_a_run_may_set_another_window(root, run_executor):
    outcome = run_executor(root, config(window=4), "two", window=2)
    assert titles(outcome, "train") == ["Film 3 (1990)"] * 3
    outcome = run_executor(root, config(window=2), "as-configured", window=0)
    assert titles(outcome, "train") == ["Film 3 (1990)"] * 3
    with pytest.raises(ValueError, match="a window is of data that arrives as spans; received 2"):
        DataConfig().with_window(2)


def test_a_run_over_the_past_sees_nothing_that_came_later(root, run_executor):
    write(root, {"span-4/u.item": film(11) + film(2, "Renamed (1990)")})
    outcome = run_executor(root, config(newest=3))
    assert titles(outcome, "train") == ["Film 1 (1990)"] * 3 + ["Film 2 (1990)"] * 3
    assert titles(outcome, "eval") == ["Film 3 (1990)"] * 3
    assert len(outcome.rows["catalogue"]) == 9


def test_a_later_version_replaces_the_span(root, run_executor):
    late = b"".join((row(1, 2, 2), row(1, 7, 2, 5)))
    write(root, {"span-2/version-1/u.data": row(1, 9, 2), "span-2/version-10/u.data": late})
    outcome = run_executor(root, config())
    assert titles(outcome, "train") == sorted(
        ["Film 1 (1990)"] * 3 + ["Film 2 (1990)", "Film 7 (1990)"] + ["Film 3 (1990)"] * 3
    )
    assert outcome.counts["duplicates"] == 0


def find_inputs(folder: pathlib.Path) -> files.Inputs:
    return files.find_inputs(str(folder), config())


def find_spans(folder: pathlib.Path) -> runs.SpansFound:
    return runs.find_spans(folder, configuration.retraining())


@pytest.mark.parametrize("find", [find_inputs, find_spans])
def test_a_folder_that_cannot_be_listed_is_no_missing_version(find, root, monkeypatch):
    def deny(folder):
        if folder == str(root / "span-2"):
            raise PermissionError(13, "Permission denied", folder)
        return listdir(folder)

    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", deny)  # The superuser may read everything.
    with pytest.raises(DataError, match=f"^{root}/span-2 cannot be used: Permission denied. Mend that"):
        find(root)


def test_a_bucket_that_cannot_be_listed_is_no_missing_version(monkeypatch):
    def unavailable(patterns):
        raise BeamIOError("Match operation failed", {patterns[0]: "503 Service Unavailable"})

    monkeypatch.setattr(FileSystems, "match", unavailable)
    with pytest.raises(BeamIOError, match=r"gs://films/a\[\[\]b\]/span-\*/u.data.*503"):
        files.find_inputs("gs://films/a[b]", config())


def test_spans_below_a_folder_of_any_name_are_read(root, run_executor):
    odd = root.rename(root.with_name("spans [2024]*?"))
    outcome = run_executor(odd, config(window=3))
    assert titles(outcome, "eval") == ["Film 4 (1990)"] * 3


def test_a_row_that_comes_twice_counts_once_and_a_late_one_of_the_newest_span_is_train(root, run_executor):
    again, late, new = row(1, 3, 3), row(2, 8, 1, 7), row(9, 1, 2)
    write(root, {"span-4/u.data": again + late + new + row(1, 4, 4)})
    outcome = run_executor(root, config())
    assert outcome.counts["duplicates"] == 1
    # User 2 has rows of spans 2 and 3, which are later than the late one; user 9 has none.
    assert "Film 8 (1990)" in titles(outcome, "train")
    assert titles(outcome, "eval") == ["Film 1 (1990)", "Film 4 (1990)"]
    for split in ("train", "eval"):
        for example in outcome.rows[split]:
            assert all(past < example["timestamp"][0] for past in example["history_timestamp"])


def test_films_and_people_grow_with_the_spans_and_outlive_the_window(root, run_executor):
    (root / "u.item").unlink()
    (root / "u.user").unlink()
    users = b"".join(map(person, (1, 2, 3)))
    write(root, {"span-1/u.item": film(1) + film(2) + film(5), "span-1/u.user": users})
    write(root, {"span-3/u.item": film(3) + film(4) + film(5, "Five (1990)"), "span-4/u.user": person(2, 77)})
    outcome = run_executor(root, config(window=2))
    catalogue = [row["movie_title"][0] for row in outcome.rows["catalogue"]]
    assert catalogue == ["Film 1 (1990)", "Film 2 (1990)", "Film 3 (1990)", "Film 4 (1990)", "Five (1990)"]
    ages = {row["user_id"][0]: row["user_age"][0] for row in outcome.rows["train"]}
    assert ages == {"1": 30, "2": 77, "3": 30}
    assert (outcome.counts["movies_read"], outcome.counts["users_read"]) == (6, 4)


def test_a_gap_stops_a_run_or_gives_a_warning(root, run_executor):
    (root / "span-2" / "u.data").rename(root / "moved")
    with pytest.raises(DataError, match="Spans 1 to 4 must be there without a gap; missing: 2. Deliver"):
        run_executor(root, config())
    assert titles(run_executor(root, config(window=2)), "train") == ["Film 3 (1990)"] * 3
    assert len(run_executor(root, config(gaps="warn"), "warned").rows["train"]) == 6


def test_a_span_without_rows_is_no_gap_unless_it_is_the_newest(root, run_executor):
    (root / "span-2" / "u.data").write_bytes(b"")
    assert len(run_executor(root, config()).rows["train"]) == 6
    (root / "span-4" / "u.data").write_bytes(b"")
    with pytest.raises(DataError, match="span-4/u.data must hold rows, and is empty"):
        run_executor(root, config(), "newest")


def test_a_table_without_rows_is_no_gap_either(tmp_path):
    columns = {"userId": [1], "movieId": [1], "rating": [3.5], "timestamp": [START]}
    rows = pyarrow.table(columns)
    for span, table in ((1, rows), (2, rows.slice(0, 0)), (4, rows)):
        (tmp_path / f"span-{span}").mkdir()
        parquet.write_table(table, tmp_path / f"span-{span}" / "ratings.parquet")
    write(tmp_path, {"span-3/ratings.csv": b"userId,movieId,rating,timestamp\n"})
    write(tmp_path, {"movies.csv": b"movieId,title,genres\n1,A (1990),Drama\n"})
    data = DataConfig(release="custom", spans=SpansConfig(), split=NEWEST)
    inputs = files.find_inputs(str(tmp_path), data)
    assert [source.name for source in inputs.ratings] == ["span-1/ratings.parquet", "span-4/ratings.parquet"]
    with pytest.raises(DataError, match="span-2/ratings.parquet must hold rows, and has none"):
        files.find_inputs(str(tmp_path), data.model_copy(update={"spans": SpansConfig(newest=2)}))


def test_versions_that_are_named_are_read_and_no_others(root, run_executor):
    write(root, {"span-2/version-1/u.data": row(1, 9, 2), "span-4/version-1/u.data": row(1, 8, 4)})
    outcome = run_executor(root, config(versions={1: 0, 2: 0, 3: 0}))
    assert titles(outcome, "train") == ["Film 1 (1990)"] * 3 + ["Film 2 (1990)"] * 3
    assert titles(outcome, "eval") == ["Film 3 (1990)"] * 3
    with pytest.raises(DataError, match="Version 2 of span 4 must be there.*Put it back"):
        files.find_inputs(str(root), config(versions={3: 0, 4: 2}))


def test_a_first_span_has_nothing_to_be_measured_against(root, run_executor):
    with pytest.raises(DataError, match="train has none.*Wait for a second span"):
        run_executor(root, config(newest=1))


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["span-1", "span-01"], "must lie in one folder; span-01 and span-1 have the same numbers"),
        (["span-1", "span-next"], "must be named span-NUMBER.*span-next"),
    ],
)
def test_folders_that_leave_open_what_is_meant_are_rejected(folders, words):
    with pytest.raises(DataError, match=words):
        spans.versions(f"in/{folder}/u.data" for folder in folders)


def test_a_newest_span_that_is_not_there_is_rejected():
    with pytest.raises(DataError, match="Span 9 must be there to be read; found 3"):
        spans.window([Span(3, 0, "span-3")], SpansConfig(newest=9))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"split": {"method": "span"}}, "split method span needs spans"),
        ({"spans": {}, "split": {"method": "given"}}, "received given"),
        ({"spans": {"window": 1}}, "greater than or equal to 2"),
    ],
)
def test_configurations_that_contradict_themselves_are_rejected(data, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        DataConfig.model_validate(data)


def test_a_hash_split_takes_rows_of_every_span(root, run_executor):
    outcome = run_executor(root, config(SplitConfig(eval_share=0.4)))
    assert outcome.counts["ratings_kept"] == 12
    assert len({row["timestamp"][0] for row in outcome.rows["eval"]}) > 1


def test_a_csv_release_is_read_span_by_span(tmp_path, run_executor):
    header = b"userId,movieId,rating,timestamp\n"
    for span in (1, 2):
        write(tmp_path / "in", {f"span-{span}/ratings.csv": header + b"1,%d,3.5,%d\n" % (span, START + span)})
    write(tmp_path / "in", {"movies.csv": b"movieId,title,genres\n1,A (1990),Drama\n2,B (1991),Drama\n"})
    data = DataConfig(release="ml-latest-small", spans=SpansConfig(), split=NEWEST)
    outcome = run_executor(tmp_path / "in", data)
    assert (titles(outcome, "train"), titles(outcome, "eval")) == (["A (1990)"], ["B (1991)"])


@pytest.mark.slow("runs a pipeline many times")
def test_a_new_span_or_version_is_read_and_an_unchanged_input_comes_from_the_cache(root, run_pipeline):
    assert run_pipeline(root, config(window=3)) == 1
    assert run_pipeline(root, config(window=3)) == 1
    write(root, {"span-5/u.data": row(1, 5, 5)})
    assert run_pipeline(root, config(window=3)) == 2
    write(root, {"span-4/version-1/u.data": row(1, 6, 4)})
    assert run_pipeline(root, config(window=3)) == 3
    assert run_pipeline(root, config(window=3)) == 3
    # By a rename neither sizes nor times change; the versions that are named tell the two apart.
    named = {2: 0, 3: 0, 4: 1}
    assert run_pipeline(root, config(versions=named)) == 4
    (root / "span-4" / "version-1").rename(root / "span-4" / "version-3")
    assert run_pipeline(root, config(versions=named | {4: 3})) == 5
