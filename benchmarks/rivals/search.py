"""The search that chose the baselines' settings, on a part of train.

Run it with `python -m benchmarks.rivals.search`; `--help` lists the flags. Of the train rows of the random
split with seed 42 the first eighth is held out, and the model fitted to the others; for a model of sequences,
the last fifth of the train rows of the time cut, where a query knows all that is earlier. No row of eval is
looked at. What recommends is compared by top-100 without the titles known, what rates by RMSE.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import numpy as np

from benchmarks import figures, protocol, table
from benchmarks.protocol import Ratings
from benchmarks.rivals import rivals
from benchmarks.rivals.rivals import Rival
from benchmarks.splits import ROLLING, SEEDS, STATIC, Queries, queries, time_cut
from common.errors import DataError

_SHARE = 8


def validation_split(ratings: Ratings, seed: int = SEEDS[0]) -> tuple[Ratings, Ratings]:
    """Return what is fitted to and what is held out, both of the seed's train rows."""
    train, _ = protocol.random_split(len(ratings), seed)
    size = len(train) // _SHARE
    return ratings.take(train[size:]), ratings.take(train[:size])


def division(rival: Rival, ratings: Ratings) -> tuple[Ratings, Queries]:
    """Return the rows that a baseline is fitted to, and the queries that it is then evaluated on."""
    if not rival.sequential:
        train, held_out = validation_split(ratings)
        return train, queries(train, held_out, STATIC)
    whole = ratings.take(time_cut(ratings.times)[0])
    train, held_out = (whole.take(rows) for rows in time_cut(whole.times))
    return train, queries(train, held_out, ROLLING)


def compare(rival: Rival, ratings: Ratings) -> list[tuple[float, list[str]]]:
    """Fit a baseline with each of its candidate settings.

    Returns:
      By candidate a loss, and the row of the table: settings, figures, seconds.
    """
    train, evaluated = division(rival, ratings)
    compared = []
    for settings in rival.candidates():
        started = time.monotonic()
        model = rival.fit(train, SEEDS[0], **settings)
        seconds = time.monotonic() - started
        measured = figures.of_columns(rivals.columns(model, train, evaluated))
        loss = measured.rmse if measured.rmse is not None else -(measured.top_100_unseen or 0.0)
        cells = [
            table.spread([v] if v is not None else [], 4) for v in (measured.top_100_unseen, measured.rmse)
        ]
        compared.append((loss, [json.dumps(settings), *cells, f"{seconds:.1f}"]))
        print(f"{rival.name}: {' '.join(compared[-1][1])}", flush=True)
    return compared


def main() -> None:
    """Run from a command line."""
    by_name = {rival.name: rival for rival in rivals.RIVALS if len(rival.candidates()) > 1}
    parser = argparse.ArgumentParser(description="Choose the baselines' settings on a part of train.")
    protocol.add_data_flag(parser)
    parser.add_argument("--baselines", nargs="+", choices=by_name, default=list(by_name), metavar="NAME")
    options = parser.parse_args()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # As in the quality benchmark.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        ratings = protocol.read(protocol.find_data(options.data))
    except DataError as error:
        parser.error(str(error))
    for name in options.baselines:
        compared = compare(by_name[name], ratings)
        best = int(np.argmin([loss for loss, _ in compared]))
        rows = [row for _, row in sorted(compared, key=lambda item: item[0])]
        print(f"\n{name}: chosen {compared[best][1][0]}; in force {json.dumps(by_name[name].settings)}\n")
        print(table.markdown(["settings", "top-100, excluded", "RMSE", "seconds"], rows), "\n")


if __name__ == "__main__":
    main()
