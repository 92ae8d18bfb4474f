"""Ask for lists: a bundle's composite as a server would, and the orders that its list is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from components.index_pusher.composite import recommender, signatures
from components.index_pusher.index import scann_operations
from components.index_pusher.served_list.comparison import ITEM_ITEM, POPULARITY, RETRIEVAL_ALONE
from components.index_pusher.served_list.rows import Ratings
from modules import features
from modules.evaluation.list_measures import DEPTH

# The column that tells which ratings are of titles that a list could hold.
COUNTED = "counted"
# A day, in seconds: how long after the last rating of train a user's own list is asked for.
LATER = 86_400


@dataclasses.dataclass(frozen=True)
class Lists:
    """What a composite recommended.

    Attributes:
      titles: `[lists, k or fewer]` bytes, best first, padded with "".
      scores, ratings: of these titles, as predicted; of the padding they mean nothing.
      by_model: `[lists]` bool, whether the model served them and not popularity.
    """

    titles: np.ndarray
    scores: np.ndarray
    ratings: np.ndarray
    by_model: np.ndarray

    def ranks(self, titles: np.ndarray) -> np.ndarray:
        """Find a title of each list, `[lists]` float64 from 0; infinity where it is not in the list."""
        found = (self.titles == titles[:, np.newaxis]) & (self.titles != b"")
        return np.where(found.any(axis=1), found.argmax(axis=1), np.inf)


class Composite:
    """A composite of a bundle, loaded from its files."""

    def __init__(self, folder: str, needs_scann: bool):
        """Load it.

        Args:
          folder: of the SavedModel.
          needs_scann: whether it needs ScaNN's operations.
        Raises:
          ValueError: it takes an input that no request has.
        """
        if needs_scann:
            scann_operations.load()
        # Kept, for what a signature reads is deleted with the model that it belongs to.
        self._model = tf.saved_model.load(folder)
        taken = self._model.signatures[features.SERVING_SIGNATURE].structured_input_signature[1]
        given = {recommender.K, recommender.EXCLUDE_TITLE, *(row.name for row in features.QUERY_FEATURES)}
        if unknown := sorted(set(taken) - given):
            raise ValueError(f"it takes {' and '.join(unknown)}, which no request has")

    def ask(self, queries: Mapping[str, np.ndarray], excluded: np.ndarray, k: int = DEPTH) -> Lists:
        """Ask for a list for each query.

        Args:
          queries: features.QUERY_FEATURES by name, `[lists]`, of the history `[lists, any]`.
          excluded: `[lists, any]` bytes, titles, padded with "".
          k: titles in a list.
        """
        request = {
            **{row.name: tf.constant(queries[row.name]) for row in features.QUERY_FEATURES},
            recommender.EXCLUDE_TITLE: tf.constant(excluded.astype(object), tf.string),
            recommender.K: tf.constant(k, tf.int32),
        }
        answer = signatures.call(self._model.signatures[features.SERVING_SIGNATURE], request)
        names = (features.MOVIE_TITLE, features.SCORE, features.PREDICTED_RATING, recommender.SERVED_BY)
        titles, scores, ratings, served_by = (answer[name].numpy() for name in names)
        return Lists(titles, scores, ratings, served_by == recommender.BY_MODEL.encode())


def excluded_titles(excluded: np.ndarray, titles: Mapping[bytes, bytes]) -> np.ndarray:
    """Replace ids, `[rows, any]` bytes, by their titles; those that have none become ""."""
    flat = [titles.get(name, b"") for name in excluded.ravel()]
    return np.array(flat, object).reshape(excluded.shape)


def reference_ranks(
    retrieval: Any, ratings: Ratings, served: np.ndarray, by_model: np.ndarray
) -> dict[str, np.ndarray]:
    """Rank the rated titles in other orders of the candidates, by the retrieval model's signature `eval`.

    Args:
      retrieval: the Trainer's model, loaded.
      ratings: the rows.
      served: `[rows]`, ranks in the composite's lists.
      by_model: `[rows]` bool, whether the composite served a row by the model.
    Returns:
      `[rows]` float64 from 0 by order: RETRIEVAL_ALONE, POPULARITY and, unless the catalogue is too large for
      it, ITEM_ITEM; NaN where a score is. And COUNTED, `[rows]` bool: the title is not itself excluded, so
      that a list can hold it. Ranks of other rows mean nothing.
    """
    signature = retrieval.signatures[features.EVAL_SIGNATURE]
    columns = signature(**{features.EXAMPLES_INPUT: tf.constant(list(ratings.records))})
    retrieval_alone = columns[features.RANK_UNSEEN].numpy()
    ranks = {
        # Whom the composite serves by popularity, it would serve the same list without the ranking model. The
        # baselines rank titles as this list does, too: popularity has no ties, and breaks those of item-item.
        RETRIEVAL_ALONE: np.where(by_model, retrieval_alone, served),
        POPULARITY: columns[features.POPULARITY_RANK_UNSEEN].numpy(),
        ITEM_ITEM: columns[features.ITEM_ITEM_RANK_UNSEEN].numpy(),
    }
    if (ranks[ITEM_ITEM] == features.NO_RANK).any():
        del ranks[ITEM_ITEM]
    counted = retrieval_alone != features.EXCLUDED_ROW
    return {COUNTED: counted, **{name: column.astype(np.float64) for name, column in ranks.items()}}


def a_day_later(users: Mapping[str, np.ndarray], latest: np.ndarray) -> dict[str, np.ndarray]:
    """Make a query per user: who it is, a day after the last rating of train, and no history.

    Args:
      users: `[users]` features.QUERY_FEATURES by name, without the history.
      latest: `[users]` seconds, of the last rating of train. The model has it and those before.
    """
    nothing = {
        row.name: np.zeros([len(latest), 0], tf.as_dtype(row.dtype.value).as_numpy_dtype)
        for row in features.HISTORY_FEATURES
    }
    return {**users, **nothing, features.TIMESTAMP: latest + LATER}
