"""Choice of the champion: the model that a newly trained one is compared with.

Pure. The local runners call it through `components.champion.strategy`; containers, which cannot query ML
Metadata, call it through `components.champion.executor`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable

from modules import features

# File below a model's URI; without it no program can load the model.
SAVED_MODEL = os.path.join(features.SERVING_DIR, "saved_model.pb")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of one blessing artifact.

    Attributes:
      model_id: the evaluated model: its artifact's id, or its URI in containers, where no ids are known.
      blessed: whether it passed its gates.
      issued: a number that grows with time: the id of the newest execution with this blessing as output, or
        nanoseconds in containers. An execution served from the cache has an id too, so a cached verdict
        counts as issued anew.
    """

    model_id: int | str
    blessed: bool
    issued: int


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen model, and those that were passed over.

    Attributes:
      model_id: as in Verdict; None if no model can be chosen.
      missing: models that were blessed later and whose files are missing, the one blessed last first.
    """

    model_id: int | str | None
    missing: tuple[int | str, ...] = ()


def champion(
    verdicts: Iterable[Verdict], challenger_id: int | str, is_there: Callable[[int | str], bool]
) -> Choice:
    """Find the model that was blessed last, other than the challenger, of those whose files are there.

    The challenger itself is left out. Otherwise the second of two identical runs would find the first one's
    model, which is also the challenger, from the cache, and compare it with itself. Of several verdicts on
    one model the newest counts: a model that was not blessed the last time is no champion. Files can be
    missing because a person, or a bucket's lifecycle rule, deleted or moved them.

    Args:
      verdicts: of one trainer's models, in any order.
      challenger_id: the model to be evaluated.
      is_there: returns whether the files of a model are there.

    >>> verdicts = [Verdict(1, True, 10), Verdict(2, True, 20), Verdict(3, False, 30)]
    >>> champion(verdicts, challenger_id=4, is_there=lambda model_id: model_id != 2)
    Choice(model_id=1, missing=(2,))
    """
    newest: dict[int | str, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.issued):
        newest[verdict.model_id] = verdict
    blessed = [v for v in newest.values() if v.blessed and v.model_id != challenger_id]
    missing: list[int | str] = []
    for verdict in sorted(blessed, key=lambda verdict: -verdict.issued):
        if is_there(verdict.model_id):
            return Choice(verdict.model_id, tuple(missing))
        missing.append(verdict.model_id)
    return Choice(None, tuple(missing))
