"""Cost of the steps as data grows: seconds, rows per second and memory at each size, and their growth.

Run it with `python -m benchmarks.speed.scale --ratings 1000000`; `--help` lists the flags. Ratings are
generated (benchmarks.speed.generator). Every step runs in a process of its own, what comes before it being
served from the cache, so that its memory is its own, the libraries' half gigabyte or more included.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import partial, processes, table
from benchmarks.speed import generator

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SEED = 42
_MODELS = ("retrieval", "ranking", "multitask")
# In the order in which they run; before each, only these and what takes no time.
STEPS = (
    "MovieLensExampleGen",
    "StatisticsGen.ratings",
    "Transform",
    *(f"{step}.{model}" for model in _MODELS for step in ("Trainer", "Evaluator")),
    "IndexPusher",
)


class Cost(NamedTuple):
    """Time and memory of a step.

    Attributes:
      seconds: of the step, without the start of its process.
      memory: bytes, the peak of its largest process.
    """

    seconds: float
    memory: int


def config(eval_share: float, epochs: int, histories: bool = True) -> dict:
    """Return what differs from the default preset: gates that all pass, short trainings of small towers.

    Args:
      eval_share: of the rows.
      epochs: of each training.
      histories: whether rows carry their users' histories, and the towers read them.
    """
    hits = [{"metric": "top_100_categorical_accuracy", "bound": 0.0}]
    error = [{"metric": "rmse", "bound": 9.0}]
    # Embeddings as long as the tutorials', so that millions of rows are a matter of minutes on two cores; and
    # Adagrad, for a step of Adam touches every row of every table, whatever the batch holds.
    fit: dict[str, Any] = {
        "embedding_dim": 32,
        "epochs": epochs,
        "batch_size": 1024,
        "optimizer": "adagrad",
        "learning_rate": 0.1,
    }
    data: dict[str, Any] = {"release": "ml-25m", "split": {"eval_share": eval_share}}
    of_histories: dict[str, Any] = {"sequence": {"epochs": epochs}}
    if not histories:
        data["history_length"], fit["history"] = 0, None
        of_histories = {"sequence": None, "cold_start": None}
    models = {
        "retrieval": {**fit, "members": 1, **of_histories},
        "ranking": {**fit, "head": "factorization"},
        "multitask": {**fit, "rating_dim": 0},
    }
    return {
        "name": "scale",
        "data": data,
        "models": models,
        "gates": {
            "must_beat_baselines": False,
            **{"retrieval": hits, "ranking": error, "multitask": error},
        },
    }


def measure(
    data: pathlib.Path, root: pathlib.Path, steps: Sequence[str], config: Mapping, beam: Sequence[str] = ()
) -> dict[str, Cost]:
    """Run steps one after the other.

    Args:
      data: with the generated files.
      root: folder for artifacts.
      steps: the first of STEPS.
      config: as a configuration file holds it.
      beam: Beam's own flags.
    Raises:
      RuntimeError: a step failed.
    """
    root.mkdir(parents=True)
    file = root / "config.json"
    file.write_text(json.dumps(config))
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    costs = {}
    for step in steps:
        command = partial.command(data, root, step, file, beam)
        cost, printed = processes.measured(command, root / "logs" / step, environ)
        (ran,) = [one for one in json.loads(printed.splitlines()[-1]) if one["step"] == step]
        costs[step] = Cost(ran["seconds"], cost.largest)
        print(f"{step}: {ran['seconds']:.1f} s, {cost.largest / 1e9:.2f} GB", file=sys.stderr, flush=True)
    return costs


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Fit the power of the size that values grow with; NaN of one size alone.

    >>> round(exponent([10, 100, 1000], [3.0, 30.0, 300.0]), 6)
    1.0
    >>> round(exponent([10, 1000], [5.0, 50.0]), 6)
    0.5
    """
    if len(sizes) < 2 or min(values) <= 0:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def passed(step: str, ratings: int, titles: int, eval_share: float) -> int:
    """Count the rows that pass through a step: ratings, those of train or eval alone, or titles.

    >>> [passed(step, 1000, 60, 0.02) for step in ("Transform", "Trainer.ranking", "Evaluator.ranking")]
    [1000, 980, 20]
    """
    if step == "IndexPusher":
        return titles
    held_out = round(ratings * eval_share)
    return {"Trainer": ratings - held_out, "Evaluator": held_out}.get(step.split(".")[0], ratings)


def rows(costs: Mapping[int, Mapping[str, Cost]], titles: int, eval_share: float) -> list[list[str]]:
    """Lay out a row for each step: seconds, rows per second and GB at each size, then the exponents.

    >>> rows({10: {"A": Cost(2.0, 10**9)}, 100: {"A": Cost(20.0, 10**9)}}, 60, 0.02)
    [['A', '2.0', '5', '1.00', '20.0', '5', '1.00', '1.00', '0.00']]
    """
    laid = []
    for step in next(iter(costs.values())):
        of_sizes = [by_step[step] for by_step in costs.values()]
        cells = [step]
        for size, cost in zip(costs, of_sizes, strict=True):
            cells += [
                f"{cost.seconds:.1f}",
                f"{passed(step, size, titles, eval_share) / max(cost.seconds, 1e-3):,.0f}",
                f"{cost.memory / 1e9:.2f}",
            ]
        for values in ([cost.seconds for cost in of_sizes], [float(cost.memory) for cost in of_sizes]):
            power = exponent(list(costs), values)
            cells.append("" if math.isnan(power) else f"{abs(power) if abs(power) < 0.005 else power:.2f}")
        laid.append(cells)
    return laid


def main(arguments: Sequence[str]) -> None:
    """Generate, run and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.scale", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--ratings", type=int, nargs="+", default=[1_000_000, 5_000_000, 25_000_000])
    parser.add_argument("--titles", type=int, default=60_000, help="how many (default: %(default)s)")
    parser.add_argument("--until", choices=STEPS, default=STEPS[-1], help="last step (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="of each training (default: %(default)s)")
    parser.add_argument(
        "--eval-share", type=float, default=0.02, help="of the rows, held out (default: %(default)s)"
    )
    parser.add_argument(
        "--no-histories", dest="histories", action="store_false", help="rows and towers without them"
    )
    parser.add_argument("--folder", type=pathlib.Path, help="for all files (default: a temporary one)")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:split])
    steps = STEPS[: STEPS.index(options.until) + 1]
    configured = config(options.eval_share, options.epochs, options.histories)
    header, costs = ["step"], {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for ratings in sorted(options.ratings):
            began = time.monotonic()
            data, root = pathlib.Path(folder) / "data", pathlib.Path(folder) / "runs"
            generator.write(data, ratings, options.titles, _SEED)
            print(f"{ratings:,} ratings in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
            costs[ratings] = measure(data, root, steps, configured, arguments[split + 1 :])
            header += [f"{ratings:,}: s", "rows/s", "GB"]
            # So that a size needs no room for the others.
            shutil.rmtree(data)
            shutil.rmtree(root)
    laid = rows(costs, options.titles, options.eval_share)
    print(table.markdown([*header, "exponent of s", "exponent of GB"], laid))


if __name__ == "__main__":
    main(sys.argv[1:])
