"""docs/retraining.md and README: every command is valid, every field of a schedule has its default."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from benchmarks.quality import replay
from retraining.__main__ import parse
from retraining.schedule import Schedule
from tests.docs.blocks import DOCS

PAGE = (DOCS / "retraining.md").read_text(encoding="utf-8")
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
_COMMAND = re.compile(r"^python -m (retraining|benchmarks\.quality\.replay) (.*)$", re.MULTILINE)


@pytest.mark.parametrize(("text", "count"), [(PAGE, 6), (README, 2)], ids=["page", "readme"])
def test_every_command_is_understood(text: str, count: int, capsys) -> None:
    commands = _COMMAND.findall(text)
    assert len(commands) == count
    for module, arguments in commands:
        if module == "retraining":
            assert callable(parse(shlex.split(arguments)).do)
        else:
            assert module == replay.__name__
            assert all(flag in _help(capsys) for flag in re.findall(r"--\w+", arguments))


def _help(capsys) -> str:
    try:
        replay.main(["--help"])
    except SystemExit:
        return capsys.readouterr().out
    raise AssertionError("--help ends the process")


def test_every_field_of_a_schedule_is_listed_with_its_default() -> None:
    listed: dict[str, object] = {}
    for names, defaults in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", PAGE, re.MULTILINE):
        values = [text.strip("` ") for text in defaults.split(",")]
        listed.update(zip(re.findall(r"`(\w+)`", names), map(_value, values), strict=True))
    assert listed == {**Schedule().model_dump(), "window": "as configured"}


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
