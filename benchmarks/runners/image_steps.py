"""The image's recipe carried out without Docker: Dockerfile's steps, in a folder and a clean environment.

    python -m benchmarks.runners.image_steps [--folder DIR]

Installs all locked packages by their hashes (3 GB, minutes), and the project, and imports what steps import.
What it cannot show: the user, the base image's libraries, and the copy from one stage to the next.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import time

from benchmarks.table import markdown
from bootstrap import index
from tests.kubeflow.stand_ins import dockerfile

_WORDS = 60  # Characters of a command that are shown.


def main() -> int:
    """Carry the steps out and print a table; return 1 at the first that fails."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.runners.image_steps", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--folder", type=pathlib.Path, metavar="DIR", help="the root (default: a temporary one)"
    )
    options = parser.parse_args()
    if options.folder:
        return _rehearse(options.folder.resolve())
    with tempfile.TemporaryDirectory() as folder:
        return _rehearse(pathlib.Path(folder))


def _rehearse(root: pathlib.Path) -> int:
    stages = dockerfile.stages((dockerfile.ROOT / "Dockerfile").read_text())
    # Where packages come from is this machine's affair.
    packages = index.uv_variables(index.pip_settings(index.pip_configuration()), os.environ)
    where = {name: value for name, value in packages.items() if name.startswith(("UV_", "PIP_", "SSL_"))}
    python = os.path.join(sysconfig.get_config_var("BINDIR"), "python3.10")
    rehearsal = dockerfile.Rehearsal(
        root,
        dockerfile.clean_environment(root, _with_plain_name(root, python), where),
        skip=lambda command: command.startswith("useradd"),
    )
    rows = []
    for name in ("build", "steps"):
        started = time.monotonic()
        for command, _, done in rehearsal.carry_out(stages[name]):
            state = "skipped" if done is None else str(done.returncode)
            rows.append((name, command[:_WORDS], state, f"{time.monotonic() - started:.1f}"))
            print(*rows[-1], file=sys.stderr, flush=True)
            if done is not None and done.returncode:
                print(done.stdout + done.stderr, file=sys.stderr)
                return 1
            started = time.monotonic()
    print(markdown(("stage", "step", "exit code", "seconds"), rows))
    venv = root / "opt" / "venv"
    size = subprocess.run(["du", "-sm", venv], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"\nWhat is copied into the image: {size} MB.")
    return 0


def _with_plain_name(root: pathlib.Path, python: str) -> str:
    """Link an interpreter as `python`, as the base image has it; return the link."""
    link = root / "usr" / "local" / "bin" / "python"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(python)
    return str(link)


if __name__ == "__main__":
    sys.exit(main())
