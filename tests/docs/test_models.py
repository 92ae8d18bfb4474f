"""docs/models.md: features and constants are those of the code, every file that it names is there."""

from __future__ import annotations

import re

import pytest

from modules import features, hyperparameters
from modules.bayesian import cold_start, model, rater_embedding, rating_bias, sampler
from modules.data import baselines, item_item, sequences
from modules.towers import history, rating_head, sequence
from tests.docs.blocks import DOCS

TEXT = (DOCS / "models.md").read_text(encoding="utf-8")
FLAT = " ".join(TEXT.split())


def test_every_transformed_feature_is_listed_and_a_star_marks_those_of_the_default() -> None:
    (table,) = re.findall(r"^\| feature \| tower .*?^$", TEXT, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"`(\w+)`( \*)?(?=[^|]*\| (query|candidate) \|)", table)
    of_code = {(feature.name, feature.side.value) for feature in features.TRANSFORMED_FEATURES}
    assert {(name, side) for name, _, side in listed} == of_code
    models = hyperparameters.default()
    for config in (models.retrieval, models.ranking, models.multitask):
        starred = {name for name, star, _ in listed if star}
        assert starred == {*config.query_features, *config.candidate_features}


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("one of seven groups", len(features.AGE_BOUNDARIES) == 7),
        ("one of 1,000 equal parts", features.TRANSFORMED_FEATURES[4].width == 1000),
        ("of the latest 20 ratings", features.TRAIN_HISTORY_LENGTH == 20),
        ("(for sequences and cold-start users 100)", features.HISTORY_LENGTH == 100),
        ("the sum over the latest 100 ratings", features.HISTORY_LENGTH == 100),
        (r"32^{-1/2} \langle Q", history._ATTENTION_DIM == 32),
        ("windows of 128", sequences.QUERIES == 128),
        ("with the 100 before them", sequences.CONTEXT == 100),
        ("each of eleven steps", sequence._RATINGS == 10),
        ("that begin at 0.2", rating_head._INITIAL_SCALE == 0.2),
        ("/ (n + 2)$", rating_bias._LONG_PRIOR == 2),
        (r"\exp(-g_j / 10)", rating_bias._FADING == 0.1),
        (r"divided by $\sum_j \omega_j + 1$", rating_bias._LATE_PRIOR == 1),
        ("as if ten average ratings", rating_bias._TITLE_PRIOR == 10),
        ("}{n + 5}", rating_bias._TASTE_PRIOR == 5),
        ("(n_t + 5)(n_u + 5)", rater_embedding._PRIOR == 5),
        (r"\Gamma(1/2,\ 0.05/2)", sampler._WEIGHTS_RATE == 0.05),
        (r"\alpha \sim \Gamma(1/2,\ 1/2)", sampler._NOISE_RATE == 1),
        ("up to 32 rows are drawn at once", sampler._BLOCK == 32),
        ("of 10,000 train rows", model._COMPRESSED_ROWS == 10_000),
        ("ridge regression (weight 10)", cold_start._PENALTY == 10),
        ("500 I", item_item.L2 == 500),
        ("the 100 weights of the greatest size", item_item.NUM_NEIGHBOURS == 100),
        ("shrunk by 5 and 2 ratings", (baselines.USER_WEIGHT, baselines.TITLE_WEIGHT) == (5, 2)),
    ],
)
def test_a_constant_is_that_of_the_code(said: str, value: bool) -> None:
    assert said in FLAT and value
