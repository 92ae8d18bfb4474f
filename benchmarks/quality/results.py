"""Raw figures of the quality benchmark in a JSON file, so that a run goes on where another stopped."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import pydantic

from benchmarks.figures import Figures
from common.errors import DataError


class Key(pydantic.BaseModel):
    """The key of a figure; a figure with an equal key is not computed again."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # The release, and a digest of its files.
    data: str
    protocol: str
    # One of the protocol's splits.
    split: str
    # splits.STATIC or ROLLING.
    view: str
    seed: int
    # Row of the table.
    method: str
    # Everything else that the figure depends on; JSON.
    settings: dict[str, Any]


class Measured(pydantic.BaseModel):
    """Figures of a group of rows, as in `figures.Figures`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    rows: int
    top_100: float | None
    top_10_unseen: float | None
    top_100_unseen: float | None
    ndcg_10_unseen: float | None
    liked_10: float | None
    disliked_10: float | None
    graded_ndcg_10: float | None
    rmse: float | None


class Result(pydantic.BaseModel):
    """One model on one split, with one kind of query."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    key: Key
    # To train the model.
    seconds: float
    # By group of rows, see tables.GROUPS.
    groups: dict[str, Measured]


_LIST = pydantic.TypeAdapter(list[Result])


def measured(by_group: Mapping[str, tuple[int, Figures]]) -> dict[str, Measured]:
    """Put what `figures.by_group` returns in the form of a Result."""
    return {name: Measured(rows=rows, **figures._asdict()) for name, (rows, figures) in by_group.items()}


class Store:
    """The results in a file; each is written as soon as it is known."""

    def __init__(self, path: pathlib.Path):
        """Read the file, where there is one.

        Raises:
          DataError: it holds something else.
        """
        self._path = path
        try:
            results = _LIST.validate_json(path.read_bytes()) if path.exists() else []
        except pydantic.ValidationError as error:
            raise DataError(
                f"{path} must hold figures of benchmarks.quality; it holds something else, or those of "
                "another version. Name another --output, or remove the file."
            ) from error
        self._results = {_text(result.key): result for result in results}

    def find(self, key: Key) -> Result | None:
        """Return the result of a key, if it is known."""
        return self._results.get(_text(key))

    def add(self, result: Result) -> None:
        """Keep a result."""
        self._results[_text(result.key)] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_bytes(_LIST.dump_json(list(self._results.values()), indent=1))
        os.replace(fresh, self._path)


def _text(key: Key) -> str:
    return json.dumps(key.model_dump(mode="json"), sort_keys=True)
