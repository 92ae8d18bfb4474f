"""Choice of the model at whose parameters a training begins. Pure, as selection.py is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from components.champion.selection import Choice, Verdict, champion


def base_model(
    verdicts: Iterable[Verdict],
    read_by_training: Mapping[Any, Set[int]],
    examples_id: int,
    is_there: Callable[[int | str], bool],
) -> Choice:
    """Find the model that was blessed last, of those trained on other rows whose files are there.

    A model trained on the same rows is never taken, so that a repeated run begins at the same model and comes
    from the cache; otherwise every repetition would train the model of the last one further.

    Args:
      verdicts: of one trainer's models, in any order.
      read_by_training: by model, ids of the artifacts that its trainings read.
      examples_id: id of the examples of this training.
      is_there: returns whether the files of a model are there.

    >>> verdicts = [Verdict(1, True, 10), Verdict(2, True, 20)]
    >>> base_model(verdicts, {1: {7}, 2: {8}}, examples_id=8, is_there=lambda model_id: True)
    Choice(model_id=1, missing=())
    """
    others = [v for v in verdicts if examples_id not in read_by_training.get(v.model_id, frozenset())]
    return champion(others, "", is_there)
