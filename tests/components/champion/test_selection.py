"""Which model is the champion, without TFX."""

from __future__ import annotations

import itertools

import pytest

from components.champion.selection import Choice, Verdict, champion

BLESSED, NOT_BLESSED = True, False


@pytest.mark.parametrize(
    ("verdicts", "challenger", "chosen"),
    [
        pytest.param([], 1, None, id="first run: nothing was judged yet"),
        pytest.param([(1, BLESSED, 10)], 1, None, id="identical second run: only the challenger is blessed"),
        pytest.param([(1, BLESSED, 10)], 2, 1, id="a changed model meets the blessed one"),
        pytest.param([(1, BLESSED, 10), (2, BLESSED, 20)], 3, 2, id="the blessed last of several"),
        pytest.param(
            [(1, BLESSED, 10), (2, NOT_BLESSED, 20)], 3, 1, id="a model that is not blessed is passed over"
        ),
        pytest.param(
            [(1, BLESSED, 30), (2, BLESSED, 20)], 3, 1, id="a verdict issued anew counts from then on"
        ),
        pytest.param(
            [(1, BLESSED, 10), (1, NOT_BLESSED, 20)], 2, None, id="not blessed since: no champion any more"
        ),
        pytest.param([(1, NOT_BLESSED, 10), (1, BLESSED, 20)], 2, 1, id="blessed since: champion"),
    ],
)
def test_the_champion_is_the_other_model_blessed_last(
    verdicts: list[tuple[int, bool, int]], challenger: int, chosen: int | None
) -> None:
    for order in itertools.permutations(verdicts):
        found = champion([Verdict(*verdict) for verdict in order], challenger, is_there=lambda _: True)
        assert found == Choice(chosen)


@pytest.mark.parametrize(
    ("there", "choice"),
    [
        ({1, 2, 3, 4}, Choice(4)),
        ({1, 2, 3}, Choice(2, missing=(4,))),  # 3 was not blessed.
        ({1, 3}, Choice(1, missing=(4, 2))),
        ({3}, Choice(None, missing=(4, 2, 1))),
    ],
)
def test_a_model_whose_files_are_missing_is_passed_over(there: set[int], choice: Choice) -> None:
    verdicts = [
        Verdict(1, BLESSED, 10),
        Verdict(2, BLESSED, 20),
        Verdict(3, NOT_BLESSED, 30),
        Verdict(4, BLESSED, 40),
    ]
    for order in itertools.permutations(verdicts):
        assert champion(order, challenger_id=5, is_there=there.__contains__) == choice
    # The challenger is no model that is missed.
    assert champion(verdicts, challenger_id=4, is_there={1, 2}.__contains__) == Choice(2)
