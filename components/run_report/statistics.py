"""Distributions of the ratings, as StatisticsGen recorded them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from tensorflow_metadata.proto.v0 import statistics_pb2

from components.run_report.contents import RatingShare
from modules import features

_FILE = "FeatureStats.pb"  # TFDV's name.
Features = Mapping[str, statistics_pb2.FeatureNameStatistics]


def read(uri: str, split: str) -> Features:
    """Read the statistics of a split by feature.

    Args:
      uri: folder of an ExampleStatistics artifact.
      split: its name.
    """
    with open(os.path.join(uri, f"Split-{split}", _FILE), "rb") as file:
        (dataset,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read()).datasets
    return {".".join(feature.path.step): feature for feature in dataset.features}


def rating_shares(splits: Mapping[str, Features], scale: Sequence[float]) -> list[RatingShare]:
    """Return how the ratings are distributed in each split.

    TFDV's histogram has buckets of equal width, each of which counts for the rating of the scale that is
    nearest to its middle.

    Args:
      splits: their features.
      scale: the ratings that there are, ascending.
    """
    shares = {name: _shares(found[features.RATING], scale) for name, found in splits.items()}
    return [
        RatingShare(rating=rating, by_split={name: found[position] for name, found in shares.items()})
        for position, rating in enumerate(scale)
    ]


def _shares(feature: statistics_pb2.FeatureNameStatistics, scale: Sequence[float]) -> list[float]:
    counts = [0.0] * len(scale)
    standard = statistics_pb2.Histogram.HistogramType.STANDARD
    for histogram in feature.num_stats.histograms:
        for bucket in histogram.buckets if histogram.type == standard else ():
            middle = (bucket.low_value + bucket.high_value) / 2
            counts[min(range(len(scale)), key=lambda i: abs(scale[i] - middle))] += bucket.sample_count
    total = sum(counts) or 1.0
    return [count / total for count in counts]


def popularity(train: Features) -> list[int]:
    """Return the ratings of each title, the most rated first, of as many titles as TFDV keeps (1,000)."""
    buckets = train[features.MOVIE_TITLE].string_stats.rank_histogram.buckets
    return [round(bucket.sample_count) for bucket in buckets]
