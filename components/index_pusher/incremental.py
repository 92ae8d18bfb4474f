"""An index on top of an earlier one: what ScaNN trained stays, new titles are searched exactly beside it.

Runs in the executor's process, before a bundle's index is built. ScaNN's TensorFlow operations cannot add
points to what was trained, but they take back its tensors, which the earlier bundle's SavedModel holds. This
saves the training of an index, no more, and each search costs a little more (`python -m benchmarks.ann` shows
both): of catalogues below index.HASHED_FROM nothing is trained, and the earlier bundle is not even looked at.
It serves where the vectors are the same, so where the retrieval model's weights are, with more titles or
another ranking model; a retraining moves every vector, and the index is then built anew.
"""

from __future__ import annotations

import importlib.metadata
import os
import tempfile

import numpy as np
import tensorflow as tf

from components import parquet
from components.index_pusher import manifest, store
from components.index_pusher.config import IndexConfig
from components.index_pusher.index import STATE, Plan, Trained, plan_of_installed
from components.index_pusher.scann_operations import BRUTE_FORCE
from components.index_pusher.signatures import Candidates
from components.index_pusher.vectors import FILE, VECTOR, VECTORS
from modules import features

# In units of the largest number in the vectors: more than float32's rounding in batches of another size.
SAME_VECTOR = 1e-6
# What object-based checkpoints end the names of variables with.
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def in_service(
    destination: str, recommend: str, candidates: Candidates, config: IndexConfig
) -> tuple[int, Trained] | None:
    """Find what the version in service at a destination trained.

    Args:
      destination: where versions are published; empty for none.
      recommend: the model in a bundle that has the index.
      candidates: the catalogue to search.
      config: of the index.
    Returns:
      The version, and what it trained; None where no version is in service, or nothing is to be trained.
    Raises:
      ValueError: the version's index cannot be built on; the reason, in words.
    """
    if not destination or plan_of_installed(config, len(candidates)).kind in ("exact", BRUTE_FORCE):
        return None
    opened = store.open_store(destination)
    version = opened.current()
    if not version:
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            opened.fetch(version, folder)
        except OSError as error:
            raise ValueError(f"version {version} could not be read: {error}") from error
        return version, read(folder, recommend, candidates, config)


def read(bundle: str, recommend: str, candidates: Candidates, config: IndexConfig) -> Trained:
    """Read what an earlier bundle trained, for another catalogue.

    Args:
      bundle: folder of the earlier bundle.
      recommend: the model in it that has the index.
      candidates: the catalogue to search.
      config: of the index.
    Raises:
      ValueError: the bundle is damaged; or was made with another configuration of the index, another ScaNN
        or for another size; or a title is gone or has another vector; or too many are new.
    """
    content = manifest.verify(bundle)
    metrics = content["metrics"]
    kind = plan_of_installed(config, len(candidates)).kind
    if metrics["index_kind"] != kind:
        raise ValueError(f"the earlier index is {metrics['index_kind']}; one of this size is {kind}")
    made = content["libraries"]["scann"]
    if made != importlib.metadata.version("scann"):
        raise ValueError(f"the earlier index was trained by ScaNN {made}")
    if content["sources"].get("index_config") != manifest.digest_of(config.model_dump()):
        raise ValueError("the earlier index has another configuration")
    variables = tf.train.load_checkpoint(os.path.join(bundle, recommend, "variables", "variables"))
    earlier = variables.get_tensor(f"index/rows{_VALUE}")
    rows = _rows(bundle, earlier, candidates)
    share = 1 - len(rows) / len(candidates)
    if share > config.max_tail_share:
        raise ValueError(
            f"{share:.1%} of the titles are new to the earlier index; at most {config.max_tail_share:.1%} "
            "are searched beside it"
        )
    state = {name: variables.get_tensor(f"index/state/{name}{_VALUE}") for name in STATE}
    names = ("kind", "leaves", "leaves_to_search", "reordering")
    return Trained(state, rows, Plan(*(metrics[f"index_{name}"] for name in names)))


def _rows(bundle: str, earlier: np.ndarray, candidates: Candidates) -> np.ndarray:
    """`[m]` int32: where the titles that the earlier index was trained on are in the catalogue.

    Args:
      bundle: folder of the earlier bundle.
      earlier: `[m]` where they were.
      candidates: the catalogue.
    """
    with parquet.in_words(f"{VECTORS}/{FILE}"):
        table = parquet.read_table(os.path.join(bundle, VECTORS, FILE))
    titles = table[features.MOVIE_TITLE].to_numpy()[earlier]
    vectors = table[VECTOR].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)[earlier]
    positions = {title.decode(): place for place, title in enumerate(candidates.titles)}
    gone = [title for title in titles if title not in positions]
    if gone:
        raise ValueError(f"{len(gone)} titles of the earlier index are gone, {gone[0]} among them")
    rows = np.array([positions[title] for title in titles], np.int32)
    same = vectors.shape[1] == candidates.embeddings.shape[1] and (
        np.abs(candidates.embeddings[rows] - vectors).max() <= SAME_VECTOR * np.abs(vectors).max()
    )
    if not same:
        raise ValueError("the titles of the earlier index have other vectors now")
    return rows
