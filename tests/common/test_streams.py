"""Programs whose output nobody reads, is closed, or is of an encoding that lacks letters."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from common import streams

ROOT = pathlib.Path(streams.__file__).parents[1]

PROGRAM = """
import sys
from common import streams

def main():
    {body}
    return 3

sys.exit(streams.run("program", main))
"""
SPEAKS = 'print("33\\N{VULGAR FRACTION ONE THIRD}", "\\udcff"); print("an error", file=sys.stderr)'


def run(body: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose main has this body, with its streams as a shell redirects them."""
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, PROGRAM.format(body=body)],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("encoding", "printed"), [("ascii", b"33? ?\n"), ("latin-1", b"33? ?\n"), ("utf-8", "33⅓ ?\n".encode())]
)
def test_what_an_encoding_lacks_is_replaced(encoding: str, printed: bytes) -> None:
    done = run(SPEAKS, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout, done.stderr) == (3, printed, b"an error\n")


def test_an_encoding_without_letters_for_an_error_escapes_them() -> None:
    done = run('print("Kor\\u00e9", file=sys.stderr)', PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (3, b"Kor\\xe9\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param('print("unread\\n" * 100_000); print("unread", flush=True)', id="much"),
        pytest.param('print("unread")', id="little, as the program ends"),
        pytest.param('print("unread\\n" * 100_000, file=sys.stderr)', id="errors"),
    ],
)
def test_a_program_goes_on_in_silence_after_its_reader_has_left(body: str, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=writer,
        stderr=writer if "stderr" in body else subprocess.PIPE,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert (done.returncode, done.stderr or b"") == (3, b"")


@pytest.mark.parametrize(
    ("redirection", "closed"), [(">&-", "output"), ("2>&-", "error"), (">&- 2>&-", "output")]
)
def test_a_closed_stream_is_named(redirection: str, closed: str) -> None:
    done = run('open("/dev/null/never")', redirection)
    words = (
        f"program: the standard {closed} must be open; it is closed. Send it to a file, or to /dev/null.\n"
    )
    printed = "" if redirection == ">&- 2>&-" else words
    assert (done.returncode, (done.stdout + done.stderr).decode()) == (2, printed)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("local_runner.py", "local_runner.py"),
        ("kubeflow_v2_runner.py", "kubeflow_v2_runner.py"),
        ("serving", "-m serving"),
        ("retraining", "-m retraining"),
    ],
)
def test_every_program_has_such_streams(name: str, command: str) -> None:
    for redirection, said in ((">&-", f"{name}: the standard output must be open"), ("| true", "")):
        line = f"{sys.executable} {command} --help {redirection}"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.stderr.startswith(said) and done.stderr.count("\n") == bool(said)
