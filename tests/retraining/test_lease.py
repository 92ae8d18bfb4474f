"""One holder at a time: another waits in vain, a crashed one is reclaimed, one that stood still is told."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from retraining.lease import Lease, LeaseError, _locked, held

_HOLD = (
    "import pathlib, sys, time\nfrom retraining.lease import held\n"
    "with held(pathlib.Path(sys.argv[1]), 60):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def holder(path: pathlib.Path) -> subprocess.Popen:
    """A process that holds the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True, cwd=_ROOT
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


_ROOT = pathlib.Path(__file__).parents[2]


def test_a_second_is_refused_in_words_until_the_first_has_ended(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "folder" / "lease.json"
    with held(path, 60):
        with (
            pytest.raises(LeaseError, match=r"process \d+ on .* holds .*lease.json, until \d\d:"),
            held(path, 60),
        ):
            pass
        assert json.loads(path.read_text())["expires"] > time.time()
    assert not path.exists()
    with held(path, 60):
        pass


def test_a_crashed_holder_is_reclaimed_at_once_and_a_living_one_is_not(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lease.json"
    process = holder(path)
    with pytest.raises(LeaseError, match=f"process {process.pid} on"), held(path, 60):
        pass
    process.kill()
    process.communicate()
    with held(path, 60):
        pass


def test_a_holder_whose_number_another_process_has_now_is_reclaimed(tmp_path: pathlib.Path) -> None:
    path, kept = tmp_path / "lease.json", tmp_path / "kept.json"
    with held(path, 60):
        kept.write_bytes(path.read_bytes())
    state = json.loads(kept.read_text())
    path.write_text(json.dumps(state))
    with pytest.raises(LeaseError, match=f"process {os.getpid()} on"), held(path, 60):
        pass
    boot, after = state["born"].split()
    for born in (f"another-boot {after}", f"{boot} {int(after) - 1}"):
        path.write_text(json.dumps({**state, "born": born}))
        with held(path, 60):
            assert json.loads(path.read_text())["token"] != state["token"]
    path.write_text(json.dumps({**state, "born": ""}))  # Where that is hidden it may still live.
    with pytest.raises(LeaseError), held(path, 60):
        pass


def test_a_holder_elsewhere_is_reclaimed_when_its_time_is_over(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lease.json"
    state = {"holder": "process 1 on moon", "place": "moon 1", "process": 1, "token": "x"}
    path.write_text(json.dumps({**state, "expires": time.time() + 60}))
    with pytest.raises(LeaseError, match="process 1 on moon"), held(path, 60):
        pass
    path.write_text(json.dumps({**state, "expires": time.time() - 1}))
    with held(path, 60):
        assert json.loads(path.read_text())["token"] != "x"


@pytest.mark.parametrize("content", [b"", b'{"holder": "process 1 on', b"{}", b"null", b"\0" * 90, b"\xff"])
def test_what_cannot_be_read_has_run_out_and_that_is_said(content: bytes, tmp_path, caplog) -> None:
    caplog.set_level("INFO", "marquee.progress")
    path = tmp_path / "lease.json"
    path.write_bytes(content)
    with held(path, 60):
        assert f"somebody unknown ({path} cannot be read) left its lease behind" in caplog.text
        with pytest.raises(LeaseError, match=r"process \d+ on"), held(path, 60):
            pass
    assert not path.exists()


def test_a_lease_is_on_the_disk_before_it_takes_its_place(tmp_path: pathlib.Path, monkeypatch) -> None:
    path, synced = tmp_path / "lease.json", []

    def sync(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    with held(path, 60):
        assert synced == [(str(tmp_path / "lease.new"), False), (str(tmp_path), True)]


def test_a_lease_is_renewed_while_it_is_held(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lease.json"
    with held(path, 0.3):
        first = json.loads(path.read_text())["expires"]
        deadline = time.monotonic() + 20
        while json.loads(path.read_text())["expires"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_who_lost_the_lease_is_told_and_leaves_the_others_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lease.json"
    with held(path, 0.3) as lease:
        other = {"holder": "another", "place": "", "process": 1, "token": "y", "expires": time.time() + 60}
        with _locked(path):  # Or the renewal could have read its own and write it over this.
            path.write_text(json.dumps(other))
        assert lease.lost.wait(20)
    assert json.loads(path.read_text())["token"] == "y"


def test_who_finds_the_lease_damaged_has_lost_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lease.json"
    with held(path, 60) as lease:
        path.write_bytes(b"")
        assert not lease.renew()
        assert lease.lost.is_set()
    assert path.read_bytes() == b""


def test_who_finds_the_lease_given_back_by_another_has_lost_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lease.json"
    with held(path, 0.3) as lease:
        with _locked(path):
            path.unlink()
        assert lease.lost.wait(20)
        assert not lease.renew()
    assert not path.exists()


def test_a_disk_that_refuses_once_does_not_end_the_renewing(tmp_path: pathlib.Path, monkeypatch) -> None:
    path, written = tmp_path / "lease.json", threading.Event()

    def write(lease: Lease) -> None:
        monkeypatch.undo()
        written.set()
        raise OSError("No space left on device")

    with held(path, 0.3) as lease:
        monkeypatch.setattr(Lease, "_write", write)
        assert written.wait(20)
        first = json.loads(path.read_text())["expires"]
        deadline = time.monotonic() + 20
        while json.loads(path.read_text())["expires"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not lease.lost.is_set()


def test_of_many_at_once_one_gets_it(tmp_path: pathlib.Path) -> None:
    path, got, refused = tmp_path / "lease.json", [], []
    start, end = threading.Barrier(8), threading.Barrier(8)

    def claim() -> None:
        start.wait()
        try:
            with held(path, 60):
                got.append(1)
                end.wait()
        except LeaseError:
            refused.append(1)
            end.wait()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
