"""How a text file is written: its encoding, and the mark that may begin it."""

from __future__ import annotations

import io
import logging
import pathlib

import pytest

from common.errors import DataError
from common.progress import progress
from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.sources import files, releases, rows

TITLES = ("Amélie (2001)", "Les Enfants du paradis (1945)", "Krzyżacy (1960)")
MARK = b"\xef\xbb\xbf"
HALF = SplitConfig(eval_share=0.5)


def movies(release: str, titles: tuple[str, ...]) -> str:
    """Write the movies file of a release, ids from 1."""
    lines = {
        "ml-100k": "{}|{}|01-Jan-1990||u|" + "|".join(["1"] + ["0"] * 18),
        "ml-1m": "{}::{}::Drama",
        "ml-10m": "{}::{}::Drama",
    }
    return "".join(lines[release].format(i, title) + "\n" for i, title in enumerate(titles, 1))


@pytest.mark.parametrize(
    ("release", "titles", "encoding", "mark", "noticed"),
    [
        ("ml-100k", TITLES[:2], "iso-8859-1", b"", ""),
        ("ml-100k", TITLES, "utf-8", b"", "it is in UTF-8, and the release's own file in iso-8859-1"),
        ("ml-100k", TITLES[1:2], "ascii", MARK, "it begins with a byte-order mark"),
        ("ml-1m", TITLES[:2], "iso-8859-1", b"", ""),
        (
            *("ml-1m", TITLES, "utf-8", MARK),
            "it begins with a byte-order mark; it is in UTF-8, and the release's own file in iso-8859-1",
        ),
        ("ml-10m", TITLES, "utf-8", b"", ""),
        ("ml-10m", TITLES, "utf-8", MARK, "it begins with a byte-order mark"),
    ],
)
def test_titles_are_read_as_they_were_meant_and_what_is_noticed_is_said_once(
    tmp_path: pathlib.Path, caplog, release, titles, encoding, mark, noticed
) -> None:
    caplog.set_level(logging.INFO, progress.name)
    spec = releases.RELEASES[release]
    for table in filter(None, (spec.ratings, spec.users)):
        (tmp_path / table.names[0]).write_bytes(b"1\n")
    path = tmp_path / spec.movies.names[0]
    path.write_bytes(mark + movies(release, titles).encode(encoding))
    (source,) = files.find_inputs(str(tmp_path), DataConfig(release=release)).movies
    read = [fields[:2] for _, _, fields in rows.read_table(source, spec.movies.columns)]
    assert read == [[str(i), title] for i, title in enumerate(titles, 1)]
    assert caplog.messages == ([f"{path}: {noticed}"] if noticed else [])


def test_a_mark_costs_no_film_its_ratings_and_no_rating_its_row(write_ml_100k, run_executor):
    base = write_ml_100k()
    plain = run_executor(base, DataConfig(split=HALF), "plain")
    for name in ("u.data", "u.item", "u.user"):
        (base / name).write_bytes(MARK + (base / name).read_bytes())
    marked = run_executor(base, DataConfig(split=HALF), "marked")
    assert (marked.rows, marked.counts, marked.bad) == (plain.rows, plain.counts, [])


def test_a_file_saved_again_as_utf_8_gives_the_same_rows(write_ml_100k, run_executor):
    flags = b"|".join([b"1"] + [b"0"] * 18)
    base = write_ml_100k(extra_item=b"99|Am\xe9lie (2001)|01-Jan-2001||u|" + flags + b"\n")
    plain = run_executor(base, DataConfig(split=HALF), "plain")
    (base / "u.item").write_bytes((base / "u.item").read_bytes().decode("iso-8859-1").encode())
    again = run_executor(base, DataConfig(split=HALF), "again")
    assert again.rows == plain.rows
    assert [film["movie_title"] for film in again.rows["catalogue"]][-1] == ["Amélie (2001)"]


def test_a_file_that_may_not_be_read_is_one_line(write_ml_100k, monkeypatch):
    def deny(path, *arguments, **options):
        if str(path) == str(base / "u.item"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **options)

    base, opened = write_ml_100k(), io.open
    monkeypatch.setattr(io, "open", deny)  # The superuser may read everything.
    with pytest.raises(DataError, match=f"^{base}/u.item cannot be used: Permission denied. Mend that"):
        files.find_inputs(str(base), DataConfig())
    with pytest.raises(DataError, match="^/nosuch/x cannot be used: No such file or directory"):
        files.find_inputs("/nosuch/x", DataConfig())
