"""Which TFLite files get into a bundle: exact ones always, quantised ones where they are as accurate."""

from __future__ import annotations

import pathlib
import shutil

import numpy as np
import pytest

from components.index_pusher.bundle import Bundle, Models, copy_models
from components.index_pusher.composite import signatures
from components.index_pusher.composite.order import Order
from components.index_pusher.gates import Refusal
from components.index_pusher.index.queries import Requests, read_records
from components.index_pusher.proof import processes, tflite_files
from modules import features
from tests.helpers import planted_exports, planted_models

RANKING, RETRIEVAL = features.RANKING_TFLITE, features.RETRIEVAL_TFLITE


class Built:
    """A bundle of what the Trainers wrote, to plant damage in."""

    def __init__(self, planted, folder: pathlib.Path, models: Models) -> None:
        copy_models(planted.sources, str(folder))
        records = read_records(planted.sources.queries_dir, 400)
        self._bundle = Bundle(planted.sources, str(folder), models, records, {})
        self.requests = Requests.of(records)

    def path(self, file: str) -> pathlib.Path:
        return pathlib.Path(self._bundle.folder, "tflite", file)

    def compare(self) -> tuple[dict, list]:
        return tflite_files.compare(self._bundle, self.requests)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.path("").iterdir())


@pytest.fixture(scope="module")
def models(planted) -> Models:
    retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
    ranking = signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING)
    return Models(retrieval, ranking, Order(retrieval, ranking))


@pytest.fixture
def built(planted, models, tmp_path: pathlib.Path) -> Built:
    return Built(planted, tmp_path / "bundle", models)


def test_honest_files_are_all_there(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact ones answer in one process, each quantised one in its own, which may fail."""
    sizes = []

    def run(jobs: list[processes.Job]) -> list[processes.Columns]:
        sizes.append(len(jobs))
        return processes.run_tflite(jobs)

    monkeypatch.setattr(tflite_files, "run_tflite", run)
    figures, rows = built.compare()
    assert sizes == [2, 1, 1]
    assert built.files() == [RANKING, "ranking_quantized.tflite", RETRIEVAL, "retrieval_quantized.tflite"]
    assert set(figures) == {"tflite_max_difference"}
    assert [row.part for row in rows[2:]] == [
        "tflite/ranking_quantized.tflite",
        "tflite/retrieval_quantized.tflite",
    ]
    assert all(row.passes for row in rows)


def test_a_quantised_file_that_rates_worse_is_left_out_with_the_reason(
    planted, built: Built, tmp_path
) -> None:
    worse = planted_models.write_model(planted.world, tmp_path / "worse", planted_models.RANKING, 2.0)
    small = built.path("ranking_quantized.tflite")
    shutil.copyfile(pathlib.Path(worse, features.TFLITE_DIR, small.name), small)
    figures, rows = built.compare()
    assert built.files() == [RANKING, RETRIEVAL, "retrieval_quantized.tflite"]
    assert "RMSE, stars by" in figures["ranking_quantized_left_out"]
    assert "and 0.005 is allowed, on 200 queries" in figures["ranking_quantized_left_out"]
    assert "tflite/ranking_quantized.tflite" not in {row.part for row in rows}


def test_a_quantised_file_that_finds_less_is_left_out_with_the_reason(
    planted, built: Built, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 300 titles the first ten count. Users rate what the exact file finds first, the other last."""
    answers: list[processes.Columns] = []

    def run(jobs: list[processes.Job]) -> list[processes.Columns]:
        answers.extend(processes.run_tflite(jobs))
        return answers[-len(jobs) :]

    monkeypatch.setattr(tflite_files, "run_tflite", run)
    built.compare()
    found = next(answer[features.MOVIE_TITLE] for answer in answers if features.MOVIE_TITLE in answer)
    columns = {**built.requests.columns, features.MOVIE_TITLE: found[:, 0]}
    built.requests = Requests(built.requests.records, columns)
    planted_exports.write_retrieval(planted.world, tmp_path, lambda vectors: -vectors)
    small = built.path("retrieval_quantized.tflite")
    shutil.copyfile(tmp_path / small.name, small)
    figures, _ = built.compare()
    assert built.files() == [RANKING, "ranking_quantized.tflite", RETRIEVAL]
    assert "top-10, share lost" in figures["retrieval_quantized_left_out"]


@pytest.mark.parametrize(
    "harm, words",
    [
        (lambda path: path.unlink(), "the Trainer wrote no ranking_quantized.tflite"),
        (lambda path: path.write_bytes(b"no flatbuffer"), "does not run without TensorFlow"),
    ],
)
def test_a_quantised_file_that_does_not_run_is_left_out(built: Built, harm, words: str) -> None:
    harm(built.path("ranking_quantized.tflite"))
    figures, _ = built.compare()
    assert words in figures["ranking_quantized_left_out"]
    assert "ranking_quantized.tflite" not in built.files()


def test_an_exact_retrieval_file_that_differs_does_not_pass_and_one_that_does_not_run_is_refused(
    planted, built: Built, tmp_path
) -> None:
    planted_exports.write_retrieval(planted.world, tmp_path, lambda vectors: vectors * np.float32(1.0001))
    shutil.copyfile(tmp_path / RETRIEVAL, built.path(RETRIEVAL))
    rows = {row.part: row for row in built.compare()[1]}
    assert not rows["tflite/retrieval.tflite"].passes and rows["tflite/ranking.tflite"].passes
    built.path(RETRIEVAL).write_bytes(b"no flatbuffer")
    with pytest.raises(Refusal, match="does not run without TensorFlow: retrieval.tflite: ValueError: "):
        built.compare()
