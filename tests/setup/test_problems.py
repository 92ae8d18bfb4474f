"""What bootstrap says of a machine that will not do."""

import pytest

from bootstrap import problems

# The ends of what pip 23, pip 26 and uv 0.13 printed when these things happened.
DISK_FULL = [
    "  cause: failed to copy file from a.so to b.so: No space left on device (os error 28)",
    "shutil.Error: [('a/uv', 'b/uv', \"[Errno 28] No space left on device: 'a/uv' -> 'b/uv'\")]",
    "ERROR: Could not install packages due to an OSError: [Errno 122] Disk quota exceeded",
]
UNREACHABLE = [
    "  cause: failed to lookup address information: Temporary failure in name resolution",
    "error: Request failed after 3 retries in 4.5s\n  cause: Failed to fetch: http://127.0.0.1:9/simple/uv/\n"
    "  cause: error sending request for url (http://127.0.0.1:9/simple/uv/)\n  cause: client error (Connect)",
    "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError': /simple/uv/\n"
    "ERROR: No matching distribution found for uv==0.13.9",
]


@pytest.mark.parametrize(
    ("system", "machine", "libc", "told"),
    [
        ("Darwin", "arm64", "", "Darwin on arm64"),
        ("Linux", "aarch64", "glibc 2.36", "Linux on aarch64"),
        ("Linux", "x86_64", "", "another C library"),
        ("Linux", "x86_64", "glibc 2.17", "glibc 2.17"),
    ],
)
def test_a_platform_without_wheels_is_named(system: str, machine: str, libc: str, told: str) -> None:
    assert told in (problems.platform_problem(system, machine, libc) or "")


@pytest.mark.parametrize("libc", ["glibc 2.28", "glibc 2.36", "glibc 3.0"])
def test_a_platform_with_wheels_is_no_problem(libc: str) -> None:
    assert problems.platform_problem("Linux", "x86_64", libc) is None


def test_too_little_space_is_told_with_both_figures() -> None:
    line = problems.space_problem(1_200_000_000, "/home/ada/marquee") or ""
    assert "about 5 GB free in /home/ada/marquee and found 1.2 GB" in line
    assert problems.space_problem(problems.NEEDED_BYTES, "/") is None


@pytest.mark.parametrize("output", DISK_FULL)
def test_a_full_disk_is_recognised(output: str) -> None:
    assert (problems.diagnose(output) or "").startswith("The disk is full: free about 5 GB")


@pytest.mark.parametrize("output", UNREACHABLE)
def test_an_index_out_of_reach_is_recognised(output: str) -> None:
    assert problems.diagnose(output) == problems.INDEX_ADVICE


def test_a_missing_pip_is_recognised() -> None:
    assert "has no pip: install it" in (problems.diagnose("/usr/bin/python3: No module named pip") or "")


def test_what_nobody_knows_is_left_to_the_caller() -> None:
    assert problems.diagnose("error: Failed to build `pyfarmhash==0.3.2`\n  cause: exit status 1") is None
    assert problems.diagnose("ModuleNotFoundError: No module named 'pipeline'") is None
