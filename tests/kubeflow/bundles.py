"""By how much two bundles answer differently."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.batch_recommender import answers
from components.index_pusher import bundle
from modules import features

# The timestamp of every request.
_NOW = 900_000_000
_K = 10


class Difference(NamedTuple):
    """Of what two bundles recommend.

    Attributes:
      titles: share of the positions in all lists at which they do not have the same title.
      stars: greatest difference of predicted ratings where they do.
    """

    titles: float
    stars: float


def difference(one: pathlib.Path, other: pathlib.Path, users: Sequence[bytes]) -> Difference:
    """Ask both for recommendations to some users."""
    (titles, stars), (other_titles, other_stars) = (_recommend(folder, users) for folder in (one, other))
    same = titles == other_titles
    return Difference(float(1 - same.mean()), float(np.abs(stars - other_stars)[same].max(initial=0.0)))


def _recommend(folder: pathlib.Path, users: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    loaded = tf.saved_model.load(str(folder / bundle.RECOMMEND_EXACT))
    serve = loaded.signatures[features.SERVING_SIGNATURE]
    answer = serve(**answers.request(serve.structured_input_signature[1], users, _K, _NOW))
    return answer[features.MOVIE_TITLE].numpy(), answer[features.PREDICTED_RATING].numpy()
