"""What people give as --data: folders and archives of any shape, each read or rejected in the right words."""

from __future__ import annotations

import pathlib
import tarfile
import zipfile

import pytest

from common.errors import DataError
from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.fetching import fetch

RATINGS = b"userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n"
MOVIES = b"movieId,title,genres\n2,Film (1995),Drama\n"
FILES = {"ratings.csv": RATINGS, "movies.csv": MOVIES}
CUSTOM = DataConfig(release="custom")
RATINGS_FILE, MOVIES_FILE = r"ratings\.csv or ratings\.parquet", r"movies\.csv or movies\.parquet"
MUST = rf"must hold {RATINGS_FILE}, {MOVIES_FILE} in one folder \(release custom"


@pytest.fixture(params=["folder", "zip"])
def given(request: pytest.FixtureRequest, tmp_path: pathlib.Path):
    """Write files as a folder or as a zip, and name its path."""

    def write(files: dict[str, bytes]) -> pathlib.Path:
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "data.zip", "w") as opened:
                for name, content in files.items():
                    opened.writestr(name, content)
            return tmp_path / "data.zip"
        for name, content in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "data"

    return write


def inside(folder: str, files: dict[str, bytes] = FILES) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def find(data: pathlib.Path, config: DataConfig = CUSTOM) -> pathlib.Path:
    return fetch.resolve_data(config, data, data.parent / "cache")


@pytest.mark.parametrize("files", [FILES, inside("ml")], ids=["at the top", "in a folder"])
@pytest.mark.parametrize(
    "beside",
    [
        *(".DS_Store", "Thumbs.db", "desktop.ini", "README", "Read me: first.txt", "~$movies.csv"),
        *(
            "__MACOSX/ml/._movies.csv",
            "__MACOSX/movies.csv",
            ".ipynb_checkpoints/movies.csv",
            "old/movies.csv",
        ),
        *("old/movies.csv.bak", "._movies.csv"),
    ],
)
def test_what_systems_and_people_put_beside_the_data_does_not_matter(given, files, beside):
    folder = find(given({**files, beside: b"junk"}))
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES


def test_files_in_two_folders_are_named_with_these(given):
    data = given({"a/ratings.csv": RATINGS, "b/movies.csv": MOVIES})
    words = rf"; found {RATINGS_FILE} in a/; {MOVIES_FILE} in b/\. Put them into one folder\."
    with pytest.raises(DataError, match=f"^{data} {MUST}.*{words}"):
        find(data)


def test_two_copies_are_named(given):
    data = given({**inside("ml"), **inside("ml copy")})
    with pytest.raises(
        DataError, match=f"^{data} {MUST}.*; found them in each of ml copy/, ml/. Name one of them"
    ):
        find(data)
    assert find(given(FILES)).name != "ml", "that at the top comes first"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"Ratings.CSV": RATINGS, "Movies.csv": MOVIES}, r"only Movies\.csv, Ratings\.CSV\. Name another"),
        (
            {"movies.csv": MOVIES, "ratings.csv.gz": b"x"},
            r"only movies\.csv, ratings\.csv\.gz\. Name another",
        ),
        (
            {f"{i}.png": b"x" for i in range(9)},
            r"only 0\.png, 1\.png, 2\.png, 3\.png, 4\.png, \.\.\.\. Name another",
        ),
        (
            {"u.data": b"x", "u.item": b"x", "u.user": b"x"},
            r"only .*\. Its files look like those of: ml-100k\.",
        ),
    ],
)
def test_other_files_are_named_with_what_was_expected(given, files, found):
    data = given(files)
    with pytest.raises(DataError, match=f"^{data} {MUST}, split method hash\\); found {found}"):
        find(data)


def test_a_folder_without_files_is_said_to_be_empty(tmp_path):
    with pytest.raises(DataError, match=f"{MUST}.*; found nothing. Name another folder or zip"):
        find(tmp_path)


def test_spreadsheets_and_damaged_zips_have_different_errors(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as opened:
        opened.writestr("xl/workbook.xml", b"x")
    with pytest.raises(DataError, match=f"{MUST}.*; found only xl/workbook.xml"):
        find(tmp_path / "a.xlsx")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match="must be an undamaged zip"):
        find(tmp_path / "a.zip")


@pytest.mark.parametrize("kind", ["tar.gz", "csv", "empty"])
def test_a_file_that_is_no_zip_is_said_to_be_none(tmp_path, kind):
    path = tmp_path / f"ratings.{kind}"
    path.write_bytes(RATINGS if kind == "csv" else b"")
    if kind == "tar.gz":
        (tmp_path / "movies.csv").write_bytes(MOVIES)
        with tarfile.open(path, "w:gz") as opened:
            opened.add(tmp_path / "movies.csv", "movies.csv")
    words = (
        f"{path} is another kind of file. Name the folder that holds {RATINGS_FILE}, {MOVIES_FILE}; unpack an"
    )
    with pytest.raises(DataError, match=f"^--data must name a folder or a zip; {words} archive first.$"):
        find(path)


@pytest.mark.parametrize(
    "config", [CUSTOM, DataConfig.model_validate({"spans": {}})], ids=["release", "spans"]
)
@pytest.mark.parametrize("path", ["~nosuch/x", "/nosuch/x", "~/nosuch", "\0", "a" * 5000, "/dev/null/x"])
def test_a_path_that_leads_nowhere_is_one_line(tmp_path, config, path):
    with pytest.raises(DataError) as caught:
        fetch.resolve_data(config, pathlib.Path(path), tmp_path)
    assert "\n" not in str(caught.value)


SPARK = {
    "ratings.csv/_SUCCESS": b"",
    "ratings.csv/.part-00000.csv.crc": b"x",
    "ratings.csv/part-00000.csv": RATINGS,
    "movies.csv": MOVIES,
}


@pytest.mark.parametrize("files", [SPARK, inside("ml", SPARK)], ids=["at the top", "in a folder"])
def test_a_file_that_spark_wrote_as_a_folder_is_found(given, files):
    folder = find(given(files))
    assert (folder / "ratings.csv" / "part-00000.csv").read_bytes() == RATINGS


def test_the_folder_of_a_given_split_is_found_too(given):
    files = {"train/ratings.csv": RATINGS, "eval/ratings.csv/part-0.csv": RATINGS, "movies.csv": MOVIES}
    folder = find(given(inside("ml", files)), DataConfig(release="custom", split=SplitConfig(method="given")))
    assert {name: (folder / name).read_bytes() for name in files} == files
