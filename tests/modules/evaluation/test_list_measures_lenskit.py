"""Measures of lists against LensKit's own, where requirements/benchmarks.lock is installed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from modules.evaluation import list_measures as measures
from modules.evaluation.list_measures import DEPTH, Scale

topn = pytest.importorskip("lenskit.metrics.topn")
SCALE = Scale(5.0)


def discount(ranks: np.ndarray) -> np.ndarray:
    """That of Burges, which LensKit's newer versions have as LogRankWeight(offset=1); ranks count from 1."""
    return np.log2(ranks + 1)


@pytest.mark.parametrize("seed", range(20))
def test_they_agree_on_random_lists(seed: int) -> None:
    """Lists of up to DEPTH titles, of 40, and users who rated 3 to 30 of these."""
    rng = np.random.default_rng(seed)
    shown = rng.permutation(40)[: rng.integers(1, DEPTH + 1)]
    rated = rng.permutation(40)[: rng.integers(3, 31)]
    ratings = np.zeros(40)
    ratings[rated] = rng.integers(1, 6, len(rated))
    recommended = pd.DataFrame({"item": shown})

    gains = np.where(ratings > 0, SCALE.gains(ratings), 0.0)
    graded = pd.DataFrame({"rating": gains[rated]}, index=rated)
    assert measures.ndcg(gains[shown], gains[rated]) == pytest.approx(
        topn.ndcg(recommended, graded, discount, k=DEPTH)
    )

    liked = SCALE.liked(ratings)
    truth = pd.DataFrame(index=np.flatnonzero(liked))
    found = measures.ndcg(liked[shown].astype(float), liked[rated].astype(float))
    assert found == pytest.approx(topn.ndcg(recommended, truth, discount, k=DEPTH))

    first = np.argmax(liked[shown]) if liked[shown].any() else math.inf
    assert measures.reciprocals(np.array(first)) == pytest.approx(
        topn.recip_rank(recommended, truth, k=DEPTH)
    )
    hits = (measures.discounts(np.arange(len(shown))) > 0) & liked[shown]
    assert hits.sum() == pytest.approx(len(shown) * topn.precision(recommended, truth, k=DEPTH))
