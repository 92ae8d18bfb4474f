"""Which model is the champion, without TFX."""

from __future__ import annotations

import itertools

import pytest

from components.champion.selection import Verdict, champion_id

PASSED, REFUSED = True, False


@pytest.mark.parametrize(
    ("verdicts", "challenger", "champion"),
    [
        pytest.param([], 1, None, id="first run: nothing was judged yet"),
        pytest.param([(1, PASSED, 10)], 1, None, id="identical second run: only the challenger is blessed"),
        pytest.param([(1, PASSED, 10)], 2, 1, id="a changed model meets the blessed one"),
        pytest.param([(1, PASSED, 10), (2, PASSED, 20)], 3, 2, id="the blessed last of several"),
        pytest.param([(1, PASSED, 10), (2, REFUSED, 20)], 3, 1, id="a refused model is passed over"),
        pytest.param(
            [(1, PASSED, 30), (2, PASSED, 20)], 3, 1, id="a verdict issued anew counts from then on"
        ),
        pytest.param([(1, PASSED, 10), (1, REFUSED, 20)], 2, None, id="refused since: no champion any more"),
        pytest.param([(1, REFUSED, 10), (1, PASSED, 20)], 2, 1, id="passed since: champion"),
    ],
)
def test_the_champion_is_the_other_model_blessed_last(
    verdicts: list[tuple[int, bool, int]], challenger: int, champion: int | None
) -> None:
    for order in itertools.permutations(verdicts):
        assert champion_id([Verdict(*verdict) for verdict in order], challenger) == champion
