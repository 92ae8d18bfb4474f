"""What the latency benchmark reads of a bundle, and how it asks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.speed import latency, latency_probe


def test_the_requests_are_the_bundle_s_own(pushed) -> None:
    columns = latency.requests(pushed.destination / "current")
    assert {len(column) for column in columns.values()} == {64}
    assert columns["history_title"].ndim == columns["exclude_title"].ndim == 2
    assert set(columns["user_id"]) <= {user.encode() for user in pushed.planted.world.users}
    assert set(columns["movie_title"]) <= {title.encode() for title in pushed.planted.world.titles}


def test_a_bundle_without_requests_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="must hold warm-up requests; push the bundle again"):
        latency.requests(tmp_path)


def test_the_parts_are_all_of_the_bundle(pushed) -> None:
    bundle = pushed.destination / "current"
    sizes = latency.sizes(bundle.resolve())
    assert sum(sizes.values()) == sum(f.stat().st_size for f in bundle.resolve().rglob("*") if f.is_file())
    assert {"recommend", "recommend_exact", "tflite/retrieval.tflite", "manifest.json"} < set(sizes)


def test_both_builds_and_every_file_are_timed(pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_probe, "ROUNDS", 3)
    monkeypatch.setattr(latency_probe, "BATCHED_ROUNDS", 2)
    bundle = str(pushed.destination / "current")
    columns = latency.requests(pushed.destination / "current")
    times = {**latency_probe.recommend(bundle, columns), **latency_probe.tflite(bundle, columns)}
    assert {name: len(found) for name, found in times.items()} == {
        "recommend, 1": 3,
        "recommend_exact, 1": 3,
        "recommend, 64": 2,
        "recommend_exact, 64": 2,
        "ranking.tflite, 10": 3,
        "ranking_quantized.tflite, 10": 3,
        "retrieval.tflite, 1": 3,
        "retrieval_quantized.tflite, 1": 3,
    }
    assert all(np.min(found) > 0 for found in times.values())
    assert len(latency.latency_rows(times)) == 8
