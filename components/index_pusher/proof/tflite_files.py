"""Ask a bundle's TFLite files, and take those quantised ones out that lose too much.

Called by the parity proof.
"""

from __future__ import annotations

import dataclasses
import os

import tensorflow as tf

from common.progress import progress
from components.index_pusher.bundle import TFLITE, Bundle
from components.index_pusher.composite import signatures
from components.index_pusher.config import QuantizedConfig
from components.index_pusher.gates import Figures, Refusal, gate_parity
from components.index_pusher.index.queries import Requests
from components.index_pusher.proof import tflite_check
from components.index_pusher.proof.parity_table import Row
from components.index_pusher.proof.processes import Columns, Job, run_tflite
from components.index_pusher.proof.tflite_check import stars
from modules import features


def compare(bundle: Bundle, requests: Requests) -> tuple[Figures, list[Row]]:
    """Compare the exact files with the Trainers' models, and the quantised ones with the exact ones.

    Returns:
      Figures, and rows of the parity table; of a quantised file that was taken out the reason alone.
    Raises:
      Refusal: an exact file does not run without TensorFlow, or its answer is unsound.
    """
    models, columns = bundle.models, requests.columns
    embeddings = signatures.embed(models.retrieval, columns)
    retrieval_request, exact = tflite_check.device_request(embeddings, models.candidates, columns)
    jobs = {
        file: Job(os.path.join(bundle.folder, TFLITE, file), signature, request)
        for file, signature, request in (
            (features.RANKING_TFLITE, features.RATING_SIGNATURE, columns),
            (features.RETRIEVAL_TFLITE, features.RETRIEVE_SIGNATURE, retrieval_request),
        )
    }
    answers = dict(zip(jobs, run_tflite(list(jobs.values())), strict=True))
    rating = tflite_check.check_rating(models.ranking, answers[features.RANKING_TFLITE], columns)
    rows = [
        rating,
        tflite_check.check_retrieval(answers[features.RETRIEVAL_TFLITE], exact, models.candidates),
    ]
    # A hundred titles may be all that the catalogue has.
    depth = features.gated_depth(len(models.candidates.titles))
    figures: Figures = {"tflite_max_difference": rating.difference}
    for file, job in jobs.items():
        quantized = features.quantized(file)
        path = os.path.join(bundle.folder, TFLITE, quantized)
        try:
            quantized_job = dataclasses.replace(job, model=path)
            loss = _loss(quantized_job, answers[file], requests, depth, bundle.sources.config.quantized)
            gate_parity([loss])
            rows.append(loss)
        except Refusal as refusal:
            progress.info("Left out: %s", refusal)
            figures[f"{quantized.removesuffix('.tflite')}_left_out"] = str(refusal)
            if os.path.isfile(path):
                os.remove(path)
    return figures, rows


def _loss(job: Job, exact: Columns, requests: Requests, depth: int, config: QuantizedConfig) -> Row:
    """Measure what a quantised file loses, on the ratings.

    Args:
      depth: at which a rated title is a hit.
    Raises:
      Refusal: it is absent, or does not run without TensorFlow.
    """
    file, size = os.path.basename(job.model), len(requests.records)
    if not os.path.isfile(job.model):
        raise Refusal(f"the Trainer wrote no {file}")
    (answer,) = run_tflite([job])
    received, expected = ({name: c[:size] for name, c in each.items()} for each in (answer, exact))
    if job.signature == features.RATING_SIGNATURE:
        spec = {features.RATING: tf.io.FixedLenFeature([], tf.float32)}
        labels = tf.io.parse_example(list(requests.records), spec)[features.RATING].numpy()
        measure, bound = "RMSE, stars", config.max_rmse_increase
        loss = tflite_check.rmse_increase(stars(received), stars(expected), labels)
    else:
        measure, bound = f"top-{depth}, share lost", config.max_hit_loss
        rated = requests.columns[features.MOVIE_TITLE][:size]
        loss = tflite_check.hit_loss(received, expected, rated, depth)
    return Row(f"{TFLITE}/{file}", measure, "the exact file", size, loss, bound)
