"""Every model and baseline under every protocol: the table that README quotes.

Run it with `python -m benchmarks.quality`; `--help` lists the flags. benchmarks/README.md says
what is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import figures, protocol, splits
from benchmarks.protocol import Ratings
from benchmarks.quality import results, tables
from benchmarks.quality.results import Key, Result, Store
from benchmarks.rivals import rivals
from benchmarks.rivals.rivals import Rival
from benchmarks.splits import ROLLING, STATIC, TIME, Split
from common.errors import DataError
from components.movielens_example_gen.config import GIVEN, DataConfig, SplitConfig
from components.movielens_example_gen.sources.releases import RELEASES, Release
from modules import features
from runners.terminal import redirect
from runners.terminal.status import Terminal

BASELINES, OURS = "baselines", "ours"
_RELEASES = ("ml-100k", "ml-1m")
_INSTALL = ".venv/bin/pip install --require-hashes --requirement requirements/benchmarks.lock"


class Data(NamedTuple):
    """The data that models are evaluated on.

    Attributes:
      folder: of the release.
      release: which.
      ratings: all its rows.
      digest: the release, and what its ratings are.
    """

    folder: pathlib.Path
    release: Release
    ratings: Ratings
    digest: str

    @classmethod
    def read(cls, folder: pathlib.Path, release: Release) -> Data:
        """Read a release."""
        digest = hashlib.sha256((folder / release.ratings.names[0]).read_bytes()).hexdigest()
        return cls(folder, release, protocol.read(folder, release), f"{release.name} {digest[:16]}")

    def keys(self, split: Split, method: str, settings: Mapping[str, Any]) -> dict[str, Key]:
        """Name what is measured of a method on a split, by view."""
        return {
            view: Key(
                data=self.digest,
                protocol=split.protocol,
                split=split.name,
                view=view,
                seed=split.seed,
                method=method,
                settings=dict(settings),
            )
            for view in split.views
        }

    def measured(self, split: Split, columns: Mapping[str, np.ndarray]) -> dict[str, results.Measured]:
        """Work out the figures of each group of rows, from columns as `served.columns` has them.

        Raises:
          DataError: they are of other rows.
        """
        rows = len(columns[features.RATING])
        if rows != len(split.held_out):
            raise DataError(
                f"Our models and the baselines must be evaluated on the same {len(split.held_out)} rows; "
                f"the ExampleGen made {rows}. Rows of this copy are bad, or repeated."
            )
        groups = figures.visits(columns)
        if split.protocol == TIME:
            users = np.searchsorted(self.ratings.user_ids, columns[features.USER_ID].astype(str))
            train = self.ratings.take(split.train)
            groups |= splits.cold_start(self.ratings, train, users, columns[features.TIMESTAMP])
        return results.measured(figures.by_group(columns, groups))


def baseline(data: Data, split: Split, rival: Rival) -> Iterator[Result]:
    """Fit a baseline to a split and measure it."""
    train, held_out = data.ratings.take(split.train), data.ratings.take(split.held_out)
    started = time.monotonic()
    model = rival.fit(train, split.seed, **rival.settings)
    seconds = time.monotonic() - started
    for view, key in data.keys(split, rival.name, rival.description()).items():
        columns = rivals.columns(model, train, splits.queries(train, held_out, view))
        yield Result(key=key, seconds=seconds, groups=data.measured(split, columns))


def baselines(data: Data, split: Split, store: Store, screen: Terminal) -> list[Result]:
    """Measure every baseline on a split, but those whose figures are in the store."""
    found: list[Result] = []
    for rival in rivals.RIVALS:
        keys = data.keys(split, rival.name, rival.description())
        if not all(map(store.find, keys.values())):
            with screen.step(f"{split.protocol} {split.name}: {rival.name}"):
                for result in baseline(data, split, rival):
                    store.add(result)
        found += filter(None, map(store.find, keys.values()))
    return found


def _configs(release: Release, split: Split) -> dict[str, DataConfig]:
    # By view, first the one whose examples are trained on; their train rows are the same.
    if split.protocol == TIME:
        ways = {
            view: SplitConfig(
                method=TIME, eval_share=round(1 - protocol.TRAIN_SHARE, 9), rolling=view == ROLLING
            )
            for view in (ROLLING, STATIC)
        }
    else:
        # A history is of strictly earlier train rows. On LEAVE_ONE_OUT that is ROLLING.
        ways = {split.views[0]: SplitConfig(method=GIVEN)}
    return {view: DataConfig(release=release.name, split=way) for view, way in ways.items()}


def ours(data: Data, split: Split, ablations: bool, store: Store, screen: Terminal) -> list[Result]:
    """Measure our models on a split, but those whose figures are in the store."""
    from benchmarks.quality import (
        served,
        variants,  # TensorFlow, which reads its environment when imported.
    )
    from pipeline.source_digest import source_digest

    wanted = {**variants.OURS, **(variants.ABLATIONS if ablations else {})}
    configs = _configs(data.release, split)
    keys = {}
    for name, variant in wanted.items():
        model, hyperparameters = variant.trained()
        settings = {
            "model": model,
            "hyperparameters": hyperparameters.model_dump(mode="json", exclude={"seed"}),
            "data": [config.model_dump(mode="json") for config in configs.values()],
            "code": source_digest(f"modules.{model}"),
            "example_gen": source_digest("components.movielens_example_gen.component"),
        }
        keys[name] = data.keys(split, name, settings)
    missing = [name for name in wanted if not all(map(store.find, keys[name].values()))]
    if missing:
        with (
            screen.step(f"{split.protocol} {split.name}: {len(missing)} of ours"),
            tempfile.TemporaryDirectory(prefix="marquee-benchmark-") as folder,
        ):
            source, root = data.folder, pathlib.Path(folder, "artifacts")
            if split.protocol != TIME:
                source = pathlib.Path(folder, "data")
                protocol.write_split(data.folder, source, (split.train, split.held_out), data.release)
            root.mkdir()
            nodes = {name: str(number) for number, name in enumerate(missing)}
            trained = {nodes[name]: wanted[name].trained() for name in missing}
            seconds = served.train(source, root, list(configs.values()), trained, split.seed)
            for name, node in nodes.items():
                for number, view in enumerate(configs):
                    columns = served.columns(root, node, number)
                    groups = data.measured(split, columns)
                    store.add(Result(key=keys[name][view], seconds=seconds[node], groups=groups))
    return [result for name in wanted for result in filter(None, map(store.find, keys[name].values()))]


def report(data: Data, found: Sequence[Result], protocols: Sequence[str], ablations: bool) -> str:
    """Write the page: the summary, a table for each protocol, and what has to be said of them."""
    names = set()
    if ablations:
        from benchmarks.quality import variants

        names = set(variants.ABLATIONS)
    main = [result for result in found if result.key.method not in names]
    parts = [("Quality on " + data.release.name, tables.summary(main)), *tables.details(main)]
    if ablations:
        methods = names | set(variants.OURS)
        rows = [result for result in found if result.key.method in methods]
        parts.append(("Ablations", tables.summary(rows)))
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in parts if body)
    libraries = sorted(
        {str(result.key.settings["library"]) for result in main if "library" in result.key.settings}
        - {"ours"}
    )
    notes = [f"Libraries: {', '.join(libraries)}."] if libraries else []
    deaf = [rival.name for rival in rivals.RIVALS if not rival.follows]
    if libraries:
        notes.append(f"Know a user by the train rows alone, on the rolling time cut too: {'; '.join(deaf)}.")
    if splits.OFFICIAL in protocols and not any(r.key.protocol == splits.OFFICIAL for r in found):
        notes.append("u1 to u5: not measured, for this copy of the data has no such files.")
    return text + "".join(f"\n\n{note}" for note in notes) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description="Measure models and baselines under every protocol."
    )
    protocol.add_data_flag(parser)
    parser.add_argument("--release", choices=_RELEASES, default=_RELEASES[0], help="(default: %(default)s)")
    parser.add_argument(
        "--protocols", nargs="+", choices=splits.PROTOCOLS, default=splits.PROTOCOLS, help="(default: all)"
    )
    parser.add_argument("--only", choices=(BASELINES, OURS), help="leave the others out (default: both)")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=splits.SEEDS,
        help=f"of splits and models (default: {' '.join(map(str, splits.SEEDS))}); u1 to u5 take the first",
    )
    parser.add_argument("--ablations", action="store_true", help="train the variants of our models too")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("runs/quality.md"),
        metavar="FILE",
        help="for the tables; raw figures go to the same name with .json, and are not made again where that "
        "file has them (default: %(default)s)",
    )
    return parser


def main() -> None:
    """Run from a command line."""
    parser = _parser()
    options = parser.parse_args()
    missing = [name for name, module in rivals.LIBRARIES.items() if not importlib.util.find_spec(module)]
    if missing and options.only != OURS:
        parser.error(f"The baselines need {', '.join(missing)}: {_INSTALL}")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.NamedTemporaryFile(prefix="marquee-benchmark-", suffix=".log", delete=False) as log:
        print(f"Log: {log.name}", flush=True)
    found: list[Result] = []
    try:
        store = Store(options.output.with_suffix(".json"))
        with redirect.terminal_and_log(pathlib.Path(log.name)) as stream:
            screen = Terminal(stream)
            with screen.listening():
                release = RELEASES[options.release]
                data = Data.read(protocol.find_data(options.data, release.name), release)
                for name in options.protocols:
                    for split in splits.of_protocol(name, data.folder, release, data.ratings, options.seeds):
                        if options.only != OURS:
                            found += baselines(data, split, store, screen)
                        if options.only != BASELINES:
                            found += ours(data, split, options.ablations, store, screen)
    except DataError as error:
        parser.error(str(error))
    text = report(data, found, options.protocols, options.ablations)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text)
    print(f"\n{text}\n{options.output} and {options.output.with_suffix('.json')} written")


if __name__ == "__main__":
    main()
