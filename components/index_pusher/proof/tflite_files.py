"""The bundle's TFLite files: the exact ones equal their models, or nothing is pushed; the quantised ones come
near, or stay out.

Called by the builder of the bundle, in the executor's process.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from common.progress import progress
from components.index_pusher.composite import signatures
from components.index_pusher.config import QuantizedConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.proof import parity_table, tflite_check
from components.index_pusher.proof.parity import RANKING, RETRIEVAL, Models
from components.index_pusher.proof.parity_table import Row
from components.index_pusher.proof.processes import Columns, Job, ask_tflite
from modules import features

TFLITE = "tflite"


@dataclasses.dataclass(frozen=True)
class Export:
    """A TFLite file of a Trainer's, and what it is asked.

    Attributes:
      file: its name.
      path: where the Trainer wrote it; its quantised variant lies beside it.
      signature: its signature.
      request: the inputs, by name.
    """

    file: str
    path: str
    signature: str
    request: Mapping[str, np.ndarray]

    def quantized(self) -> Export:
        """Return the quantised variant."""
        file = features.quantized(self.file)
        return dataclasses.replace(self, file=file, path=os.path.join(os.path.dirname(self.path), file))

    def ask(self) -> Columns:
        """Ask it in a process without TensorFlow."""
        (answer,) = ask_tflite([Job(self.path, self.signature, self.request)])
        return answer


def add(
    retrieval_dir: str,
    ranking_dir: str,
    models: Models,
    records: Sequence[bytes],
    asked: Mapping[str, np.ndarray],
    config: QuantizedConfig,
    folder: str,
) -> tuple[dict[str, float | str], list[Row]]:
    """Hold the files against their models, and put them into the bundle.

    Args:
      retrieval_dir: a Trainer's model artifact, with `retrieval.tflite`.
      ranking_dir: one with `ranking.tflite`; may be the same.
      models: the same, loaded.
      records: serialized ratings.
      asked: the columns of these ratings in their order, then cold-start users.
      config: how near the quantised files must come.
      folder: of the bundle.
    Returns:
      Figures, and rows of the parity table.
    Raises:
      Refusal: an exact file is absent, does not run without TensorFlow, or differs from its model.
    """
    embeddings = signatures.embed(models.retrieval, asked)
    request, exact = tflite_check.device_request(embeddings, models.candidates, asked)
    ranking = Export(
        features.RANKING_TFLITE,
        tflite_check.path_of(ranking_dir, features.RANKING_TFLITE, RANKING),
        features.RATING_SIGNATURE,
        asked,
    )
    retrieval = Export(
        features.RETRIEVAL_TFLITE,
        tflite_check.path_of(retrieval_dir, features.RETRIEVAL_TFLITE, RETRIEVAL),
        features.RETRIEVE_SIGNATURE,
        request,
    )
    answers = {export.file: export.ask() for export in (ranking, retrieval)}
    rows = [
        tflite_check.check_rating(models.ranking, _ratings(answers[ranking.file]), asked),
        tflite_check.check_retrieval(answers[retrieval.file], exact, models.candidates),
    ]
    parity_table.check(rows)
    progress.info("TFLite equals its SavedModel to %.1e stars, without TensorFlow", rows[0].difference)
    figures: dict[str, float | str] = {"tflite_max_difference": rows[0].difference}
    os.makedirs(os.path.join(folder, TFLITE))
    for export in (ranking, retrieval):
        shutil.copyfile(export.path, os.path.join(folder, TFLITE, export.file))
        small = export.quantized()
        try:
            rows.append(_accuracy(small, answers[export.file], records, asked, config))
            shutil.copyfile(small.path, os.path.join(folder, TFLITE, small.file))
        except Refusal as refusal:
            progress.info("Left out: %s", refusal)
            figures[f"{small.file.removesuffix('.tflite')}_left_out"] = str(refusal)
    return figures, rows


def _accuracy(
    small: Export,
    exact: Columns,
    records: Sequence[bytes],
    asked: Mapping[str, np.ndarray],
    config: QuantizedConfig,
) -> Row:
    """Measure what a quantised file loses, on the ratings.

    Raises:
      Refusal: it is absent, does not run without TensorFlow, or loses more than is allowed.
    """
    if not os.path.isfile(small.path):
        raise Refusal(f"the Trainer wrote no {small.file}")
    answer, size = small.ask(), len(records)
    received, expected = ({name: c[:size] for name, c in each.items()} for each in (answer, exact))
    if small.signature == features.RATING_SIGNATURE:
        stars = {features.RATING: tf.io.FixedLenFeature([], tf.float32)}
        labels = tf.io.parse_example(list(records), stars)[features.RATING].numpy()
        measure, bound = "RMSE, stars", config.max_rmse_increase
        loss = tflite_check.rmse_increase(_ratings(received), _ratings(expected), labels)
    else:
        measure, bound = "top-100, share lost", config.max_top_100_loss
        loss = tflite_check.top_100_loss(received, expected, asked[features.MOVIE_TITLE][:size])
    row = Row(f"{TFLITE}/{small.file}", measure, "the exact file", size, loss, bound)
    parity_table.check([row])
    return row


def _ratings(answer: Columns) -> np.ndarray:
    return answer[features.PREDICTED_RATING].reshape(-1)
