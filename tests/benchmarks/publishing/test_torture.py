"""A real reader, while publisher and operator are killed at random times; and a reader that sees faults."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from benchmarks.publishing import workers
from benchmarks.publishing.torture import Torture
from serving import manifest, publish


@pytest.mark.slow("many publications")
def test_no_reader_ever_sees_a_broken_or_mixed_version(tmp_path: pathlib.Path) -> None:
    # Ends after as many of each; the limit is in seconds, for a very slow machine.
    counts = Torture(tmp_path, seed=1).run(publishes=100, kills=25, limit=250)
    assert counts.broken == []
    assert counts.publishes >= 100
    assert counts.kills >= 25 and counts.interrupted >= 3
    assert counts.rollbacks >= 3 and counts.promotes >= 1
    assert counts.reads >= 200 and counts.versions >= 20


@pytest.fixture
def destination(tmp_path: pathlib.Path) -> pathlib.Path:
    for token in ("a", "b"):
        bundle = workers.make_bundle(tmp_path / token, token)
        publish.publish(bundle, str(tmp_path / "destination"))
    assert workers.read_served(str(tmp_path / "destination")) == 2
    workers.read_as_tf_serving(str(tmp_path / "destination"))
    return tmp_path / "destination"


def _damage(bundle: pathlib.Path) -> None:
    (bundle / "tflite" / "ranking.tflite").write_text("")


def _lose(bundle: pathlib.Path) -> None:
    (bundle / "recommend" / "saved_model.pb").unlink()


def _mix(bundle: pathlib.Path) -> None:
    """With a manifest to match, as a bundle put together from two publications would have."""
    shutil.copytree(bundle.parent / "1" / "ranking", bundle / "ranking", dirs_exist_ok=True)
    content = manifest.read(str(bundle))
    content["files"] = manifest.describe_files(str(bundle))
    (bundle / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "harm, words",
    [
        (_damage, "tflite/ranking.tflite is changed"),
        (_lose, "recommend/saved_model.pb is missing"),
        (_mix, "version 2, ranking/saved_model.pb is not of b"),
        (shutil.rmtree, "there is none"),
    ],
)
def test_the_reader_sees_harm(destination: pathlib.Path, harm, words: str) -> None:
    harm(destination / "bundles" / "2")
    with pytest.raises(workers.BrokenError, match=words):
        workers.read_served(str(destination))


@pytest.mark.parametrize("harm, words", [(_lose, "2, which is absent"), (_mix, "ranking/saved_model.pb a")])
def test_the_reader_sees_what_tf_serving_would(destination: pathlib.Path, harm, words: str) -> None:
    harm(destination / "bundles" / "2")
    with pytest.raises(workers.BrokenError, match=words):
        workers.read_as_tf_serving(str(destination))
