"""Lists as they would be served: of models that `served.train` trained, asked for before each row of eval."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from components.index_pusher.composite import recommender, signatures
from components.index_pusher.composite.order import Order
from components.index_pusher.config import BlendConfig
from components.index_pusher.index.searches import BruteForce
from components.index_pusher.served_list import asking, rows
from modules import features

# Titles of a list.
_DEPTH = 100


def columns(
    retrieval: pathlib.Path, ranking: pathlib.Path, rating_weight: float, split: pathlib.Path
) -> dict[str, np.ndarray]:
    """Ask a composite of two models for a list before each row.

    Args:
      retrieval, ranking: what Trainers wrote; may be one.
      rating_weight: of a star in the order of the list.
      split: folder of raw rows.
    Returns:
      `[rows]` each: features.RATING, USER_ID (bytes), TIMESTAMP and VISIT (bytes) of the row, and
      RANK_UNSEEN, the place of its title in the list from 0, infinity beyond _DEPTH.
    """
    models = {path: signatures.load(str(path), path.name, ()) for path in {retrieval, ranking}}
    order = Order(models[retrieval], models[ranking], BlendConfig(rating_weight=rating_weight))
    composite = recommender.Recommender(order, BruteForce(order.candidates.embeddings))
    titles_by_id = dict(zip(order.catalogue.ids.tolist(), order.catalogue.titles.tolist(), strict=True))
    result: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory(prefix="marquee-benchmark-") as folder:
        recommender.save(composite, folder)
        served = asking.Composite(folder, needs_scann=False)
        files = sorted(map(str, split.iterdir()))
        batches = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(rows.BATCH)
        for records in batches.as_numpy_iterator():
            ratings = rows.parse(records.tolist())
            titles = ratings.queries[features.MOVIE_TITLE]
            excluded = asking.excluded_titles(ratings.excluded, titles_by_id)
            ranks = served.ask(ratings.queries, excluded, _DEPTH).ranks(titles)
            is_excluded = (excluded == titles[:, np.newaxis]).any(axis=1)
            of_rows = {
                features.RATING: ratings.ratings,
                features.USER_ID: ratings.queries[features.USER_ID],
                features.TIMESTAMP: ratings.queries[features.TIMESTAMP],
                features.VISIT: ratings.slices[features.VISIT],
                features.RANK_UNSEEN: np.where(is_excluded, features.EXCLUDED_ROW, ranks),
            }
            for name, values in of_rows.items():
                result.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in result.items()}
