"""The trade-off of diversity, on the pushed bundle of planted models."""

from __future__ import annotations

import pathlib

import pytest

from benchmarks.quality import diversity
from benchmarks.quality.diversity import COLUMNS
from tests.conftest import Pushed


@pytest.fixture(scope="module")
def requests(pushed: Pushed) -> diversity.Requests:
    examples = pathlib.Path(pushed.planted.sources.queries_dir).parent
    return diversity.ask(pushed.destination / "current", examples)


def test_without_diversity_the_figures_are_those_of_the_push(
    pushed: Pushed, requests: diversity.Requests
) -> None:
    of_push = {(row["protocol"], row["figure"]): row["value"] for row in pushed.figures["served_list"]}
    measured = diversity.measure(requests, 0.0)
    for column in COLUMNS:
        assert measured[column] == pytest.approx(of_push[column], abs=1e-9), column


def test_with_diversity_the_second_title_has_not_the_genres_of_the_first(
    requests: diversity.Requests,
) -> None:
    genres = requests.train.genres
    plain, diverse = (requests.pool.best(diversity.Diversity.of(weight, genres)) for weight in (0.0, 0.7))
    assert plain.shape == diverse.shape == (len(requests.users), 10)
    assert (plain[:, 0] == diverse[:, 0]).all()
    alike = [(genres[best[:, 0]] == genres[best[:, 1]]).all(axis=1).mean() for best in (plain, diverse)]
    assert alike[0] > 0.3 and alike[1] < 0.05


def test_what_cannot_be_measured_is_named(
    pushed: Pushed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    bundle, examples = pushed.destination / "current", pathlib.Path(pushed.planted.sources.queries_dir).parent
    other = tmp_path / "Split-train"
    other.mkdir()
    (other / "data.gz").write_bytes(b"")
    for arguments, words in (
        (["--bundle", str(tmp_path)], "holds no bundle; run the pipeline first"),
        (["--bundle", str(bundle), "--examples", str(tmp_path / "none")], "holds no splits; name those"),
        (["--bundle", str(bundle), "--examples", str(tmp_path)], "was made of other ratings than those in"),
        (["--bundle", str(bundle), "--examples", str(examples), "--weights", "1"], "below 1; received 1"),
    ):
        monkeypatch.setattr("sys.argv", ["diversity", *arguments])
        with pytest.raises(SystemExit):
            diversity.main()
        assert words in capsys.readouterr().err
