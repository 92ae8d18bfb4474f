"""A release played as if it came in week by week: what would have been trained, blessed, pushed and served.

Run it with `python -m benchmarks.quality.replay`; `--help` lists the flags. Each week's span is delivered,
and run as `python -m retraining run` does, by the whole pipeline in a process of its own.
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Sequence

from benchmarks import table
from common.progress import progress
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.fetching import fetch
from modules import features
from modules.hyperparameters import GradientConfig
from pipeline import config as configuration
from pipeline.config import Config
from retraining import runs
from retraining.cut import cut
from retraining.journal import Entry, Report
from retraining.runs import Launch, Workspace
from retraining.schedule import Schedule

# Shown of each model: its name, the metric and the words for it.
_FIGURES = (
    ("retrieval", features.hit_metric(100, unseen=True), "top-100, excluded"),
    ("ranking", features.RMSE, "RMSE"),
)
_HEADER = ("span", "train", "new", *(words for *_, words in _FIGURES), "outcome", "served", "drifted", "s")


def reduced(config: Config, epochs: int, sweeps: int) -> Config:
    """Make every training shorter.

    >>> reduced(configuration.retraining(), epochs=1, sweeps=20).models.ranking.burn_in
    5
    """
    of_gradient, of_posterior = {"epochs": epochs}, {"sweeps": sweeps, "burn_in": sweeps // 4}
    shorter = {
        name: model.model_copy(update=of_gradient if isinstance(model, GradientConfig) else of_posterior)
        for name, model in config.models
    }
    return config.model_copy(update={"models": config.models.model_copy(update=shorter)})


def replay(
    spans: pathlib.Path,
    weeks: range,
    config: Config,
    schedule: Schedule,
    folder: pathlib.Path,
    launch: Launch = runs.launch,
) -> list[Entry]:
    """Deliver spans one after the other, and run each.

    Args:
      spans: folder of all spans, as `retraining cut` writes it.
      weeks: numbers of those that are run; what is before them is there from the start.
      config: of every run.
      schedule: its window.
      folder: for what arrived, and for what the runs leave.
      launch: makes a run.
    Returns:
      What was run; a failed run ends the replay.
    """
    arrived = folder / "data"
    arrived.mkdir(parents=True)
    for path in spans.iterdir():
        if path.is_file():
            shutil.copy(path, arrived)
    for number in range(1, weeks.start):
        shutil.copytree(spans / f"span-{number}", arrived / f"span-{number}")
    name = configuration.of_data(config, arrived).pipeline_name
    folders = Workspace(arrived, folder / "runs", folder / "pushed", name)
    entries: list[Entry] = []
    for number in weeks:
        shutil.copytree(spans / f"span-{number}", arrived / f"span-{number}")
        entries += runs.run_due(folders, config, schedule, launch)
        if entries[-1].outcome == "failed":
            break
    return entries


def rows(entries: Sequence[Entry]) -> list[list[str]]:
    """Lay out the table: a figure is the challenger's, then the champion's on the same rows."""
    laid: list[list[str]] = []
    served = ""
    for entry in entries:
        report = entry.report
        if not report:
            laid.append([str(entry.span), *[""] * (len(_FIGURES) + 2), "failed", served, "", ""])
            continue
        served = str(report.pushed_version) if report.pushed_version is not None else served
        counts = [f"{count:,}" for count in report.rows]
        figures = [_figure(report, name, metric) for name, metric, _ in _FIGURES]
        outcome = entry.outcome if entry.outcome == "pushed" else f"refused: {_refused(report)}"
        drifted = ", ".join(report.drifted) or "none"
        laid.append(
            [str(entry.span), *counts, *figures, outcome, served or "none", drifted, f"{entry.seconds:.0f}"]
        )
    return laid


def _refused(report: Report) -> str:
    return ", ".join(model.name for model in report.models if not model.blessed) or report.not_pushed_because


def _figure(report: Report, name: str, metric: str) -> str:
    for model in report.models:
        if model.name == name and metric in model.metrics:
            challenger, champion = ("-" if v is None else f"{v:.3f}" for v in model.metrics[metric])
            return f"{challenger} / {champion}"
    return "-"


def main(arguments: Sequence[str]) -> int:
    """Replay, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.replay", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=pathlib.Path, metavar="PATH", help="folder or zip of MovieLens 100K")
    parser.add_argument("--days", type=int, default=7, help="length of a span (default: %(default)s)")
    parser.add_argument("--first", type=int, default=8, help="first span that is run (default: %(default)s)")
    parser.add_argument("--weeks", type=int, default=24, help="spans that are run (default: %(default)s)")
    parser.add_argument("--window", type=int, default=12, help="spans in a run (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="of each training (default: %(default)s)")
    parser.add_argument("--sweeps", type=int, default=40, help="of the posterior (default: %(default)s)")
    parser.add_argument("--cold", action="store_true", help="begin every training anew (default: warm)")
    parser.add_argument("--folder", type=pathlib.Path, help="to keep what is written in (default: nowhere)")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    progress.setLevel(logging.INFO)
    data = DataConfig()
    release = fetch.resolve_data(data, options.data)
    config = reduced(configuration.retraining(), options.epochs, options.sweeps)
    config = config.model_copy(update={"warm_start": not options.cold})
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or pathlib.Path(temporary)
        last = cut(release, data, folder / "spans", options.days).spans
        weeks = range(options.first, min(options.first + options.weeks, last + 1))
        entries = replay(folder / "spans", weeks, config, Schedule(window=options.window), folder)
    print(table.markdown(_HEADER, rows(entries)))
    return int(entries[-1].outcome == "failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
