"""Which TFLite files get into a bundle: exact ones always, quantised ones where they are as accurate."""

from __future__ import annotations

import pathlib
import shutil

import numpy as np
import pytest

from components.index_pusher.composite import signatures
from components.index_pusher.config import QuantizedConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index.queries import parse, read_records
from components.index_pusher.proof import tflite_files
from components.index_pusher.proof.parity import Models
from components.index_pusher.proof.tflite_check import with_cold_start_users
from modules import features
from tests.helpers import planted_exports, planted_models

RANKING, RETRIEVAL = features.RANKING_TFLITE, features.RETRIEVAL_TFLITE


class Trained:
    """Copies of what the Trainers wrote, to plant damage in."""

    def __init__(self, planted, root: pathlib.Path, models: Models) -> None:
        sources = {"retrieval": planted.sources.retrieval_dir, "ranking": planted.sources.ranking_dir}
        self.dirs = {name: shutil.copytree(path, root / name) for name, path in sources.items()}
        self.folder, self._models = root / "bundle", models
        self._records = read_records(planted.sources.queries_dir, 400)

    def path(self, model: str, file: str) -> pathlib.Path:
        return self.dirs[model] / features.TFLITE_DIR / file

    def add(self, config: QuantizedConfig | None = None) -> tuple[dict, list]:
        asked = with_cold_start_users(parse(self._records))
        retrieval, ranking = str(self.dirs["retrieval"]), str(self.dirs["ranking"])
        config = config or QuantizedConfig()
        return tflite_files.add(
            retrieval, ranking, self._models, self._records, asked, config, str(self.folder)
        )

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "tflite").iterdir())


@pytest.fixture(scope="module")
def models(planted) -> Models:
    retrieval = signatures.load(planted.sources.retrieval_dir, "retrieval", planted_models.RETRIEVAL)
    ranking = signatures.load(planted.sources.ranking_dir, "ranking", planted_models.RANKING)
    return Models(retrieval, ranking, signatures.read_candidates(retrieval))


@pytest.fixture
def trained(planted, models, tmp_path: pathlib.Path) -> Trained:
    return Trained(planted, tmp_path, models)


def test_honest_files_are_all_there(trained: Trained) -> None:
    figures, rows = trained.add()
    assert trained.files() == [RANKING, "ranking_quantized.tflite", RETRIEVAL, "retrieval_quantized.tflite"]
    assert set(figures) == {"tflite_max_difference"}
    assert [row.part for row in rows[2:]] == [
        "tflite/ranking_quantized.tflite",
        "tflite/retrieval_quantized.tflite",
    ]
    assert all(row.passes for row in rows)


def test_a_quantised_file_that_rates_worse_is_left_out_with_the_reason(
    planted, trained: Trained, tmp_path
) -> None:
    worse = planted_models.write_model(planted.world, tmp_path / "worse", planted_models.RANKING, 2.0)
    small = trained.path("ranking", "ranking_quantized.tflite")
    shutil.copyfile(pathlib.Path(worse, features.TFLITE_DIR, small.name), small)
    figures, rows = trained.add()
    assert trained.files() == [RANKING, RETRIEVAL, "retrieval_quantized.tflite"]
    assert "RMSE, stars by" in figures["ranking_quantized_left_out"]
    assert "and 0.005 is allowed, on 200 queries" in figures["ranking_quantized_left_out"]
    assert "tflite/ranking_quantized.tflite" not in {row.part for row in rows}


def test_a_quantised_file_that_finds_less_is_left_out_with_the_reason(
    planted, trained: Trained, tmp_path
) -> None:
    planted_exports.write_retrieval(planted.world, tmp_path, lambda vectors: -vectors)
    small = trained.path("retrieval", "retrieval_quantized.tflite")
    shutil.copyfile(tmp_path / small.name, small)
    figures, _ = trained.add()
    assert trained.files() == [RANKING, "ranking_quantized.tflite", RETRIEVAL]
    # Where the exact file finds a third by chance, the other finds others.
    assert "top-100, share lost" in figures["retrieval_quantized_left_out"]


@pytest.mark.parametrize(
    "harm, words",
    [
        (lambda path: path.unlink(), "the Trainer wrote no ranking_quantized.tflite"),
        (lambda path: path.write_bytes(b"no flatbuffer"), "does not run without TensorFlow"),
    ],
)
def test_a_quantised_file_that_does_not_run_is_left_out(trained: Trained, harm, words: str) -> None:
    harm(trained.path("ranking", "ranking_quantized.tflite"))
    figures, _ = trained.add()
    assert words in figures["ranking_quantized_left_out"]
    assert "ranking_quantized.tflite" not in trained.files()


def test_an_exact_retrieval_file_that_differs_or_is_absent_is_refused(
    planted, trained: Trained, tmp_path
) -> None:
    planted_exports.write_retrieval(planted.world, tmp_path, lambda vectors: vectors * np.float32(1.0001))
    shutil.copyfile(tmp_path / RETRIEVAL, trained.path("retrieval", RETRIEVAL))
    with pytest.raises(
        Refusal, match="tflite/retrieval.tflite differs from exact search by the Trainer's model"
    ):
        trained.add()
    trained.path("retrieval", RETRIEVAL).unlink()
    with pytest.raises(Refusal, match="the retrieval model holds no TFLite file"):
        trained.add()
