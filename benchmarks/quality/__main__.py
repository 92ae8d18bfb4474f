"""Every model and baseline under every protocol: the table that README quotes.

Run it with `python -m benchmarks.quality`; `--help` lists the flags. benchmarks/README.md says
what is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator, Sequence

from benchmarks import protocol, splits
from benchmarks.quality import tables
from benchmarks.quality.data import Data
from benchmarks.quality.results import Result, Store
from benchmarks.rivals import rivals
from benchmarks.rivals.rivals import Rival
from benchmarks.splits import Split
from common.errors import DataError
from components.movielens_example_gen.sources.releases import RELEASES
from runners.terminal import redirect
from runners.terminal.status import Terminal

BASELINES, OURS = "baselines", "ours"
_RELEASES = ("ml-100k", "ml-1m")
_INSTALL = ".venv/bin/pip install --require-hashes --requirement requirements/benchmarks.lock"


def baseline(data: Data, split: Split, rival: Rival) -> Iterator[Result]:
    """Fit a baseline to a split and measure it."""
    train, held_out = data.ratings.take(split.train), data.ratings.take(split.held_out)
    started = time.monotonic()
    model = rival.fit(train, split.seed, **rival.settings)
    seconds = time.monotonic() - started
    for view, key in data.keys(split, rival.name, rival.description()).items():
        columns = rivals.columns(model, train, splits.queries(train, held_out, view))
        yield Result(key=key, seconds=seconds, groups=data.measured(split, columns))


def baselines(
    data: Data, split: Split, chosen: Sequence[Rival], store: Store, screen: Terminal
) -> list[Result]:
    """Measure baselines on a split, but those whose figures are in the store."""
    found: list[Result] = []
    for rival in chosen:
        keys = data.keys(split, rival.name, rival.description())
        if not all(map(store.find, keys.values())):
            with screen.step(f"{split.protocol} {split.name}: {rival.name}"):
                for result in baseline(data, split, rival):
                    store.add(result)
        found += filter(None, map(store.find, keys.values()))
    return found


def report(data: Data, found: Sequence[Result], protocols: Sequence[str], ablations: bool) -> str:
    """Write the page: the summary, a table for each protocol, and what has to be said of them."""
    names = set()
    if ablations:
        from benchmarks.quality import variants

        names = set(variants.ABLATIONS) | set(variants.LIST_ABLATIONS)
    main = [result for result in found if result.key.method not in names]
    parts = [("Quality on " + data.release.name, tables.summary(main)), *tables.details(main)]
    if ablations:
        methods = names | set(variants.OURS) | set(variants.LISTS)
        rows = [result for result in found if result.key.method in methods]
        parts.append(("Ablations", tables.summary(rows)))
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in parts if body)
    libraries = sorted(
        {str(result.key.settings["library"]) for result in main if "library" in result.key.settings}
        - {"ours"}
    )
    notes = [f"Libraries: {', '.join(libraries)}."] if libraries else []
    measured = {result.key.method for result in main}
    deaf = [rival.name for rival in rivals.RIVALS if not rival.follows and rival.name in measured]
    if deaf:
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
    parser.add_argument(
        "--only",
        choices=(BASELINES, OURS, *(rival.name for rival in rivals.RIVALS)),
        metavar="NAME",
        help=f"{BASELINES}, {OURS}, or one baseline as tables name it (default: all)",
    )
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
    chosen = [rival for rival in rivals.RIVALS if options.only in (None, BASELINES, rival.name)]
    libraries = {rival.library for rival in chosen}
    missing = [
        name
        for name, module in rivals.LIBRARIES.items()
        if name in libraries and not importlib.util.find_spec(module)
    ]
    if missing:
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
                        found += baselines(data, split, chosen, store, screen)
                        if options.only in (None, OURS):
                            from benchmarks.quality import ours  # TensorFlow, which reads its environment.

                            found += ours.measure(data, split, options.ablations, store, screen)
    except DataError as error:
        parser.error(str(error))
    text = report(data, found, options.protocols, options.ablations)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text)
    print(f"\n{text}\n{options.output} and {options.output.with_suffix('.json')} written")


if __name__ == "__main__":
    main()
