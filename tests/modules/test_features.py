"""The contract file is consistent with itself."""

from __future__ import annotations

import ast
import pathlib
import sys

import pytest

from modules import features
from modules.features import Encoding, Side, TransformedFeature

RAW_OF_SIDE = {Side.QUERY: features.QUERY_FEATURES, Side.CANDIDATE: features.CANDIDATE_FEATURES}


def ids(feature: TransformedFeature) -> str:
    return feature.name


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse(pathlib.Path(features.__file__).read_text())
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported
    assert not set(imported) - sys.stdlib_module_names


@pytest.mark.parametrize("rows", [features.RATING_ROW, features.CATALOGUE_ROW, features.TRANSFORMED_FEATURES])
def test_names_are_unique(rows: tuple) -> None:
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("feature", features.TRANSFORMED_FEATURES, ids=ids)
def test_a_transformed_feature_is_made_of_a_raw_one_of_its_own_side(feature: TransformedFeature) -> None:
    # So neither the rating nor a slicing key, which is counted over the ratings, can be a model's input.
    (raw,) = [row for row in RAW_OF_SIDE[feature.side] if row.name == feature.raw]
    # A set of terms is the one encoding that takes any number of values.
    assert raw.repeated == (feature.encoding is Encoding.TERM_SET)


@pytest.mark.parametrize("feature", features.TRANSFORMED_FEATURES, ids=ids)
def test_an_encoding_has_the_parameters_that_it_needs(feature: TransformedFeature) -> None:
    wide = feature.is_set or feature.encoding is Encoding.TIME_BUCKETS
    assert (feature.width > 1) == wide
    assert bool(feature.boundaries) == (feature.encoding is Encoding.BOUNDARIES)
    assert list(feature.boundaries) == sorted(set(feature.boundaries))


@pytest.mark.parametrize("feature", features.TRANSFORMED_FEATURES, ids=ids)
def test_an_absent_number_has_a_bucket_of_its_own(feature: TransformedFeature) -> None:
    if feature.encoding is Encoding.BOUNDARIES:
        (raw,) = [row for row in features.RATING_ROW if row.name == feature.raw]
        assert float(raw.default) < feature.boundaries[0]


def test_columns_of_an_eval_signature_and_metrics_do_not_share_names() -> None:
    metrics = [features.hit_metric(k, unseen) for k in features.TOP_KS for unseen in (False, True)]
    metrics += [features.RMSE, features.MAE, features.COVERAGE, features.CALIBRATION_ERROR]
    metrics += [features.GATED_HITS, features.GATED_DEPTH]
    beside = [
        name(metric, reference)
        for name in (features.reference_metric, features.gain_metric)
        for metric, references in features.BASELINES.items()
        for reference in (*references, features.CHANCE[metric], features.CHAMPION)
    ]
    columns = [
        *(features.RANK, features.RANK_UNSEEN),
        *(features.POPULARITY_RANK_UNSEEN, features.ITEM_ITEM_RANK_UNSEEN, features.NUM_EXCLUDED),
        *(features.TOP_UNSEEN, features.NUM_CANDIDATES, features.PREDICTED_RATING),
        *(features.BIAS_RATING, features.MEAN_RATING),
    ]
    names = [*metrics, features.RELIABILITY, *beside, *columns]
    assert len(set(names)) == len(names)
