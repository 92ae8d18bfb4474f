"""Load the Trainers' SavedModels and call the signatures that modules/features.py names.

Called by the builder of the bundle, inside the executor's process, eagerly and in the composite's graph.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from components.index_pusher.gates import Refusal
from modules import features

# Pairs that are rated at once, each with a history of its own.
_PAIRS = 2_048


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The catalogue as the retrieval model sees it; row i of every array is one candidate.

    Attributes:
      titles: `[n]` bytes, unique.
      ids: `[n]` bytes.
      popularity: `[n]` int64, rows of the train split.
      embeddings: `[n, d]` float32, finite.
    """

    titles: np.ndarray
    ids: np.ndarray
    popularity: np.ndarray
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.titles)


def load(model_dir: str, name: str, needed: tuple[str, ...]) -> Any:
    """Load a SavedModel and require signatures of it.

    Args:
      model_dir: a Trainer's artifact, which holds `features.SERVING_DIR`.
      name: which model, for the message: `retrieval`, `ranking`.
      needed: names of signatures.
    Raises:
      Refusal: there is no SavedModel, or it lacks one of them.
    """
    path = serving_path(model_dir)
    if not tf.saved_model.contains_saved_model(path):
        raise Refusal(f"the {name} model holds no SavedModel at {path}")
    loaded = tf.saved_model.load(path)
    require(loaded, name, needed)
    return loaded


def require(model: Any, name: str, needed: tuple[str, ...]) -> None:
    """Refuse a loaded model that lacks a signature; arguments as of `load`."""
    missing = [signature for signature in needed if signature not in model.signatures]
    if missing:
        raise Refusal(
            f"the {name} model lacks the signature {' and '.join(missing)}; it has "
            f"{', '.join(sorted(model.signatures))}"
        )


def serving_path(model_dir: str) -> str:
    """Folder of the SavedModel inside a Trainer's model artifact.

    >>> serving_path("models/7")
    'models/7/Format-Serving'
    """
    return os.path.join(model_dir, features.SERVING_DIR)


def call(function: Any, tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Call a signature with the features that it takes, in its integer widths.

    Args:
      function: a loaded signature.
      tensors: features by name; those that the signature does not take are left out.
    Raises:
      ValueError: the signature takes a feature that is not among the tensors.
    """
    specs = function.structured_input_signature[1]
    missing = sorted(set(specs) - set(tensors))
    if missing:
        raise ValueError(
            f"The signature takes {', '.join(missing)}, which no query has; queries have "
            f"{', '.join(sorted(tensors))}. Export the model with features.py's names."
        )
    return function(**{name: _as(tensors[name], spec.dtype) for name, spec in specs.items()})


def _as(tensor: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tensor if tensor.dtype == dtype else tf.cast(tensor, dtype)


def state(model: Any) -> tf.Module:
    """Return the state that the signatures of a loaded SavedModel read, without the signatures themselves.

    A module that calls some of the signatures and tracks this one is saved without the others.
    """
    tracked = tf.Module()
    for name, value in vars(model).items():
        if name != "signatures" and not name.startswith("_self_"):
            setattr(tracked, name, value)
    return tracked


def read_candidates(retrieval: Any) -> Candidates:
    """Read the retrieval model's catalogue, and refuse one that cannot be served.

    Raises:
      Refusal: no candidate, arrays of different lengths, a title twice, or a value that is not finite.
    """
    outputs = retrieval.signatures[features.CANDIDATES_SIGNATURE]()
    titles = outputs[features.MOVIE_TITLE].numpy()
    candidates = Candidates(
        titles=titles,
        ids=outputs[features.MOVIE_ID].numpy(),
        popularity=outputs[features.CANDIDATE_POPULARITY].numpy().astype(np.int64),
        embeddings=outputs[features.CANDIDATE_EMBEDDING].numpy().astype(np.float32),
    )
    if titles.ndim != 1 or not len(titles):
        raise Refusal(
            f"the retrieval model's catalogue must be a list of titles; its shape is {titles.shape}"
        )
    lengths = {len(candidates.ids), len(candidates.popularity), len(candidates.embeddings), len(titles)}
    if len(lengths) > 1 or candidates.embeddings.ndim != 2:
        raise Refusal(f"the retrieval model's catalogue has columns of different lengths: {sorted(lengths)}")
    unique, counts = np.unique(titles.astype(object), return_counts=True)
    if len(unique) < len(titles):
        twice = unique[np.argmax(counts)].decode("utf-8", "replace")
        raise Refusal(f"the retrieval model's catalogue holds a title {counts.max()} times: {twice}")
    broken = int((~np.isfinite(candidates.embeddings).all(axis=1)).sum())
    if broken:
        raise Refusal(f"{broken} of {len(titles)} candidate embeddings hold NaN or infinity")
    return candidates


def batched(function: Any, queries: Mapping[str, np.ndarray], batch: int = 512) -> dict[str, np.ndarray]:
    """Call a signature batch by batch.

    Args:
      function: a loaded signature.
      queries: `[q]` arrays by feature name, of the history `[q, any]`.
      batch: queries per call.
    Returns:
      The outputs by name, `[q, ...]`; outputs whose width differs between batches are padded with -1.
    """
    size = len(queries[features.USER_ID])
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, size, batch):
        chunk = {name: tf.constant(column[start : start + batch]) for name, column in queries.items()}
        for name, tensor in call(function, chunk).items():
            parts.setdefault(name, []).append(tensor.numpy())
    return {name: _concatenated(columns) for name, columns in parts.items()}


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    if parts[0].ndim < 2:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    padded = [np.pad(p, [(0, 0), (0, width - p.shape[1])], constant_values=-1) for p in parts]
    return np.concatenate(padded)


def rate_pairs(ranking: Any, queries: Mapping[str, np.ndarray], titles: np.ndarray) -> np.ndarray:
    """Rate `[q, p]` titles, p of each query, with the `rate` signature; `[q, p]` float32."""
    rate, width = ranking.signatures[features.RATING_SIGNATURE], titles.shape[1]
    step = max(1, _PAIRS // width)
    rated = []
    for start in range(0, len(titles), step):
        rows = slice(start, start + step)
        pairs = {name: np.repeat(column[rows], width, axis=0) for name, column in queries.items()}
        pairs[features.MOVIE_TITLE] = titles[rows].reshape(-1).astype(object)
        rated.append(batched(rate, pairs, _PAIRS)[features.PREDICTED_RATING])
    return np.concatenate(rated).reshape(titles.shape)


def embed(
    model: Any,
    queries: Mapping[str, np.ndarray],
    batch: int = 512,
    signature: str = features.QUERY_SIGNATURE,
) -> np.ndarray:
    """Embed queries with a model.

    Args:
      model: loaded.
      queries: `[q]` arrays by feature name, of the history `[q, any]`.
      batch: queries per call.
      signature: the one that embeds.
    Returns:
      `[q, d]` float32.
    Raises:
      Refusal: a value is not finite.
    """
    outputs = batched(model.signatures[signature], queries, batch)
    embeddings = outputs[features.QUERY_EMBEDDING].astype(np.float32)
    size = len(embeddings)
    broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if broken:
        raise Refusal(f"{broken} of {size} query embeddings hold NaN or infinity")
    return embeddings
