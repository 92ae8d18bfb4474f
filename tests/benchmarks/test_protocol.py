"""Made-up rows in the form of ml-100k."""

import pathlib

import numpy as np
import pytest

from benchmarks import protocol
from common.errors import DataError

ITEMS = (
    "1|Léon (1994)|01-Jan-1994||http://one|0|1|1" + "|0" * 16 + "\n"
    "2|Alien (1979)|01-Jan-1979||http://two|0|1" + "|0" * 17 + "\n"
    "3|Léon (1994)|01-Jan-1994||http://three|0|1" + "|0" * 17 + "\n"
    "4|Unrated (1990)|01-Jan-1990||http://four" + "|0" * 19 + "\n"
)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    rows = [f"{10 + row % 3}\t{1 + row % 3}\t{1 + row % 5}\t{880_000_000 + row}\n" for row in range(30)]
    (tmp_path / "u.data").write_text("".join(rows))
    (tmp_path / "u.item").write_bytes(ITEMS.encode("iso-8859-1"))
    (tmp_path / "u.user").write_text("10|24|M|writer|00000\n")
    return tmp_path


def test_two_ids_of_one_title_are_one_candidate(folder) -> None:
    ratings = protocol.read(folder)
    assert ratings.title_names.tolist() == ["Alien (1979)", "Léon (1994)", "Unrated (1990)"]
    assert ratings.title_names[ratings.titles[:3]].tolist() == ["Léon (1994)", "Alien (1979)", "Léon (1994)"]
    assert ratings.user_ids[ratings.users[:4]].tolist() == ["10", "11", "12", "10"]
    assert ratings.ratings[:6].tolist() == [1, 2, 3, 4, 5, 1]


def test_genres_are_those_of_the_candidate(folder) -> None:
    # Action, Adventure and unknown; of two ids of one title those of the first.
    assert protocol.read(folder).genres.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_the_tutorials_candidates_keep_both_ids(folder) -> None:
    assert list(protocol.movie_titles(folder).values()).count("Léon (1994)") == 2


def test_the_split_is_the_first_four_fifths_of_the_seeds_permutation() -> None:
    train, held_out = protocol.random_split(100_000, 42)
    assert (len(train), len(held_out)) == (80_000, 20_000)
    # numpy.random.RandomState is frozen, so that these rows are the same everywhere.
    assert train[:3].tolist() == [75721, 80184, 19864]
    assert sorted([*train, *held_out]) == list(range(100_000))


def test_a_written_split_holds_the_rows_of_the_split(folder, tmp_path) -> None:
    target = tmp_path / "split"
    parts = protocol.random_split(30, seed=1)
    protocol.write_split(folder, target, parts)
    lines = (folder / "u.data").read_text().splitlines()
    for name, rows in zip(("train", "eval"), parts, strict=True):
        assert (target / name / "u.data").read_text().splitlines() == [lines[row] for row in rows]
    assert (target / "u.item").read_bytes() == (folder / "u.item").read_bytes()
    assert (target / "u.user").exists()


def test_taken_rows_keep_the_indices_of_the_whole(folder) -> None:
    ratings = protocol.read(folder)
    taken = ratings.take(np.array([4, 2]))
    assert (taken.users.tolist(), taken.titles.tolist()) == (
        ratings.users[[4, 2]].tolist(),
        ratings.titles[[4, 2]].tolist(),
    )
    assert len(taken) == 2
    assert len(taken.title_names) == 3


@pytest.mark.parametrize(
    "row, reason",
    [
        ("5|Cut short (1990)|01-Jan-1990", "expected 24 columns, found 3"),
        ("5||01-Jan-1990||http://five" + "|0" * 19, "the title is empty"),
        ("|No id (1990)|01-Jan-1990||http://five" + "|0" * 19, "the movie id is empty"),
    ],
)
def test_a_broken_film_is_named_by_file_and_line_with_the_remedy(folder, row: str, reason: str) -> None:
    (folder / "u.item").write_bytes((ITEMS + row + "\n").encode("iso-8859-1"))
    with pytest.raises(DataError) as raised:
        protocol.read(folder)
    assert str(raised.value) == (
        f"{folder}/u.item, line 5: {reason}. Correct the line, or unpack the published archive anew."
    )
