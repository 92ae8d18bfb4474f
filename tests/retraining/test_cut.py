"""A release cut into spans, and what the pipeline reads of them."""

from __future__ import annotations

import pathlib

import pytest

from common.errors import DataError
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.fetching import fetch
from components.movielens_example_gen.sources import files
from retraining.__main__ import main
from retraining.cut import DAY, Cut, cut

START = 880_000_000


@pytest.fixture
def release(tmp_path: pathlib.Path) -> pathlib.Path:
    """Rows of days 0, 2, 3 and 16, not in order of time, and one without a time."""
    folder = tmp_path / "release"
    folder.mkdir()
    days = (16, 0, 3, 2)
    rows = [b"1\t%d\t3\t%d\n" % (film, START + day * DAY) for film, day in enumerate(days, 1)]
    (folder / "u.data").write_bytes(b"".join(rows) + b"1\t1\t3\tnever")
    (folder / "u.item").write_bytes(b"1|A (1990)|01-Jan-1990||u|" + b"|".join([b"0"] * 19) + b"\n")
    (folder / "u.user").write_bytes(b"1|30|F|writer|00000\n")
    return folder


def test_every_row_lies_in_the_span_of_its_time(release: pathlib.Path, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "spans"
    assert cut(release, DataConfig(), target, days=3) == Cut(spans=6, rows=5, timeless=1)
    lines = (release / "u.data").read_bytes().split(b"\n")
    read = {path.parent.name: path.read_bytes().splitlines() for path in target.glob("*/u.data")}
    assert read == {
        "span-1": [lines[1], lines[3], lines[4]],
        "span-2": [lines[2]],
        **{f"span-{number}": [] for number in (3, 4, 5)},
        "span-6": [lines[0]],
    }
    for name in ("u.item", "u.user"):
        assert (target / name).read_bytes() == (release / name).read_bytes()


def test_a_csv_keeps_its_header_in_every_span(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    header = b"userId,movieId,rating,timestamp"
    rows = (b"1,1,3.5,%d" % START, b"1,1,4.0,%d" % (START + 8 * DAY))
    (tmp_path / "in" / "ratings.csv").write_bytes(b"\r\n".join((header, *rows)) + b"\r\n")
    (tmp_path / "in" / "movies.csv").write_bytes(b"movieId,title,genres\n1,A (1990),Drama\n")
    config = DataConfig(release="ml-latest-small")
    assert cut(tmp_path / "in", config, tmp_path / "out", days=7).spans == 2
    for number, row in enumerate(rows, 1):
        read = (tmp_path / "out" / f"span-{number}" / "ratings.csv").read_bytes()
        assert read == header + b"\n" + row + b"\n"


def _in_parts(folder: pathlib.Path, *texts: bytes) -> DataConfig:
    """Write ratings as Spark does, and a movie beside them."""
    (folder / "ratings.csv").mkdir(parents=True)
    for number, text in enumerate(texts):
        (folder / "ratings.csv" / f"part-{number:05}.csv").write_bytes(text)
    (folder / "movies.csv").mkdir()
    (folder / "movies.csv" / "part-00000.csv").write_bytes(b"movieId,title,genres\n1,A (1990),Drama\n")
    return DataConfig(release="ml-latest-small")


@pytest.mark.parametrize("count", [1, 3])
def test_a_folder_of_parts_is_cut_as_one_file(tmp_path: pathlib.Path, count: int) -> None:
    header = b"userId,movieId,rating,timestamp\n"
    rows = [b"%d,1,3.5,%d\n" % (part, START + day * DAY) for part in range(count) for day in (8, 0)]
    texts = [header + b"".join(rows[start : start + 2]) for start in range(0, len(rows), 2)]
    config = _in_parts(tmp_path / "in", *texts)
    assert cut(tmp_path / "in", config, tmp_path / "out", days=7) == Cut(2, 2 * count, 0)
    read = [(tmp_path / "out" / f"span-{number}" / "ratings.csv").read_bytes() for number in (1, 2)]
    assert read == [header + b"".join(rows[1::2]), header + b"".join(rows[::2])]
    spans = DataConfig.model_validate({"release": config.release, "spans": {}, "split": {"method": "span"}})
    found = files.find_inputs(str(tmp_path / "out"), spans)
    assert [source.name for source in found.ratings] == ["span-1/ratings.csv", "span-2/ratings.csv"]
    assert [source.name for source in found.movies] == ["movies.csv/part-00000.csv"]


def test_parts_of_different_columns_are_rejected(tmp_path: pathlib.Path) -> None:
    headers = (b"userId,movieId,rating,timestamp\n", b"movieId,userId,rating,timestamp\n")
    config = _in_parts(tmp_path / "in", *(header + b"1,2,3.5,%d\n" % START for header in headers))
    with pytest.raises(DataError, match="part-00001.csv must have the columns of .*part-00000.csv"):
        cut(tmp_path / "in", config, tmp_path / "out", days=7)
    assert not (tmp_path / "out").exists()


def test_times_that_no_rating_has_decide_nothing(release: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with open(release / "u.data", "ab") as file:
        file.write(b"\n1\t1\t3\t0\n1\t1\t3\t%d000\n" % START)
    assert cut(release, DataConfig(), tmp_path / "spans", days=3) == Cut(spans=6, rows=7, timeless=3)


def test_what_is_no_row_is_in_no_span(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    rows = [b"%d\t1\t3\t%d" % (user, START + user * DAY) for user in range(10)]
    (tmp_path / "in" / "u.data").write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(rows) + b"\r\n\t\t\t\r\n\x1a")
    (tmp_path / "in" / "u.item").write_bytes(b"1|A (1990)|01-Jan-1990||u|" + b"|".join([b"0"] * 19) + b"\n")
    (tmp_path / "in" / "u.user").write_bytes(b"1|30|F|writer|00000\n")
    assert cut(tmp_path / "in", DataConfig(), tmp_path / "out", days=7) == Cut(spans=2, rows=10, timeless=0)
    read = [(tmp_path / "out" / f"span-{number}" / "u.data").read_bytes() for number in (1, 2)]
    assert read == [b"\n".join(part) + b"\n" for part in (rows[:7], rows[7:])]


def test_the_target_appears_whole_or_not_at_all(release: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (release / "u.data").write_bytes(b"1\t1\t3\tnever\n")
    with pytest.raises(DataError, match="must hold ratings with a time"):
        cut(release, DataConfig(), tmp_path / "spans", days=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]
    with pytest.raises(DataError, match="must not exist yet"):
        cut(release, DataConfig(), release, days=3)


def test_the_command_says_what_it_wrote(release, tmp_path, capsys) -> None:
    arguments = ["cut", str(tmp_path / "spans"), "--data", str(release), "--days", "3"]
    assert main(arguments) == 0
    assert "6 spans of 3 days, 5 rows, 1 of them without a time, in span 1" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "must not exist yet" in capsys.readouterr().err
    assert main([*arguments[:-1], "0"]) == 2
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--release", "ml-100"])
    assert "invalid choice: 'ml-100'" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_on_spans_needs_a_folder_of_them(release, tmp_path) -> None:
    spans = DataConfig.model_validate({"spans": {}, "split": {"method": "span"}})
    with pytest.raises(DataError, match="must name a folder with spans.*python -m retraining cut"):
        fetch.resolve_data(spans, release, tmp_path / "cache")
    with pytest.raises(DataError, match="it names none"):
        fetch.resolve_data(spans, None, tmp_path / "cache")
    cut(release, DataConfig(), tmp_path / "spans", days=3)
    assert fetch.resolve_data(spans, tmp_path / "spans", tmp_path / "cache") == tmp_path / "spans"
