"""Begin a training where an earlier one ended: its parameters, beside the SavedModel. Runs in the Trainers.

Vocabularies grow and change their order from one run to the next, and time goes on. So a table of embeddings
is carried over by what its rows stand for: a known id keeps its row, a new one begins where the earlier model
had put ids that it did not know. What is not looked up by id is taken as it is.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from common.progress import progress
from modules import features
from modules.features import Encoding

# Beside features.SERVING_DIR.
FOLDER, FILE = "Format-WarmStart", "weights.npz"
_TERMS, _TIME_RANGE, _STRUCTURE = "terms/", "moments", "structure"

_BY_NAME = {feature.name: feature for feature in features.TRANSFORMED_FEATURES}
_BY_TERMS = (Encoding.VOCABULARY, Encoding.TERM_SET, Encoding.TOKEN_SET)


@dataclasses.dataclass(frozen=True)
class Meaning:
    """Meaning of the rows of a model's tables.

    Attributes:
      terms: by feature, its vocabulary in the order of indices, bytes.
      time_range: first and last second of train.
    """

    terms: Mapping[str, np.ndarray]
    time_range: np.ndarray


@dataclasses.dataclass(frozen=True)
class Base:
    """Parameters of an earlier model.

    Attributes:
      structure: `_Parameter.structure` of each parameter.
      values: in the same order.
    """

    structure: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    meaning: Meaning


class _Parameter(NamedTuple):
    variable: tf.Variable
    indexed_by: str  # Name of the transformed feature; empty for none.

    @property
    def structure(self) -> str:
        shape = self.variable.shape.as_list()
        # The part before the slash holds a number that Keras counts up over all layers of a process.
        name = self.variable.name.rsplit("/", 1)[-1]
        return f"{name} {self.indexed_by} {shape[1:] if _has_terms(self.indexed_by) else shape}"


def meaning(transform: tft.TFTransformOutput, timestamps: np.ndarray) -> Meaning:
    """Read the meaning of rows from the data that a model is fitted to.

    Args:
      transform: output of the Transform component.
      timestamps: `[rows]` of train, seconds.
    """
    names = [feature.name for feature in features.TRANSFORMED_FEATURES if feature.encoding in _BY_TERMS]
    terms = {name: np.array(transform.vocabulary_by_name(name), np.bytes_) for name in names}
    return Meaning(terms, np.array([timestamps.min(), timestamps.max()]))


def path(serving_model_dir: str) -> str:
    """Name the file that belongs to a SavedModel."""
    return os.path.join(os.path.dirname(serving_model_dir), FOLDER, FILE)


def save(model: tf.keras.Model, known: Meaning, serving_model_dir: str) -> None:
    """Write a model's parameters, and the meaning of their rows."""
    parameters = _parameters(model)
    arrays = {str(number): parameter.variable.numpy() for number, parameter in enumerate(parameters)}
    arrays[_STRUCTURE] = np.array([parameter.structure for parameter in parameters], np.str_)
    arrays[_TIME_RANGE] = known.time_range
    arrays.update({_TERMS + name: terms for name, terms in known.terms.items()})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    tf.io.gfile.makedirs(os.path.dirname(path(serving_model_dir)))
    with tf.io.gfile.GFile(path(serving_model_dir), "wb") as file:
        file.write(buffer.getvalue())


def load(serving_model_dir: str | None) -> Base | None:
    """Read an earlier model's parameters; None if there is no such model, or it has no such file."""
    if not serving_model_dir or not tf.io.gfile.exists(path(serving_model_dir)):
        return None
    with tf.io.gfile.GFile(path(serving_model_dir), "rb") as file:
        arrays = dict(np.load(io.BytesIO(file.read()), allow_pickle=False))
    structure = tuple(arrays[_STRUCTURE].tolist())
    terms = {key.removeprefix(_TERMS): value for key, value in arrays.items() if key.startswith(_TERMS)}
    values = tuple(arrays[str(number)] for number in range(len(structure)))
    return Base(structure, values, Meaning(terms, arrays[_TIME_RANGE]))


