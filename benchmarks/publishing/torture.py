"""Does a reader ever see a broken or mixed version, whatever happens to publishers?

    python -m benchmarks.publishing.torture [--publishes 1000] [--kills 100] [--seed 0] [--folder DIR]

Two publishers publish as fast as they can, an operator rolls back and promotes, and each of the three is
killed (SIGKILL) at random times and started anew, while a reader polls: it opens the served version, verifies
every digest, and compares every byte with the manifest's token; and it reads TF Serving's configuration.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

from benchmarks import table
from benchmarks.publishing import workers
from benchmarks.publishing.workers import BEGIN, PROMOTED, ROLLED_BACK, STOP
from serving import publish
from serving.stores import store

_ROOT = pathlib.Path(__file__).parents[2]
_WORKERS = {"publisher x": "publisher", "publisher y": "publisher", "operator": "operator"}
# Seconds that a worker lives, from its first act on.
_LIFE = (0.01, 1.2)


@dataclasses.dataclass
class Counts:
    """The events of a run.

    Attributes:
      seconds: how long it went on.
      publishes: versions that were made.
      rollbacks: turns back by the operator.
      promotes: turns of its own choice.
      kills: workers that were killed.
      interrupted: of these, in the middle of a publication or a turn.
      reads: times that the reader opened the served version and read it to the end.
      versions: different versions that it saw.
      removed: times that retention removed the opened version before it was read to the end.
      broken: what it must not see, in words.
    """

    seconds: float = 0.0
    publishes: int = 0
    rollbacks: int = 0
    promotes: int = 0
    kills: int = 0
    interrupted: int = 0
    reads: int = 0
    versions: int = 0
    removed: int = 0
    broken: list[str] = dataclasses.field(default_factory=list)


class Torture:
    """One destination and the processes at it."""

    def __init__(self, folder: pathlib.Path, seed: int) -> None:
        self.folder = folder
        self.destination = str(folder / "destination")
        self.counts = Counts()
        self._seed = seed
        self._over = threading.Event()
        self._said: collections.Counter[str] = collections.Counter()
        self._fell: list[str] = []
        self._lock = threading.Lock()

    def run(self, publishes: int, kills: int, limit: float) -> Counts:
        """Go on until enough has happened, or until `limit` seconds have passed.

        Args:
          publishes: versions to make, at least.
          kills: workers to kill, at least; of these three in the midst of their work. Three rollbacks and a
            promotion are waited for too.
          limit: seconds.

        Raises:
          RuntimeError: a worker ended by itself.
        """
        publish.publish(workers.make_bundle(self.folder / "first", "first"), self.destination)
        started = time.monotonic()
        reader = self._start("reader", "reader", self._seed)
        threads = [threading.Thread(target=self._keep_killing, args=each) for each in _WORKERS.items()]
        for thread in threads:
            thread.start()
        opened = store.open_store(self.destination)
        while time.monotonic() < started + limit and not self._fell:
            with self._lock:
                rare = min(self.counts.interrupted, self._said[ROLLED_BACK], 3 * self._said[PROMOTED])
            if store.newest(opened) > publishes and self.counts.kills >= kills and rare >= 3:
                break
            time.sleep(0.1)
        self._over.set()
        for thread in threads:
            thread.join()
        (self.folder / "reader" / STOP).touch()
        said, error = reader.communicate()
        if reader.returncode or self._fell:
            raise RuntimeError("\n".join([error, *self._fell]))
        self._count(json.loads(said), store.newest(opened) - 1, time.monotonic() - started)
        self._check_the_end()
        return self.counts

    def _start(self, name: str, role: str, seed: int) -> subprocess.Popen[str]:
        scratch = self.folder / name
        scratch.mkdir(exist_ok=True)
        arguments = [role, self.destination, str(scratch), str(seed)]
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.publishing.workers", *arguments],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _keep_killing(self, name: str, role: str) -> None:
        """Start a worker, kill it in the midst of its work, and again."""
        draw = random.Random(f"{self._seed} {name}")
        while not self._over.is_set():
            process = self._start(name, role, draw.randrange(2**31))
            assert process.stdout is not None
            first = process.stdout.readline()  # so that none is killed while it only imports
            time.sleep(draw.uniform(*_LIFE))
            fell = process.poll() is not None
            process.kill()
            rest, error = process.communicate()
            lines = (first + rest).split("\n")[:-1]
            with self._lock:
                if fell:
                    self._fell.append(f"{name} ended by itself: {error}")
                    return
                self.counts.kills += 1
                self.counts.interrupted += lines[-1:] == [BEGIN]
                self._said.update(lines)

    def _count(self, seen: dict, publishes: int, seconds: float) -> None:
        self.counts.seconds, self.counts.publishes = seconds, publishes
        self.counts.rollbacks, self.counts.promotes = self._said[ROLLED_BACK], self._said[PROMOTED]
        self.counts.reads, self.counts.removed = seen.get("reads", 0), seen.get("removed", 0)
        self.counts.versions, self.counts.broken = seen["versions"], seen["broken"]

    def _check_the_end(self) -> None:
        """The last publisher leaves a whole destination, without files of killed publishers."""
        last = publish.publish(
            workers.make_bundle(self.folder / "last", "last"), self.destination, workers.KEEP
        )
        opened = store.open_store(self.destination)
        if opened.current() != last.version:
            self.counts.broken.append(f"the last version, {last.version}, is not served")
        for version in opened.versions():
            store.verify(opened, version)
        names = {path.name for path in pathlib.Path(self.destination, "bundles").iterdir()}
        left = names - set(map(str, opened.versions()))
        if left or len(opened.versions()) > workers.KEEP + 1:
            self.counts.broken.append(f"left at the end: {sorted(names)}")


def main() -> int:
    """Run and print the counts; exit code 1 where anything was broken."""
    parser = argparse.ArgumentParser(description="Publish, roll back and kill, while a reader polls.")
    parser.add_argument("--publishes", type=int, default=1000, help="versions to make (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=100, help="workers to kill (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times (default: %(default)s)")
    parser.add_argument("--folder", type=pathlib.Path, help="on which file system (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        torture = Torture(pathlib.Path(folder), options.seed)
        counts = torture.run(options.publishes, options.kills, float("inf"))
    rows = [
        (name, f"{value:.1f}" if isinstance(value, float) else str(value))
        for name, value in {**dataclasses.asdict(counts), "broken": len(counts.broken)}.items()
    ]
    print(table.markdown(("", "count"), rows))
    for words in counts.broken:
        print(words, file=sys.stderr)
    return 1 if counts.broken else 0


if __name__ == "__main__":
    sys.exit(main())
