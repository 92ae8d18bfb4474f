"""Which rows are held out: arrays in, a choice out."""

from __future__ import annotations

import numpy as np
import pytest

from modules.tuners.held_out import latest


def drawn(num_users: int, most: int, seconds: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of users who have from one to `most` each, within so many seconds."""
    draw = np.random.default_rng(0)
    users = np.repeat(np.arange(num_users), draw.integers(1, most + 1, num_users))
    return users, draw.integers(0, seconds, len(users))


@pytest.mark.parametrize(
    ("most", "seconds"),
    [
        pytest.param(3, 10**6, id="too few rows for a whole one"),
        pytest.param(200, 10**6, id="many rows"),
        pytest.param(200, 5, id="many rows of one second"),
    ],
)
@pytest.mark.parametrize("share", [0.125, 0.6])
def test_the_share_is_as_configured(most: int, seconds: int, share: float) -> None:
    chosen = latest(*drawn(4_000, most, seconds), share, seed=1)
    assert np.mean(chosen) == pytest.approx(share, abs=0.02)


def test_a_users_chosen_rows_are_the_latest_and_rows_of_one_second_stay_together() -> None:
    users, seconds = drawn(300, 60, 25)
    chosen = latest(users, seconds, 0.3, seed=1)
    for user in range(300):
        late, early = seconds[(users == user) & chosen], seconds[(users == user) & ~chosen]
        assert not len(late) or not len(early) or early.max() < late.min()
    assert 0 < chosen.sum() < len(chosen)


def test_a_user_s_share_is_exact_but_for_the_second_in_which_it_ends() -> None:
    users, seconds = np.repeat(np.arange(50), 16), np.tile(np.arange(16), 50)
    assert np.bincount(users, latest(users, seconds, 0.25, seed=1)).tolist() == [4] * 50
    counts = np.bincount(users, latest(users, seconds, 0.28, seed=1))
    assert set(counts) == {4, 5}


def test_the_seed_decides_and_the_order_of_the_rows_does_not() -> None:
    users, seconds = drawn(500, 9, 100)
    order = np.random.default_rng(1).permutation(len(users))
    here = latest(users, seconds, 0.125, seed=1)
    assert latest(users[order], seconds[order], 0.125, seed=1).tolist() == here[order].tolist()
    assert latest(users, seconds, 0.125, seed=2).tolist() != here.tolist()
