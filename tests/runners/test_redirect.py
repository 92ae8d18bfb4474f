"""What goes to the log, and what to the terminal."""

from __future__ import annotations

import logging
import os
import pathlib
import subprocess
import sys

import pytest

from runners.terminal.redirect import terminal_and_log

# In a process of its own: pytest's own sys.stdout does not lead to descriptor 1.
SPEAKING = """
import logging, os, pathlib, subprocess, sys, warnings
from runners.terminal.redirect import terminal_and_log

with terminal_and_log(pathlib.Path(sys.argv[1])) as terminal:
    print("from python")
    os.write(1, b"from C++ on stdout\\n")
    os.write(2, b"from C++ on stderr\\n")
    subprocess.run(["echo", "from a child"], check=True)
    logging.getLogger("absl").info("an info")
    warnings.warn("a warning")
    terminal.write("for a person: \\u00fcn\\u00ef\\n")
print("afterwards")
"""


def test_all_that_libraries_say_goes_to_the_log_and_the_rest_to_the_terminal(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "run.log"
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING, str(log)], capture_output=True, encoding="utf-8", check=True
    )
    assert (done.stdout, done.stderr) == ("for a person: ünï\nafterwards\n", "")
    text = log.read_text()
    for line in (
        *("from python", "from C++ on stdout", "from C++ on stderr", "from a child"),
        *("INFO absl: an info", "UserWarning: a warning"),
    ):
        assert line in text
    assert "for a person" not in text


def test_a_run_goes_on_in_silence_where_nobody_reads_the_terminal(tmp_path: pathlib.Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    spoken = SPEAKING.replace('print("afterwards")', "")
    done = subprocess.run(
        [sys.executable, "-c", spoken, str(tmp_path / "log")],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "UserWarning: a warning" in (tmp_path / "log").read_text()


ON_A_FULL_DISK = """
import logging, pathlib, sys
from runners.terminal.redirect import terminal_and_log

try:
    with terminal_and_log(pathlib.Path("/dev/full")) as terminal:
        print("from python")
        sys.stderr.write("without a line's end")
        logging.getLogger("absl").info("an info")
        terminal.write("for a person\\n")
        raise ValueError("the cause")
except ValueError as error:
    print(f"{error}, {error.__context__}")
"""


def test_a_full_disk_takes_the_log_but_neither_the_cause_nor_the_terminal() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env=environment,
    )
    assert (done.stdout, done.stderr) == ("for a person\nthe cause, None\n", "")


LATE = """
import os, pathlib, sys
from runners.terminal.redirect import terminal_and_log

with terminal_and_log(pathlib.Path(sys.argv[1])) as terminal:
    terminal.write("without a line's end")
# The lowest number that is free, which was the terminal's.
file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
try:
    print("late", file=terminal, flush=True)
except ValueError as error:
    print(f", {error}")
"""


def test_who_writes_late_writes_to_no_file_that_has_the_terminal_s_number(tmp_path: pathlib.Path) -> None:
    paths = (str(tmp_path / "run.log"), str(tmp_path / "other"))
    done = subprocess.run(
        [sys.executable, "-c", LATE, *paths], capture_output=True, encoding="utf-8", check=True
    )
    assert (tmp_path / "other").read_bytes() == b""
    assert done.stdout == "without a line's end, I/O operation on closed file.\n"


def test_a_second_run_adds_to_the_log_and_logging_is_as_before(tmp_path: pathlib.Path) -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    for word in ("first", "second"):
        with pytest.raises(ZeroDivisionError), terminal_and_log(tmp_path / "run.log"):
            logging.getLogger("tfx").info(word)
            _ = 1 / 0
    assert [line.split(": ")[-1] for line in (tmp_path / "run.log").read_text().splitlines()] == [
        "first",
        "second",
    ]
    assert (root.level, root.handlers[:]) == before
