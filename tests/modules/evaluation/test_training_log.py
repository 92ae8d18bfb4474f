"""What is read of a log that was written, and of one that was not."""

from __future__ import annotations

import pathlib

from modules.evaluation import training_log
from modules.evaluation.training_log import Log


def test_what_is_written_is_read(tmp_path: pathlib.Path) -> None:
    writer = training_log.Writer(str(tmp_path))
    writer.begin({"epochs": 2})
    writer.write(1, {"top-100": 0.25})
    writer.write(2, {"top-100": 0.5})
    assert training_log.read(str(tmp_path)) == Log({"epochs": 2}, {"top-100": {1: 0.25, 2: 0.5}})


def test_an_empty_folder_and_none_are_an_empty_log(tmp_path: pathlib.Path) -> None:
    for folder in (tmp_path, tmp_path / "removed"):
        assert training_log.read(str(folder)) == Log({}, {})