def assign(base: Base, model: tf.keras.Model, known: Meaning, name: str) -> None:
    """Assign an earlier model's parameters to a new one, all of whose variables exist.

    A model of another structure, for instance with longer embeddings, keeps its own initial values.

    Args:
      known: meaning of the new model's rows.
      name: of the model, for the progress line.
    """
    parameters = _parameters(model)
    if tuple(parameter.structure for parameter in parameters) != base.structure:
        progress.info("%s: begins anew, because the champion has another structure", name)
        return
    for parameter, value in zip(parameters, base.values, strict=True):
        rows = _rows(parameter.indexed_by, base.meaning, known)
        parameter.variable.assign(value if rows is None else value[rows])
    titles = np.isin(known.terms[features.MOVIE_TITLE], base.meaning.terms[features.MOVIE_TITLE])
    users = np.isin(known.terms[features.USER_ID], base.meaning.terms[features.USER_ID])
    progress.info(
        "%s: begins at the champion's parameters; new to it are %d of %d users, %d of %d titles",
        *(name, (~users).sum(), len(users), (~titles).sum(), len(titles)),
    )


def rows_by_term(old: Sequence[bytes], new: Sequence[bytes], padded: bool = False) -> np.ndarray:
    """Find the row of an old table at which each row of a new one begins.

    A table has a row for every term; after these, one row for all unknown terms, at which new terms begin;
    before them, if it is `padded`, a row for the padding.

    >>> rows_by_term([b"Emma", b"Heat"], [b"Heat", b"Jaws", b"Emma"]).tolist()
    [1, 2, 0, 2]
    >>> rows_by_term([b"Emma", b"Heat"], [b"Heat", b"Jaws"], padded=True).tolist()
    [0, 2, 3, 3]
    """
    row_of = {term: row for row, term in enumerate(old, padded)}
    unknown = len(row_of) + padded
    return np.array([0] * padded + [row_of.get(term, unknown) for term in new] + [unknown])


def rows_by_time(old: Sequence[int], new: Sequence[int], buckets: int) -> np.ndarray:
    """Find the row of an old table of time buckets at which each row of a new one begins.

    Args:
      old, new: first and last second of the buckets, which are of equal length.
      buckets: number of buckets.
    Returns:
      For each new bucket the old one that holds its middle. Buckets before the old ones get the first; those
      after them, and the row after the last bucket, get the old row of later times.

    >>> rows_by_time([0, 99], [50, 149], buckets=4).tolist()
    [2, 3, 4, 4, 4]
    """
    middle = new[0] + (np.arange(buckets) + 0.5) * (new[1] - new[0] + 1) / buckets
    rows = np.clip((middle - old[0]) * buckets // (old[1] - old[0] + 1), 0, buckets).astype(int)
    return np.append(rows, buckets)


def _has_terms(indexed_by: str) -> bool:
    """Whether a table's rows are a vocabulary's, so that their number may differ from one run to the next."""
    feature = _BY_NAME.get(indexed_by)
    return feature is not None and feature.encoding in _BY_TERMS


def _rows(indexed_by: str, old: Meaning, new: Meaning) -> np.ndarray | None:
    """Find rows for a table by the feature that it is indexed by; None if rows have the same meaning."""
    feature = _BY_NAME.get(indexed_by)
    if feature and feature.encoding is Encoding.TIME_BUCKETS:
        return rows_by_time(old.time_range.tolist(), new.time_range.tolist(), feature.width)
    if feature and feature.encoding in _BY_TERMS:
        of_old, of_new = old.terms[feature.name].tolist(), new.terms[feature.name].tolist()
        return rows_by_term(of_old, of_new, padded=feature.is_set)
    return None


def _parameters(model: tf.keras.Model) -> list[_Parameter]:
    # Layers list their tables with the feature that indexes each.
    indexed = {
        variable.ref(): name
        for layer in model.submodules
        for variable, name in getattr(layer, "indexed_tables", ())
    }
    return [_Parameter(variable, indexed.get(variable.ref(), "")) for variable in model.trainable_variables]
