"""The whole pipeline's time and memory against those of the tutorials' own training and evaluation.

Run it with `python -m benchmarks.tutorials.cost`; `--help` lists the flags.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import processes, protocol, table
from benchmarks.processes import Cost
from common.progress import progress

_CORES = 2
_SEED = 42
_RUNNER = pathlib.Path(__file__).resolve().parents[2] / "local_runner.py"
# Libraries that local_runner.py imports before its first step.
_IMPORTS = "import pipeline.pipeline, runners.running.local, runners.reporting.summary"


class Pair(NamedTuple):
    """One round.

    Attributes:
      cold: local_runner.py with an empty folder.
      again: the same command once more.
      cached: what the second one said of the cache.
      tutorials: the tutorials' five models.
      parts: seconds of each of these models.
    """

    cold: Cost
    again: Cost
    cached: str
    tutorials: Cost
    parts: dict[str, float]


def run_pair(data: pathlib.Path, folder: pathlib.Path) -> Pair:
    """Run both sides, ours first.

    Args:
      data: folder of MovieLens 100K.
      folder: empty; for what is written.
    """
    ours = [sys.executable, str(_RUNNER), "--data", str(data), "--pipeline-root", str(folder / "runs")]
    theirs = [sys.executable, "-m", "benchmarks.tutorials.models", str(data), str(_SEED)]
    cold, _ = processes.measured(ours, folder / "cold", os.environ)
    progress.info("the pipeline, cold: %.1f s", cold.seconds)
    again, said = processes.measured(ours, folder / "again", os.environ)
    progress.info("the same again: %.1f s", again.seconds)
    tutorials, answer = processes.measured(theirs, folder / "tutorials", _environ())
    progress.info("the tutorials: %.1f s", tutorials.seconds)
    parts = {name: figures["seconds"] for name, figures in json.loads(answer.splitlines()[-1]).items()}
    (cached,) = (line for line in said.splitlines() if "steps from the cache" in line)
    return Pair(cold, again, cached.split(";")[1].strip(), tutorials, parts)


def import_seconds(folder: pathlib.Path) -> float:
    """Measure how long Python takes to import what the pipeline needs.

    Args:
      folder: for what is written.
    """
    command = [sys.executable, "-c", _IMPORTS]
    return processes.measured(command, folder / "imports", _environ())[0].seconds


def _environ() -> dict[str, str]:
    return {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def rows(pairs: Sequence[Pair], imports: Sequence[float]) -> list[list[str]]:
    """Lay out the costs: a command or a part of one in each row."""
    laid_out = [
        _cost_row("the pipeline, cold", [pair.cold for pair in pairs]),
        _cost_row(f"again: {pairs[0].cached}", [pair.again for pair in pairs]),
        ["of either, imports", table.spread(imports, 1), "", ""],
        _cost_row("the tutorials' models", [pair.tutorials for pair in pairs]),
    ]
    laid_out += [
        [f"of which {name}", table.spread([pair.parts[name] for pair in pairs], 1), "", ""]
        for name in pairs[0].parts
    ]
    ratios = [pair.cold.seconds / pair.tutorials.seconds for pair in pairs]
    return [*laid_out, ["pipeline, cold / tutorials", table.spread(ratios, 2), "", ""]]


def _cost_row(name: str, costs: Sequence[Cost]) -> list[str]:
    gigabytes = [[getattr(cost, field) / 1e9 for cost in costs] for field in ("largest", "together")]
    return [
        name,
        table.spread([cost.seconds for cost in costs], 1),
        *(table.spread(values, 2) for values in gigabytes),
    ]


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description="Time the pipeline against the tutorials' models.")
    protocol.add_data_flag(parser)
    parser.add_argument("--pairs", type=int, default=3, help="how often both are run, in turns (default: 3)")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error(f"--pairs must be 1 or more; received {options.pairs}")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    progress.setLevel(logging.INFO)
    data = protocol.find_data(options.data)
    # Inherited by every process that is measured.
    cores = sorted(os.sched_getaffinity(0))[:_CORES]
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory(prefix="marquee-benchmark-") as name:
        folder = pathlib.Path(name)
        import_seconds(folder)  # Brings the libraries from the disk into memory, for both sides.
        pairs, imports = [], []
        for i in range(options.pairs):
            pairs.append(run_pair(data, folder / str(i)))
            imports.append(import_seconds(folder))
    header = ["", "seconds", "GB, largest process", "GB, all processes"]
    print(f"\n{len(cores)} cores, {options.pairs} pairs in turns: median (least to most)\n")
    print(table.markdown(header, rows(pairs, imports)))


if __name__ == "__main__":
    main()
