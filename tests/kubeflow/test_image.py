"""The image's recipe: what must hold of it, a linter's opinion, and its last steps carried out.

The step that fetches 3 GB of locked packages is not: `python -m benchmarks.runners.image_steps` carries out
that too.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from tests.kubeflow.stand_ins import dockerfile

ROOT = dockerfile.ROOT
TEXT = (ROOT / "Dockerfile").read_text()
STAGES = dockerfile.stages(TEXT)


def test_a_linter_finds_nothing() -> None:
    linter = pathlib.Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_is_built_on_is_pinned_to_the_bit() -> None:
    bases = {stage.base for stage in STAGES.values()} - set(STAGES)
    pinned, other = (bases - {"scratch"}), bases & {"scratch"}
    (python,) = pinned
    assert re.fullmatch(r"python:3\.10-slim-bookworm@sha256:[0-9a-f]{64}", python)
    assert other == {"scratch"} and STAGES["beam"].base == "scratch"


@pytest.mark.parametrize(
    ("given", "rejected"),
    [
        ("scratch", True),
        ("apache/beam_python3.10_sdk:2.64.0", True),
        ("apache/beam_python3.10_sdk:2.64.0@sha256:" + "0" * 64, False),
    ],
)
def test_beams_image_is_taken_with_a_digest_alone(given: str, rejected: bool) -> None:
    (check,) = STAGES["dataflow"].arguments("RUN")
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", check], env={"BEAM_SDK": given}, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) is rejected
    assert (f"received '{given}'" in done.stderr) is rejected


def test_every_package_is_installed_by_its_hash() -> None:
    commands = " ".join(STAGES["build"].arguments("RUN"))
    installs = re.findall(r"pip (?:install|sync)[^&]*", commands)
    assert len(installs) == 4
    (own,) = (each for each in installs if "--require-hashes" not in each)
    assert own.endswith("--no-deps --no-build-isolation --compile-bytecode .")
    assert "apt-get" not in TEXT and "curl" not in TEXT and "ADD " not in TEXT


def test_steps_run_as_nobody_in_particular_with_keras_2() -> None:
    steps = STAGES["steps"]
    (user,) = steps.arguments("USER")
    assert int(user) > 1000
    assert steps.environment()["TF_USE_LEGACY_KERAS"] == "1"
    for name in ("final", "dataflow"):
        assert STAGES[name].base == "steps" and not STAGES[name].arguments("USER")
    assert list(STAGES)[-1] == "final", "the last stage is what is built where none is named"


def test_no_compiler_and_no_tool_of_the_build_is_in_the_image() -> None:
    copied = [argument for name in ("steps", "final") for argument in STAGES[name].arguments("COPY")]
    assert copied == ["--from=build /opt/venv /opt/venv"]


def test_the_build_sees_no_more_than_it_copies() -> None:
    named = {word for argument in STAGES["build"].arguments("COPY") for word in argument.split()[:-1]}
    seen = [path.relative_to(ROOT) for path in dockerfile.context()]
    assert [path for path in seen if not any(path.is_relative_to(name) for name in named)] == []


@pytest.mark.slow("builds and installs the project")
def test_the_project_as_installed_is_whole(tmp_path: pathlib.Path) -> None:
    """Carry out the build, the locked packages lent by this environment; then the image's own check."""
    uv = next(
        found for path in (str(ROOT / ".tools" / "bin"), None) if (found := shutil.which("uv", path=path))
    )
    root = tmp_path / "root"
    (root / "opt" / "tools" / "bin").mkdir(parents=True)
    (root / "opt" / "tools" / "bin" / "uv").symlink_to(uv)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "opt" / "venv"], check=True)
    site = next((root / "opt" / "venv" / "lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    index = {name: value for name, value in os.environ.items() if name.startswith("UV_")}
    rehearsal = dockerfile.Rehearsal(
        root,
        dockerfile.clean_environment(tmp_path, sys.executable, index),
        skip=lambda command: "runtime.lock" in command or command.startswith("useradd"),
    )
    ran = []
    for name in ("build", "steps"):
        for command, _, done in rehearsal.carry_out(STAGES[name]):
            if done is not None:
                assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
                ran.append(command)
    assert len(ran) == 2 and "--no-deps" in ran[0] and "import" in ran[1]
    installed = {path.relative_to(site) for path in (site / "pipeline" / "schema").glob("*.pbtxt")}
    assert installed, "the schemas are packed too"
