"""Finding a Python 3.10."""

import pathlib
import sys

import pytest

from bootstrap import python


def _executable(path: pathlib.Path, text: str = "#!/bin/sh\nexit 127\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_path_comes_before_pyenv(tmp_path: pathlib.Path) -> None:
    on_path = _executable(tmp_path / "usr/bin/python3.10")
    of_root = _executable(tmp_path / "opt/pyenv/versions/3.10.9/bin/python3.10")
    of_home = _executable(tmp_path / "home/.pyenv/versions/3.10.13/bin/python3.10")
    _executable(tmp_path / "home/.pyenv/versions/3.1.5/bin/python3.10")
    environ = {
        "PATH": f"{tmp_path}/empty:{tmp_path}/usr/bin:{tmp_path}/usr/bin",
        "PYENV_ROOT": f"{tmp_path}/opt/pyenv",
        "HOME": f"{tmp_path}/home",
    }
    assert python.candidates(environ) == [on_path, of_root, of_home]


def test_shims_give_pyenv_away(tmp_path: pathlib.Path) -> None:
    shim = _executable(tmp_path / "pyenv/shims/python3.10")
    real = _executable(tmp_path / "pyenv/versions/3.10.13/bin/python3.10")
    assert python.candidates({"PATH": f"{tmp_path}/pyenv/shims/"}) == [shim, real]


def test_this_python_is_what_it_is() -> None:
    found = python.probe(sys.executable)
    assert found is not None
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.headers  # pyfarmhash could not have been built without


@pytest.mark.parametrize(
    "script",
    [
        '#!/bin/sh\necho "pyenv: python3.10: command not found" >&2\nexit 127\n',
        '#!/bin/sh\necho \'["CPython", "3.11", true, "3.11.7", true]\'\n',
        '#!/bin/sh\necho \'["PyPy", "3.10", true, "3.10.14", true]\'\n',
        '#!/bin/sh\necho \'["CPython", "3.10", false, "3.10.14", true]\'\n',
        "#!/bin/sh\necho hello\n",
        "not a program",
    ],
)
def test_what_is_no_working_python_310_is_passed_over(tmp_path: pathlib.Path, script: str) -> None:
    assert python.probe(_executable(tmp_path / "python3.10", script)) is None


def test_one_that_can_build_extensions_is_preferred() -> None:
    bare = python.Interpreter("/usr/bin/python3.10", "3.10.12", headers=False)
    whole = python.Interpreter("/opt/bin/python3.10", "3.10.13", headers=True)
    assert python.choose([bare, whole]) == whole
    assert python.choose([bare]) is None
    assert "/usr/bin/python3.10 lacks its C headers" in python.advice([bare])
    assert "No Python 3.10 on PATH" in python.advice([])
