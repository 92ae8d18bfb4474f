"""The command line of local_runner.py: flags, mistakes, and what it spends before it must."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import local_runner
from runners import exit_codes

ROOT = pathlib.Path(local_runner.__file__).parent
FLAGS = (
    *("--data", "--release", "--preset", "--config", "--tune"),
    *("--strategy", "--batch-recommendations"),
    *("--runner", "--jobs", "--pipeline-root", "--push-dir", "--report", "--no-report"),
)


def run(*arguments: str, cwd: pathlib.Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "local_runner.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, cwd=cwd)


def test_help_lists_every_flag_with_its_default() -> None:
    text = run("--help").stdout
    described = re.split(r"\n  (?=--)", text)[1:]
    assert [part.split()[0] for part in described] == list(FLAGS)
    for part in described:
        assert "(default: " in " ".join(part.split())


def test_reading_flags_and_configuration_imports_nothing_heavy() -> None:
    code = (
        "import sys, local_runner\n"
        "local_runner.configure(local_runner.parse([]))\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'numpy', 'requests', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_bundles_are_pushed_below_the_pipeline_root_without_a_push_dir(tmp_path: pathlib.Path) -> None:
    options = local_runner.parse(["--pipeline-root", str(tmp_path)])
    assert (options.pipeline_root, options.push_dir) == (tmp_path, tmp_path / "pushed")
    options = local_runner.parse(["--preset", "tutorial"])
    assert options.push_dir == pathlib.Path("runs/pushed-tutorial").resolve()
    options = local_runner.parse(["--push-dir", str(tmp_path / "live")])
    assert (options.pipeline_root, options.push_dir) == (pathlib.Path("runs").resolve(), tmp_path / "live")


def test_a_root_that_tensorflow_takes_for_a_pattern_is_rejected_where_beams_workers_may_be_elsewhere(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs [1]"
    beam = ["--", "--runner=PortableRunner", "--job_endpoint=head:8099"]
    assert local_runner.main(["--pipeline-root", str(folder), *beam]) == exit_codes.MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert "--pipeline-root must lead to a folder without * ? [ \\ in its path" in line
    assert f"received {folder}, which has [. Name another folder." in line
    assert not folder.exists()


def test_batch_recommendations_are_made_where_the_flag_or_the_file_says_so(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"batch": {"k": 20}}))
    for flags, k in (
        ([], None),
        (["--batch-recommendations"], 10),
        (["--config", str(path)], 20),
        (["--config", str(path), "--batch-recommendations"], 20),
    ):
        batch = local_runner.configure(local_runner.parse(flags)).batch
        assert (batch.k if batch else None) == k


def test_what_follows_two_dashes_is_beams() -> None:
    options = local_runner.parse(
        ["--runner", "beam", "--", "--direct_num_workers=2", "--runner=DirectRunner"]
    )
    assert (options.runner, options.beam_options) == (
        "beam",
        ["--direct_num_workers=2", "--runner=DirectRunner"],
    )
    assert local_runner.parse([]).beam_options == []


def test_a_file_replaces_the_presets_values_and_a_flag_the_files(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"data": {"release": "ml-1m", "split": {"seed": 7}}}))
    options = local_runner.parse(["--preset", "tutorial", "--config", str(path)])
    config = local_runner.configure(options)
    assert (config.name, config.data.release, config.data.split.seed) == ("marquee-tutorial", "ml-1m", 7)
    config = local_runner.configure(local_runner.parse(["--config", str(path), "--release", "ml-25m"]))
    assert (config.name, config.data.release, config.data.split.seed) == ("marquee", "ml-25m", 7)


def test_trainings_are_spread_as_the_flag_or_the_file_says(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"strategy": "mirrored"}))
    file = ["--config", str(path)]
    for flags, strategy in (
        ([], "none"),
        (["--strategy", "mirrored"], "mirrored"),
        (file, "mirrored"),
        ([*file, "--strategy", "none"], "none"),
    ):
        assert local_runner.configure(local_runner.parse(flags)).strategy == strategy


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--relaese", "ml-1m"], 2, "unrecognized arguments: --relaese", id="an unknown flag"),
        pytest.param(["ml-1m"], 2, "unrecognized arguments: ml-1m", id="a stray word"),
        pytest.param(["--release", "ml-2m"], 2, "invalid choice: 'ml-2m'", id="an unknown release"),
        pytest.param(["--config", "no.json"], 2, "no.json must be a readable JSON file", id="no such file"),
        pytest.param(["--config", "typo.json"], 2, "typo.json: dta: ", id="an unknown field"),
        pytest.param(["--config", "share.json"], 2, "share.json: data.max_bad_share: ", id="out of range"),
        pytest.param(
            ["--config", "workers.json"], 2, "workers.json: strategy multi_worker needs", id="several workers"
        ),
        pytest.param(["--pipeline-root", "gs://b/x"], 2, "--pipeline-root: must be a path", id="a URL"),
        pytest.param(["--push-dir", "gs://b/x"], 2, "--push-dir: must be a path", id="another"),
        pytest.param(["--pipeline-root", "r\udcff"], 2, "--pipeline-root: must be UTF-8", id="other bytes"),
        pytest.param(
            ["--push-dir", "~nosuch/x"],
            2,
            "--push-dir: must not be below the home of an unknown user",
            id="no home",
        ),
        pytest.param(
            ["--data", "~nosuch/x"],
            2,
            "--data: must not be below the home of an unknown user",
            id="nobody's data",
        ),
        pytest.param(["--data", "absent.zip"], 1, "there is none at ", id="no such data"),
        pytest.param(["--release", "custom"], 1, "with --data", id="data of one's own, but where"),
    ],
)
def test_a_mistake_is_answered_in_words(
    tmp_path: pathlib.Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "typo.json").write_text('{"dta": {}}')
    (tmp_path / "workers.json").write_text('{"strategy": "multi_worker"}')
    (tmp_path / "share.json").write_text('{"data": {"max_bad_share": 2}}')
    done = run(*arguments, cwd=tmp_path)
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (code, "")
    assert last.startswith("local_runner.py: ") and words in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(
            ["--pipeline-root", "/dev/null/x"], "/dev/null/x cannot be used: Not a directory.", id="no folder"
        ),
        pytest.param(["--data", "x" * 300], "cannot be used: File name too long.", id="no name for a folder"),
        pytest.param(["--pipeline-root", "taken"], "taken/logs cannot be used: File exists.", id="no logs"),
        pytest.param(
            ["--push-dir", "movies.csv/x"], "movies.csv/x cannot be used: Not a directory", id="no push"
        ),
        pytest.param(
            ["--push-dir", "loop/x"],
            "cannot be used: Too many levels of symbolic links",
            id="a link to itself",
        ),
    ],
)
def test_what_the_disk_cannot_do_is_one_line(
    tmp_path: pathlib.Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("ratings.csv", "movies.csv", "taken/logs"):
        (tmp_path / name).touch()
    done = run("--release", "custom", "--data", ".", *arguments, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert line.startswith("local_runner.py: ") and words in line


def test_a_destination_that_may_not_be_entered_is_one_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Root may enter every folder, so what others meet is planted."""

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "pushed" / "current"))

    def recommended(*_: object) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(pathlib.Path, "exists", deny)
            local_runner._recommend(tmp_path / "pushed")

    monkeypatch.setattr(local_runner, "_run", recommended)
    assert local_runner.main(["--pipeline-root", str(tmp_path)]) == exit_codes.FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"local_runner.py: {tmp_path}/pushed/current cannot be used: Permission denied.")


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ("current/manifest.json", "current must be a link, and is a folder: a copy followed links"),
        (".last", "must hold the number of the highest version ever published; it holds '?'"),
        ("withdrawn.json", "must hold the versions that were withdrawn; it cannot be read"),
    ],
)
def test_a_destination_that_a_push_would_reject_ends_a_run_before_its_first_step(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    damaged: str,
    words: str,
) -> None:
    monkeypatch.setattr(local_runner, "_find_data", lambda *_: pytest.fail("the run has begun"))
    path = tmp_path / "pushed" / damaged
    path.parent.mkdir(parents=True)
    path.write_text("?")
    assert local_runner.main(["--pipeline-root", str(tmp_path)]) == exit_codes.FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("local_runner.py: ") and words in line
    assert not (tmp_path / "logs").exists()


