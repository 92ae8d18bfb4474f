"""The result of a run of the executor: counts, and whether the data may be used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from apache_beam.io.filesystems import FileSystems

from common.errors import DataError
from components.movielens_example_gen.config import SPAN, TIME, DataConfig
from components.movielens_example_gen.parsing import parse, quarantine
from components.movielens_example_gen.sources.layouts import open_file

# The counts that every run has, zero or not. A kind of fault that occurs adds a count with its name at the
# end (`bad_ratings_columns`).
COUNTS = (
    *("ratings_read", "bad_ratings", "duplicates", "ratings_kept", "train_rows", "eval_rows", "users"),
    *("movies_read", "bad_movies", "candidates", "titles_merged", "titles_renamed"),
    *("users_read", "bad_users"),
)
# Property of the ratings beside the counts: the JSON of their DataConfig.
DATA_CONFIG = "data_config"
_QUOTED = 3
_FIRST = " The first bad rows:"


def read_counts(folder: str) -> dict[str, int]:
    """Read the counts that the workers wrote into the quarantine, and check that they add up.

    Raises:
      RuntimeError: a row disappeared uncounted, which is a fault of this code.
    """
    with open_file(FileSystems.join(folder, quarantine.COUNTS_FILE)) as handle:
        counts = {**dict.fromkeys(COUNTS, 0), **json.loads(handle.read())}
    counts["ratings_kept"] = counts["train_rows"] + counts["eval_rows"]
    accounted = counts["ratings_kept"] + counts["duplicates"] + counts["bad_ratings"]
    if accounted != counts["ratings_read"]:
        raise RuntimeError(f"{counts['ratings_read']} ratings were read, {accounted} are accounted for")
    return counts


def require_usable(counts: Mapping[str, int], config: DataConfig, folder: str) -> None:
    """Raise on data that must not be trained on.

    TFX removes a failed component's outputs, so the quarantine is first copied to another folder.

    Raises:
      DataError: too many bad rows, no candidate, or an empty split.
    """
    broken = quarantine.too_many(counts, config.max_bad_share)
    if broken:
        problem = (
            f"At most {100 * config.max_bad_share:g} % of the rows may be bad (max_bad_share = "
            f"{config.max_bad_share:g}); bad are {' and '.join(broken)}. {_remedy(counts)}"
        )
    elif not counts["candidates"]:
        problem = (
            f"The movies file must name at least one film; none of its {counts['movies_read']} rows does."
        )
    elif not (counts["train_rows"] and counts["eval_rows"]):
        problem = _empty_split(counts, config)
    else:
        return
    quotes = "".join(f"\n  {line}" for line in first_quotes(folder))
    if quotes:
        problem += f"{_FIRST}{quotes}\nAll bad rows: {copy_quarantine(folder)}"
    raise DataError(problem)


def _remedy(counts: Mapping[str, int]) -> str:
    for unit, factor in parse.UNITS.items():
        times = counts.get(f"bad_{quarantine.RATINGS}_{unit}", 0)
        if times > counts["ratings_read"] / 2:
            return f"The times of {times:,} ratings are {unit}: divide them by {factor:,}."
    return "Correct the rows, or raise max_bad_share to go on without them."


def _empty_split(counts: Mapping[str, int], config: DataConfig) -> str:
    empty = "train" if not counts["train_rows"] else "eval"
    remedy = "Give more rows, or another split."
    if config.split.method == TIME and empty == "eval":
        remedy = "Too many rows share the last seconds; choose a larger eval_share or the split method hash."
    if config.split.method == SPAN:
        remedy = (
            "Wait for a second span, because models are evaluated on the newest one."
            if empty == "train"
            else "Deliver rows of the newest span, or name an earlier one."
        )
    return (
        f"Both splits must have rows; {empty} has none of the {counts['ratings_kept']} usable ratings "
        f"(split method {config.split.method}). {remedy}"
    )


def first_quotes(folder: str) -> list[str]:
    """Quote the first few bad rows of each part of the input."""
    quotes = []
    for part in (quarantine.RATINGS, quarantine.MOVIES, quarantine.USERS):
        quoted: list[str] = []
        for path in _files(folder, f"{part}*{quarantine.ROWS_SUFFIX}"):
            with open_file(path) as handle:
                while len(quoted) < _QUOTED and (line := handle.readline()):
                    quoted.append(quarantine.quote(line.decode("ascii")))
            if len(quoted) == _QUOTED:
                break
        quotes += quoted
    return quotes


def without_quotes(message: str) -> str:
    r"""Leave the quoted rows out of what require_usable says, for readers who are not to see users' ids.

    >>> without_quotes("Too many. The first bad rows:\n  u.data, line 3: x\n  u.data, line 4: y\nAll: /q")
    'Too many.\nAll: /q'
    """
    return re.sub(rf"{_FIRST}(\n  .*)*", "", message)


def copy_quarantine(folder: str) -> str:
    """Copy a failed run's quarantine to a folder that TFX does not remove, and return this folder."""
    copied = folder.rstrip("/") + "_refused"
    if FileSystems.exists(copied):
        FileSystems.delete([copied])
    FileSystems.mkdirs(copied)
    paths = _files(folder, "*")
    FileSystems.copy(paths, [FileSystems.join(copied, FileSystems.split(path)[1]) for path in paths])
    return copied


def _files(folder: str, pattern: str) -> list[str]:
    found = FileSystems.match([FileSystems.join(folder, pattern)])[0].metadata_list
    return sorted(metadata.path for metadata in found)


def summary(counts: Mapping[str, int], config: DataConfig) -> str:
    """Say in one line what was read.

    >>> summary({**dict.fromkeys(COUNTS, 0), "train_rows": 80, "eval_rows": 20, "users": 9,
    ...          "candidates": 7, "duplicates": 1}, DataConfig())
    'ml-100k: 80 train and 20 eval ratings of 9 users, 7 candidates; 1 duplicate rows dropped'
    """
    text = (
        f"{config.release}: {counts['train_rows']:,} train and {counts['eval_rows']:,} eval ratings of "
        f"{counts['users']:,} users, {counts['candidates']:,} candidates"
    )
    bad = sum(counts[f"bad_{part}"] for part in (quarantine.RATINGS, quarantine.MOVIES, quarantine.USERS))
    notes = [
        f"{count:,} {words}"
        for count, words in (
            (counts["duplicates"], "duplicate rows dropped"),
            (bad, "bad rows in quarantine"),
            (counts["titles_merged"], "ids merged by title"),
            (counts["titles_renamed"], "titles made unique"),
        )
        if count
    ]
    return f"{text}; {', '.join(notes)}" if notes else text
