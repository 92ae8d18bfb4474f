"""Which runs are due, of what is there and what was run."""

from __future__ import annotations

import pytest

from retraining import plan
from retraining.journal import Entry

# Whether to catch up, and the window.
DAILY, NEWEST_ONLY, ALL = (True, 3), (False, 3), (True, None)


def entry(span: int, outcome: str = "pushed", versions: dict[int, int] | None = None) -> Entry:
    there = versions or dict.fromkeys(range(1, span + 1), 0)
    return Entry(span=span, versions=there, outcome=outcome, ended=0, seconds=0)


def spans(*numbers: int) -> dict[int, int]:
    return dict.fromkeys(numbers, 0)


@pytest.mark.parametrize(
    ("there", "entries", "schedule", "due", "reason"),
    [
        (spans(), [], DAILY, (), "a run needs two spans with rows in its window"),
        (spans(1), [], DAILY, (), "a run needs two spans with rows in its window"),
        (spans(1, 2, 3), [], DAILY, (3,), "no run was made yet"),
        (spans(1, 2, 3), [entry(3)], DAILY, (), "no span came since span 3"),
        (spans(1, 2, 3), [entry(2), entry(3, "refused")], DAILY, (), "no span came since span 3"),
        (spans(1, 2, 3, 4, 5, 6), [entry(3)], DAILY, (4, 5, 6), "3 new since span 3"),
        (spans(1, 2, 3, 4, 5, 6), [entry(3)], NEWEST_ONLY, (6,), "3 new since span 3"),
        (spans(1, 2, 3, 4), [entry(3), entry(4, "failed")], DAILY, (4,), "1 new since span 3"),
    ],
)
def test_what_is_new_is_due(there, entries, schedule, due, reason) -> None:
    received = plan.due(there, entries, *schedule)
    assert received.spans == due
    assert reason in received.reason


def test_late_data_within_the_window_makes_the_newest_span_due_again() -> None:
    entries = [entry(5, versions={1: 0, 2: 0, 4: 0, 5: 0})]
    received = plan.due({1: 0, 2: 0, 3: 0, 4: 1, 5: 0}, entries, *DAILY)
    assert received == ((5,), "spans that came late or anew: 3, 4")
    # Span 2 is before the window of span 5.
    assert plan.due({1: 0, 2: 7, 4: 0, 5: 0}, entries, *DAILY).spans == ()
    assert plan.due({1: 0, 2: 7, 4: 0, 5: 0}, entries, *ALL).spans == (5,)


def test_a_span_that_was_deleted_makes_no_run_due() -> None:
    assert plan.due(spans(3, 4, 5), [entry(5)], *ALL).spans == ()


def test_a_backfill_runs_the_past_in_order_but_never_behind_a_champion_that_knows_it() -> None:
    assert plan.due(spans(1, 2, 3, 4), [], *NEWEST_ONLY, since=1).spans == (2, 3, 4)
    assert plan.due(spans(1, 2, 3, 4), [entry(2)], *DAILY, since=3).spans == (3, 4)
    assert plan.due(spans(1, 2, 3), [entry(2)], *DAILY, since=9).reason == "there are no such spans"
    with pytest.raises(ValueError, match="a backfill must begin after span 3, .*Begin later"):
        plan.due(spans(1, 2, 3, 4), [entry(3)], *DAILY, since=2)


def test_a_span_without_rows_gets_no_run_and_delays_none() -> None:
    there = spans(1, 2, 3, 4, 5)
    assert plan.due(there, [entry(3)], *DAILY, empty={4}).spans == (5,)
    assert plan.due(there, [], *DAILY, empty={5}).spans == (4,)
    assert plan.due(there, [], *DAILY, since=1, empty={1, 3}).spans == (4, 5)
    none = plan.due(there, [entry(3)], *DAILY, empty={2, 4, 5})
    assert none == ((), "no span came since span 3, except without rows: 4, 5")
    assert plan.due(spans(1, 2), [], *DAILY, empty={1}).reason.endswith("there are 1")


def test_a_span_without_train_rows_in_its_window_delays_no_run() -> None:
    there = spans(1, 2, 3, 4, 5, 6)
    assert plan.due(there, [entry(3)], True, 2, empty={4}).spans == (6,)
    assert plan.due(there, [entry(3)], True, 3, empty={4}).spans == (5, 6)
    # Span 3 was deleted: no model can be evaluated on it.
    assert plan.due({1: 0, 2: 0, 3: 1}, [entry(3)], *DAILY, empty={3}).spans == ()
