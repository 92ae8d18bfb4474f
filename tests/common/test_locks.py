"""One holder at a time: another waits, or gets an error; the lock of a killed one is free."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading

import pytest

from common import locks

ROOT = pathlib.Path(__file__).parents[2]
HOLD = (
    "import sys, time\nfrom common import locks\n"
    "with locks.held(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def test_the_error_holds_the_text_of_the_holder_until_that_has_ended(tmp_path: pathlib.Path) -> None:
    path = tmp_path / ".lock"
    with locks.held(path) as file:
        file.write("Ada")
        file.flush()
        with pytest.raises(locks.HeldError, match="^Ada$"), locks.held(path, wait=False):
            pass
    with locks.held(path, wait=False):
        pass


def test_a_killed_holder_holds_up_nobody(tmp_path: pathlib.Path) -> None:
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        with pytest.raises(locks.HeldError), locks.held(path, wait=False):
            pass
        process.kill()
    with locks.held(path, wait=False):
        pass


def test_of_many_at_once_one_gets_the_lock_and_a_waiting_one_gets_it_next(tmp_path: pathlib.Path) -> None:
    path, events = tmp_path / ".lock", []
    start, tried = threading.Barrier(8), threading.Barrier(8)

    def claim() -> None:
        start.wait()
        try:
            with locks.held(path, wait=False):
                tried.wait()
                events.append("ended")
        except locks.HeldError:
            tried.wait()
            with locks.held(path):
                events.append("waited")

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert events == ["ended", *["waited"] * 7]
