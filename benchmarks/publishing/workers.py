"""The processes of the torture: publishers, an operator, a reader. Each says on a line what it does.

python -m benchmarks.publishing.workers publisher|operator DESTINATION SCRATCH SEED
python -m benchmarks.publishing.workers reader DESTINATION SCRATCH SEED
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import random
import re
import shutil
import sys
import time

from serving import manifest, publish, reader
from serving.stores import store

# Few, so that removing is as frequent as publishing.
KEEP = 3
# Bytes by file; every file of a bundle repeats the bundle's token, and its manifest names it.
FILES = {
    "recommend/saved_model.pb": 40_000,
    "recommend/variables/variables.data-00000-of-00001": 200_000,
    "ranking/saved_model.pb": 20_000,
    "tflite/ranking.tflite": 60_000,
}
# A reader ends when this is in its scratch folder.
STOP = "stop"
BEGIN, PUBLISHED, FOUND, ROLLED_BACK, PROMOTED, NOWHERE = (
    "begin", "published", "found", "rolled back", "promoted", "nowhere to turn",
)  # fmt: skip


class BrokenError(Exception):
    """A fault that a reader must never see."""


def make_bundle(folder: pathlib.Path, token: str) -> str:
    """Write a bundle whose files all say to which manifest they belong."""
    for name, size in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_content(name, token, size))
    manifest.write(str(folder), {"token": token}, {"token": token})
    return str(folder)


def _content(name: str, token: str, size: int) -> str:
    line = f"{name} {token}\n"
    return line * (size // len(line))


def publisher(destination: str, scratch: pathlib.Path, seed: int) -> None:
    """Publish without end; now and then the same models twice."""
    draw = random.Random(seed)
    turn = 0
    while True:
        turn += 1
        bundle = make_bundle(scratch / "bundle", f"{scratch.name}-{seed}-{turn}")
        for _ in range(draw.choice((1, 1, 1, 2))):
            _say(BEGIN)
            _say(PUBLISHED if publish.publish(bundle, destination, KEEP).new else FOUND)
        shutil.rmtree(bundle)


def operator(destination: str, seed: int) -> None:
    """Change the served version without end: mostly roll back, sometimes promote any version."""
    draw = random.Random(seed)
    while True:
        time.sleep(draw.uniform(0.01, 0.1))
        _say(BEGIN)
        try:
            if draw.random() < 0.7:
                publish.rollback(destination)
                _say(ROLLED_BACK)
            else:
                publish.promote(destination, draw.choice(store.open_store(destination).versions()))
                _say(PROMOTED)
        except ValueError as error:
            if "manifest" in str(error):
                raise
            _say(NOWHERE)


def read(destination: str, scratch: pathlib.Path) -> None:
    """Poll until the file STOP exists, then print the counts as JSON."""
    counts: collections.Counter[str] = collections.Counter()
    versions, broken = set(), []
    while not (scratch / STOP).exists():
        try:
            seen = read_served(destination)
            read_as_tf_serving(destination)
        except BrokenError as error:
            broken.append(str(error))
            continue
        counts["removed" if seen is None else "reads"] += 1
        versions.add(seen)
    print(json.dumps({**counts, "versions": len(versions - {None}), "broken": broken}))


def read_served(destination: str) -> int | None:
    """Open the served version, and read it to the end.

    Returns:
      Its version; None if retention removed it after it was opened.
    Raises:
      BrokenError: its files are not as its manifest lists them.
    """
    try:
        bundle = reader.open_current(destination)
    except (OSError, ValueError) as error:
        raise BrokenError(f"cannot be opened: {error}") from error
    token = bundle.manifest["metrics"]["token"]
    for name, size in FILES.items():
        try:
            content = pathlib.Path(bundle.path, name).read_text()
        except OSError as error:
            if os.path.exists(bundle.path):
                raise BrokenError(f"version {bundle.version} lacks {name}") from error
            return None
        if content != _content(name, token, size):
            raise BrokenError(f"version {bundle.version}, {name} is not of {token}: {content[:80]!r}")
    return bundle.version


def read_as_tf_serving(destination: str) -> None:
    """Compare TF Serving's configuration with the files that are there.

    Raises:
      BrokenError: it lists a version that is absent or of two publications.
    """
    config = pathlib.Path(destination, "serving", "models.config")
    # Writers replace the file: another file may have the same text, after a rollback and a promotion.
    with config.open() as file:
        before, text = os.fstat(file.fileno()), file.read()
    for path, versions in re.findall(r'base_path: "(.*)"\n.*\n.*\n.*\n((?: +versions: \d+\n)+)', text):
        for version in re.findall(r"\d+", versions):
            try:
                bundle = pathlib.Path(path, version).resolve().parent
                model = pathlib.Path(path, version, "saved_model.pb").read_text()
                token = json.loads((bundle / manifest.MANIFEST).read_text())["metrics"]["token"]
            except OSError as error:
                after = config.stat()
                if (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns):
                    raise BrokenError(
                        f"TF Serving's configuration lists {path}/{version}, which is absent"
                    ) from error
                return
            if not model.partition("\n")[0].endswith(f" {token}"):
                raise BrokenError(f"TF Serving sees {model[:80]!r} in a bundle of {token}")


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    role, given_destination, given_scratch, given_seed = sys.argv[1:]
    if role == "publisher":
        publisher(given_destination, pathlib.Path(given_scratch), int(given_seed))
    elif role == "operator":
        operator(given_destination, int(given_seed))
    else:
        read(given_destination, pathlib.Path(given_scratch))
