"""The parity proof: all parts of a bundle answer as the Trainers' models do, in processes of their own.

The second step of a push, in the executor's process, on the files about to be published.
"""

from __future__ import annotations

from common.progress import progress
from components.index_pusher.bundle import Bundle
from components.index_pusher.gates import Figures, Refusal, gate_parity, gate_recall
from components.index_pusher.index.queries import Requests
from components.index_pusher.proof import parity_table, saved_model_check, tflite_files
from components.index_pusher.proof.parity_table import Row

# Number of ratings in the requests to all parts; index/selection.py queries the index with the whole sample.
QUERIES = 400


def prove(bundle: Bundle) -> Figures:
    """Ask all parts, compare the answers with those of the Trainers' models, and decide.

    Quantised TFLite files that lose too much are taken out of the bundle.

    Returns:
      What was measured of the bundle: scalars, and `parity`, a list of rows (see parity_table.py).
    Raises:
      Refusal: a gate refused, or a part gives no sound answer; its figures are all that was measured.
    """
    requests = Requests.of(bundle.records[:QUERIES])
    figures, min_recall = dict(bundle.figures), bundle.sources.config.min_recall
    rows: list[Row] = []
    try:
        tflite_figures, tflite_rows = tflite_files.compare(bundle, requests)
        figures.update(tflite_figures)
        rows += tflite_rows
        recall, model_rows = saved_model_check.compare(bundle, requests)
        figures["recommend_recall"] = recall
        rows += model_rows
        best = f"the exact top {bundle.depth}"
        gate_recall("the index returns", figures["index_recall"], best, min_recall)
        gate_recall("the recommendations hold", recall, f"{best} without seen titles", min_recall)
        gate_parity(rows)
    except Refusal as refusal:
        raise Refusal(str(refusal), {**figures, "parity": parity_table.figures(rows)}) from refusal
    progress.info("Parity: %d comparisons hold, in fresh processes", len(rows))
    return {**figures, "parity": parity_table.figures(rows)}
