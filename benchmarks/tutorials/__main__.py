"""The tutorials' published figures beside those of the `tutorial` preset, the baselines and `default`.

Run it with `python -m benchmarks.tutorials`; `--help` lists the flags.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import tempfile
import time
from collections.abc import Mapping, Sequence

from benchmarks import protocol, table
from benchmarks.figures import WORDS, Figures
from benchmarks.rivals import baselines
from common.errors import DataError
from components.movielens_example_gen.config import GIVEN, DataConfig, SplitConfig
from modules import hyperparameters
from runners.terminal import redirect
from runners.terminal.status import Terminal

# As the pages say: tensorflow.org/recommenders/examples/{basic_retrieval, basic_ranking, multitask}.
PUBLISHED = {
    "retrieval": Figures(top_100=0.24),
    "ranking": Figures(rmse=1.10),
    "multitask": Figures(top_100=0.248, rmse=1.06),
}
PLAIN, TUTORIAL, DEFAULT = "plain TFRS", "tutorial", "default"
POPULARITY, BIASES = "popularity", "user and title biases"
_SEEDS = (42, 1, 2)
_DIGITS = 3

# Of one seed: figures by model, and by the way in which it was made.
Run = Mapping[tuple[str, str], Figures]


def run_seed(data: pathlib.Path, seed: int) -> Run:
    """Split, train and measure everything once.

    Args:
      data: folder of MovieLens 100K.
      seed: of the split and of the models.
    """
    # TensorFlow, which reads its environment when imported.
    from benchmarks.quality import served
    from benchmarks.tutorials import models

    ratings = protocol.read(data)
    parts = protocol.random_split(len(ratings), seed)
    train, held_out = (ratings.take(rows) for rows in parts)
    result = {
        (POPULARITY, ""): baselines.popularity(train, held_out),
        (BIASES, ""): baselines.biases(train, held_out),
    }
    presets = {TUTORIAL: hyperparameters.tutorial(), DEFAULT: hyperparameters.default()}
    with tempfile.TemporaryDirectory(prefix="marquee-benchmark-") as folder:
        split, root = pathlib.Path(folder, "data"), pathlib.Path(folder, "artifacts")
        protocol.write_split(data, split, parts)
        root.mkdir()
        given = DataConfig(split=SplitConfig(method=GIVEN))
        served.train(split, root, [given], served.of_presets(presets), seed)
        for preset in presets:
            for name in served.MODELS:
                result[name, preset] = served.measure(root, f"{preset}.{name}")
    for name, measured in models.run(data, seed, PUBLISHED, watched=False).items():
        top_100, rmse = measured.get(models.TOP_100), measured.get(models.RMSE)
        result[name, PLAIN] = Figures(top_100=top_100, rmse=rmse)
    return result


def reproduction(runs: Sequence[Run]) -> str:
    """Lay out the tutorials' figures: as published, from plain TFRS, and from the preset."""
    rows = []
    for name, published in PUBLISHED.items():
        for field, value in published._asdict().items():
            if value is not None:
                ours = [_spread(runs, (name, way), field) for way in (PLAIN, TUTORIAL)]
                rows.append([f"{name}, {WORDS[field]}", f"{value:g}", *ours])
    return table.markdown(["", "published", "plain TFRS, here", "preset tutorial, served"], rows)


def comparison(runs: Sequence[Run]) -> str:
    """Lay out the baselines and the models of both presets."""
    keys = [(POPULARITY, ""), (BIASES, "")]
    keys += [(name, preset) for preset in (TUTORIAL, DEFAULT) for name in PUBLISHED]
    rows = [
        [
            f"{preset}: {name}" if preset else name,
            *(_spread(runs, (name, preset), field) for field in WORDS),
        ]
        for name, preset in keys
    ]
    return table.markdown(["", *WORDS.values()], rows)


def _spread(runs: Sequence[Run], key: tuple[str, str], field: str) -> str:
    values = [getattr(run[key], field) for run in runs]
    return table.spread([value for value in values if value is not None], _DIGITS)


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tutorials", description="Reproduce the tutorials' figures and compare."
    )
    protocol.add_data_flag(parser)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=_SEEDS,
        help=f"of splits and models (default: {' '.join(map(str, _SEEDS))})",
    )
    options = parser.parse_args()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(prefix="marquee-benchmark-", suffix=".log", delete=False) as log:
        print(f"Log: {log.name}", flush=True)
    runs = []
    try:
        with redirect.terminal_and_log(pathlib.Path(log.name)) as stream:
            screen = Terminal(stream)
            with screen.listening():
                data = protocol.find_data(options.data)
                for seed in options.seeds:
                    with screen.step(f"seed {seed}"):
                        runs.append(run_seed(data, seed))
    except DataError as error:
        parser.error(str(error))
    print(f"\nMedian of the seeds {', '.join(map(str, options.seeds))} (least to most)")
    print(f"\n{reproduction(runs)}\n\n{comparison(runs)}")
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
