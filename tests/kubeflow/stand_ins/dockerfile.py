"""Reads Dockerfile, and carries out a stage's steps without Docker, in a folder that stands for the root.

Only what this Dockerfile uses. Absolute paths of the image lie below the folder; the environment is clean.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping

ROOT = pathlib.Path(__file__).parents[3]
# Folders that the image has of its own making; commands name them.
_OWN = re.compile(r"(?<![\w.$}/-])/(opt|src|home/marquee|tmp/zig)(?=[/\s\"']|$)")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    name: str
    argument: str


@dataclasses.dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def arguments(self, name: str) -> list[str]:
        """Return the arguments of all instructions of a kind."""
        return [each.argument for each in self.instructions if each.name == name]

    def environment(self) -> dict[str, str]:
        """Return the variables that ENV sets."""
        pairs = [re.findall(r"(\w+)=(\S+)", argument) for argument in self.arguments("ENV")]
        return dict(pair for found in pairs for pair in found)


def stages(text: str) -> dict[str, Stage]:
    """Read stages by name; global ARGs stand in for themselves where a FROM names them."""
    found: dict[str, Stage] = {}
    defaults: dict[str, str] = {}
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            base, _, name = instruction.argument.split()
            current = Stage(name, re.sub(r"\$\{(\w+)\}", lambda used: defaults[used[1]], base), ())
        elif not found and instruction.name == "ARG":
            name, _, value = instruction.argument.partition("=")
            defaults[name] = value
            continue
        else:
            current = dataclasses.replace(current, instructions=(*current.instructions, instruction))
        found[current.name] = current
    return found


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, argument = line.partition(" ")
            yield Instruction(name, argument.strip())


def context() -> list[pathlib.Path]:
    """List the files that .dockerignore lets into the build."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*", "everything is left out, but for what is named"
    kept = [rule[1:] for rule in rules if rule[0] == "!"]
    dropped = [rule for rule in rules[1:] if rule[0] != "!"]
    assert dropped == ["**/__pycache__"]
    files = [path for rule in kept for path in [ROOT / rule, *(ROOT / rule).rglob("*")] if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts]


@dataclasses.dataclass
class Rehearsal:
    """A root file system in a folder.

    Attributes:
      root: the folder.
      environment: what every command gets beside the stage's ENV.
      skip: tells which RUN is not run.
    """

    root: pathlib.Path
    environment: Mapping[str, str]
    skip: Callable[[str], bool] = lambda command: False

    def carry_out(self, stage: Stage) -> Iterator[tuple[str, str, subprocess.CompletedProcess | None]]:
        """Carry out a stage; yield RUNs as it stands, as it was run, and how it ended (None: skipped)."""
        folder = self.root
        variables: dict[str, str] = {}
        for instruction in stage.instructions:
            if instruction.name == "WORKDIR":
                folder = self._path(instruction.argument)
                folder.mkdir(parents=True, exist_ok=True)
            elif instruction.name == "ENV":
                pairs = re.findall(r"(\w+)=(\S+)", instruction.argument)
                variables |= {name: self._mapped(value) for name, value in pairs}
            elif instruction.name == "COPY" and not instruction.argument.startswith("--from="):
                *sources, target = instruction.argument.split()
                self._copy(sources, folder / target)
            elif instruction.name == "RUN":
                yield self._run(instruction.argument, folder, variables)

    def _run(
        self, command: str, folder: pathlib.Path, variables: Mapping[str, str]
    ) -> tuple[str, str, subprocess.CompletedProcess | None]:
        mapped = self._mapped(command)
        if self.skip(command):
            return command, mapped, None
        path = self.environment["PATH"]
        environ = {**self.environment, **variables}
        environ["PATH"] = variables.get("PATH", path).replace("$PATH", path)
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", mapped],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return command, mapped, done

    def _copy(self, sources: list[str], target: pathlib.Path) -> None:
        allowed = {path.relative_to(ROOT) for path in context()}
        for source in sources:
            chosen = [path for path in allowed if path.is_relative_to(source)]
            assert chosen, f"COPY {source}: .dockerignore lets nothing of it through"
            for path in chosen:
                into = target / (path.name if path == pathlib.Path(source) else path.relative_to(source))
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, into)

    def _mapped(self, text: str) -> str:
        return _OWN.sub(lambda found: f"{self.root}{found[0]}", text)

    def _path(self, path: str) -> pathlib.Path:
        return self.root / path.lstrip("/") if path.startswith("/") else self.root / path


def clean_environment(home: pathlib.Path, python: str, index: Mapping[str, str]) -> dict[str, str]:
    """Return what the base image gives a command, a PATH with its Python; and where packages come from."""
    folder = os.path.dirname(python)
    return {"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", **index}
