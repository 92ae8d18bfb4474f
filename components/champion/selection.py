"""Choice of the champion: the model that a newly trained one is compared with.

Pure. Run by the process of the local runners through `components.champion.strategy`, and in containers, which
have no ML Metadata to ask, through `components.champion.executor`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


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


def champion_id(verdicts: Iterable[Verdict], challenger_id: int | str) -> int | str | None:
    """Find the model that was blessed last, other than the challenger.

    The challenger itself is left out because otherwise the second of two identical runs would find the first
    one's model, which is the challenger out of the cache, and evaluate it again against itself. Of several
    verdicts on one model the newest holds: a model refused since is no champion.

    Args:
      verdicts: of one trainer's models, in any order.
      challenger_id: the model that is about to be evaluated.
    Returns:
      The `model_id` of the champion, or None where no other model is blessed.

    >>> champion_id([Verdict(1, True, 10), Verdict(2, True, 20), Verdict(3, False, 30)], challenger_id=2)
    1
    """
    newest: dict[int | str, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.issued):
        newest[verdict.model_id] = verdict
    blessed = [v for v in newest.values() if v.blessed and v.model_id != challenger_id]
    return max(blessed, key=lambda verdict: verdict.issued).model_id if blessed else None
