"""Choice of the champion: the model that a newly trained one is compared with.

Pure. Run by the process of the local runners through `components.champion.strategy`, and in containers, which
have no ML Metadata to ask, through `components.champion.executor`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable

from modules import features

# Below a model's URI: the file without which no program can load it.
SAVED_MODEL = os.path.join(features.SERVING_DIR, "saved_model.pb")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One blessing artifact, as the last execution that put it out left it.

    Attributes:
      model_id: the model that was judged: its artifact's id, or its URI where ids are not to be had.
      blessed: whether it passed its gates.
      issued: grows with time. The id of the newest execution with this blessing as output, where an execution
        served from the cache has one of its own: a cached verdict counts as issued anew. Or nanoseconds.
    """

    model_id: int | str
    blessed: bool
    issued: int


@dataclasses.dataclass(frozen=True)
class Choice:
    """A model that was chosen.

    Attributes:
      model_id: as in Verdict; None where no model can be chosen.
      gone: models that were blessed later and whose files are gone, the one blessed last first.
    """

    model_id: int | str | None
    gone: tuple[int | str, ...] = ()


def champion(
    verdicts: Iterable[Verdict], challenger_id: int | str, is_there: Callable[[int | str], bool]
) -> Choice:
    """Find the model that was blessed last, other than the challenger, of those whose files are there.

    The challenger itself is left out because otherwise the second of two identical runs would find the first
    one's model, which is the challenger out of the cache, and evaluate it again against itself. Of several
    verdicts on one model the newest holds: a model refused since is no champion. Files can be gone because
    somebody deleted or moved them, or a bucket's life cycle did.

    Args:
      verdicts: of one trainer's models, in any order.
      challenger_id: the model that is about to be evaluated.
      is_there: tells whether the files of a model are there.

    >>> verdicts = [Verdict(1, True, 10), Verdict(2, True, 20), Verdict(3, False, 30)]
    >>> champion(verdicts, challenger_id=4, is_there=lambda model_id: model_id != 2)
    Choice(model_id=1, gone=(2,))
    """
    newest: dict[int | str, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.issued):
        newest[verdict.model_id] = verdict
    blessed = [v for v in newest.values() if v.blessed and v.model_id != challenger_id]
    gone: list[int | str] = []
    for verdict in sorted(blessed, key=lambda verdict: -verdict.issued):
        if is_there(verdict.model_id):
            return Choice(verdict.model_id, tuple(gone))
        gone.append(verdict.model_id)
    return Choice(None, tuple(gone))
