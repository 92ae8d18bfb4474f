"""Distributions, from statistics in TFDV's format."""

from __future__ import annotations

import pathlib

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.run_report import statistics
from modules import features


def write(folder: pathlib.Path) -> None:
    """Plant 10 ratings of train: 4 of half a star, 6 of two; and two titles, one of them rated 7 times."""
    found = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = found.datasets.add(num_examples=10)
    rating = dataset.features.add()
    rating.path.step.append(features.RATING)
    for kind in (statistics_pb2.Histogram.STANDARD, statistics_pb2.Histogram.QUANTILES):
        histogram = rating.num_stats.histograms.add(type=kind)
        for low, count in ((0.5, 4.0), (1.0, 0.0), (1.5, 6.0)):
            histogram.buckets.add(low_value=low, high_value=low + 0.5, sample_count=count)
    title = dataset.features.add()
    title.path.step.append(features.MOVIE_TITLE)
    for label, count in (("A", 7.0), ("B", 3.0)):
        title.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    (folder / "Split-train").mkdir()
    (folder / "Split-train" / "FeatureStats.pb").write_bytes(found.SerializeToString())


def test_shares_of_ratings_and_popularity_are_read(tmp_path: pathlib.Path) -> None:
    write(tmp_path)
    train = statistics.read(str(tmp_path), "train")
    rows = statistics.rating_shares({"train": train}, (0.5, 1.0, 1.5, 2.0))
    shares = {row.rating: row.by_split["train"] for row in rows}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares[0.5] == pytest.approx(0.4) and shares[1.5] + shares[2.0] == pytest.approx(0.6)
    assert statistics.popularity(train) == [7, 3]
