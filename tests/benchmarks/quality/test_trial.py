"""What a trial is fitted to and measured on: rows of train alone."""

from __future__ import annotations

import pathlib

import pytest

from benchmarks import protocol, splits
from benchmarks.protocol import ML_100K
from benchmarks.quality import trial


def rows(folder: pathlib.Path) -> set[bytes]:
    return set((folder / ML_100K.ratings.names[0]).read_bytes().splitlines())


@pytest.fixture
def release(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "u.item").write_text("".join(f"{n}|Film {n} (1990)|||" + "|0" * 19 + "\n" for n in range(1, 6)))
    (folder / "u.user").write_text("1|24|M|writer|85711\n")
    # Each row another second, so that rows tell themselves apart.
    (folder / "u.data").write_text("".join(f"1\t{n % 5 + 1}\t3\t{1000 + 7 * n % 400}\n" for n in range(200)))
    return folder


def test_by_chance_both_parts_are_train_rows_of_the_random_split(release, tmp_path) -> None:
    config = trial.divide_train(release, tmp_path / "data", splits.RANDOM)
    assert config.split.method == "given"
    fitted, held_out = rows(tmp_path / "data" / "train"), rows(tmp_path / "data" / "eval")
    assert (len(fitted), len(held_out), len(fitted & held_out)) == (128, 32, 0)
    lines = (release / "u.data").read_bytes().splitlines()
    train, others = protocol.random_split(200, 42)
    assert fitted | held_out == {lines[row] for row in train}
    assert not (fitted | held_out) & {lines[row] for row in others}


def test_of_leave_one_out_the_last_row_of_train_is_held_out(release, tmp_path) -> None:
    config = trial.divide_train(release, tmp_path / "data", splits.LEAVE_ONE_OUT)
    assert config.split.method == "given"
    fitted, held_out = rows(tmp_path / "data" / "train"), rows(tmp_path / "data" / "eval")
    seconds = {line: int(line.split(b"\t")[3]) for line in rows(release)}
    by_time = sorted(seconds, key=lambda line: seconds[line])
    assert (fitted, held_out) == (set(by_time[:-2]), {by_time[-2]})


def test_by_time_no_row_after_the_cut_is_read(release, tmp_path) -> None:
    config = trial.divide_train(release, tmp_path / "data", splits.TIME)
    assert config.split.method == "time" and config.split.rolling
    seconds = [int(line.split(b"\t")[3]) for line in rows(tmp_path / "data")]
    every = sorted(int(line.split(b"\t")[3]) for line in rows(release))
    assert sorted(seconds) == every[:160]
    assert (tmp_path / "data" / "u.item").is_file() and (tmp_path / "data" / "u.user").is_file()


def test_trials_may_follow_flags_and_a_wrong_field_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["trial", "retrieval", "--protocol", "time", "{}", '{"embeding_dim": 8}'])
    with pytest.raises(SystemExit):
        trial.main()
    assert "embeding_dim" in capsys.readouterr().err.splitlines()[-1]
