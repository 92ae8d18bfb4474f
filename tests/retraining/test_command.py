"""The command line of retraining: what a person gets wrong is one line, never a traceback."""

from __future__ import annotations

import pathlib
import shlex
import time

import pytest

from pipeline import config as configuration
from retraining.__main__ import main, parse


@pytest.fixture
def data(tmp_path: pathlib.Path) -> list[str]:
    (tmp_path / "spans" / "span-1").mkdir(parents=True)
    return ["--data", str(tmp_path / "spans")]


def test_each_pipelines_timer_is_written_into_a_folder_that_is_made(
    data: list[str], tmp_path: pathlib.Path
) -> None:
    into = tmp_path / "systemd" / "user"
    assert main(["timer", "systemd", *data, "--into", str(into)]) == 0
    (tmp_path / "config.json").write_text('{"name": "films"}')
    config = ["--config", str(tmp_path / "config.json")]
    assert main(["timer", "systemd", *data, *config, "--into", str(into)]) == 0
    others = tmp_path / "others"
    others.mkdir()
    assert main(["timer", "systemd", "--data", str(others), "--into", str(into)]) == 0
    preset = configuration.retraining()
    pipelines = [
        configuration.of_data(preset, data[1]),
        configuration.of_data(preset.model_copy(update={"name": "films"}), data[1]),
        configuration.of_data(preset, others),
    ]
    names = {pipeline.pipeline_name for pipeline in pipelines}
    assert len(names) == 3
    assert {path.name for path in into.iterdir()} == {
        f"retrain-{name}.{kind}" for name in names for kind in ("service", "timer")
    }


@pytest.mark.parametrize(
    "arguments", [("timer", "systemd", "--into"), ("run", "--pipeline-root")], ids=["timer", "run"]
)
def test_a_folder_that_cannot_be_made_is_one_line(
    arguments: tuple[str, ...], data: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    command, *flags = arguments
    assert main([command, *data, *flags, str(tmp_path / "file" / "below")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("retraining: ") and "Not a directory" in line


@pytest.mark.parametrize("flag", ["--data", "--pipeline-root", "--push-dir"])
def test_a_url_is_no_folder_of_this_machine(
    data: list[str], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", *data, flag, "gs://b/x"])
    assert ended.value.code == 2
    assert f"{flag}: must be a path of this machine" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_crontab_that_debians_cron_reads_otherwise_says_so(
    data: list[str],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
) -> None:
    """That cron takes CRON_TZ for a variable of the command's, and runs it by the machine's clock."""
    (tmp_path / "schedule.json").write_text(f'{{"time_zone": "{zone}"}}')
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    try:
        assert main(["timer", "crontab", *data, "--schedule", str(tmp_path / "schedule.json")]) == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    said = capsys.readouterr()
    assert said.out.startswith(f"CRON_TZ={zone}\n0 3 * * 1 cd ")
    words = "retraining: the cron of Debian and Ubuntu ignores CRON_TZ, and would follow the machine's clock"
    assert said.err.startswith(words) if zone == "Asia/Tokyo" else said.err == ""


def test_a_timer_runs_the_command_with_all_given_flags(
    data: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "schedule.json").write_text('{"keep_runs": 7}')
    flags = [*data, "--config", str(tmp_path / "config.json"), "--schedule", str(tmp_path / "schedule.json")]
    flags += ["--preset", "retraining", "--release", "ml-100k", "--tune", "--batch-recommendations"]
    flags += ["--strategy", "mirrored"]
    flags += ["--pipeline-root", str(tmp_path / "runs"), "--push-dir", str(tmp_path / "pushed")]
    assert main(["timer", "crontab", *flags]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[1])
    written = vars(parse(words[words.index("retraining") + 1 :]))
    expected = vars(parse(["run", *flags]))
    assert written == expected
    defaults = vars(parse(["run", *data]))
    given = {name for name in expected if defaults[name] != expected[name]}
    assert given == set(expected) - {"do", "data", "since", "preset"}, (
        "of every other flag something is said here"
    )
