import os
import sys

import pytest

from benchmarks import processes

MB = 1_000_000
HOLD = "import sys, time; held = bytearray({size}); {then}; time.sleep(2); print('done')"


def test_counts_time_output_and_the_memory_of_all_processes(tmp_path) -> None:
    child = HOLD.format(size=120 * MB, then="pass")
    parent = HOLD.format(
        size=200 * MB, then=f"import subprocess; subprocess.run([sys.executable, '-c', {child!r}])"
    )
    cost, said = processes.measured([sys.executable, "-c", parent], tmp_path, os.environ)
    assert said == "done\ndone\n"
    assert 4.0 < cost.seconds < 60
    assert 200 * MB < cost.largest < 300 * MB
    assert 320 * MB < cost.together < 420 * MB


def test_says_what_a_failed_command_said(tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3:\nsaid so\n"):
        processes.measured([sys.executable, "-c", "print('said so'); exit(3)"], tmp_path, os.environ)