def test_nobody_s_home_is_one_line(tmp_path: pathlib.Path) -> None:
    code = (
        "import os, pwd, sys, local_runner\n"
        "def nobody(*_): raise KeyError('not there')\n"
        "pwd.getpwuid = nobody\n"
        "sys.exit(local_runner.main(sys.argv[1:]))"
    )
    environ = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    for flags, code_and_words in (
        (["--data", "~/data"], (2, "must not be below the home of an unknown user")),
        ([], (1, "HOME must be set")),
        # A folder is read where it is. Then it is looked into.
        (["--data", str(tmp_path)], (1, "must hold u.data, u.item, u.user in one folder")),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, "--pipeline-root", str(tmp_path), *flags],
            capture_output=True, text=True, check=False, cwd=ROOT, env=environ, timeout=250,
        )  # fmt: skip
        last = done.stderr.splitlines()[-1]
        assert (done.returncode, done.stdout) == (code_and_words[0], "") and code_and_words[1] in last
        assert last.startswith("local_runner.py: ") and "Traceback" not in done.stderr


def test_a_second_run_of_one_folder_is_rejected(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / ".lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        done = run("--pipeline-root", str(tmp_path))
    assert done.returncode == exit_codes.BUSY == 75
    assert done.stderr == (
        f"local_runner.py: One run at a time may use {tmp_path}; process 4711 is using it. "
        "Wait until it has ended, or name another folder with --pipeline-root.\n"
    )
