"""The models of the three TensorFlow Recommenders tutorials in plain TFRS and Keras: the other side.

Run by benchmarks.tutorials.cost, as `python -m benchmarks.tutorials.models FOLDER SEED`.

Written anew after tensorflow.org/recommenders/examples/{basic_retrieval, basic_ranking, multitask}: the same
layers, metrics, optimiser, batches and epochs; nothing of Marquee's models. Their data comes from
tensorflow_datasets, which is no part of this stack: here it is read from u.data, which is faster. All
three run in one process, so that they import TensorFlow once, and what they export is left out.

Prints a line of JSON: for each of the five models its seconds and figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from benchmarks import protocol

USER, TITLE, RATING = "user_id", "movie_title", "user_rating"
TOP_100, RMSE = "factorized_top_k/top_100_categorical_accuracy", "root_mean_squared_error"

DIM = 32
EPOCHS = 3
LEARNING_RATE = 0.1
TRAIN_BATCH, _TEST_BATCH, _CANDIDATE_BATCH = 8192, 4096, 128
_SHUFFLE = 100_000


@dataclasses.dataclass(frozen=True)
class Tutorial:
    """One model: weights of the two losses, None for a task that it has not, and the head of the rating."""

    retrieval_weight: float | None
    rating_weight: float | None
    hidden_units: tuple[int, ...] = ()


TUTORIALS = {
    "retrieval": Tutorial(1.0, None),
    "ranking": Tutorial(None, 1.0, (256, 64)),
    "multitask, rating only": Tutorial(0.0, 1.0, (256, 128)),
    "multitask, retrieval only": Tutorial(1.0, 0.0, (256, 128)),
    "multitask": Tutorial(1.0, 1.0, (256, 128)),
}


class TutorialModel(tfrs.Model):
    """Two towers of ids, and the tasks over them."""

    def __init__(self, tutorial: Tutorial, ratings: protocol.Ratings, movies: tf.data.Dataset, watched: bool):
        """Build the towers and tasks.

        Args:
          tutorial: which model.
          ratings: whose users and titles are the vocabularies.
          movies: titles of all movies, the candidates that the metric ranks.
          watched: whether the metrics are computed in training too, as in the tutorials.
        """
        super().__init__()
        self._tutorial = tutorial
        self._watched = watched
        self.query_tower = _tower(ratings.user_ids)
        self.candidate_tower = _tower(ratings.title_names)
        if tutorial.rating_weight is not None:
            hidden = [tf.keras.layers.Dense(units, activation="relu") for units in tutorial.hidden_units]
            self.head = tf.keras.Sequential([*hidden, tf.keras.layers.Dense(1)])
            self.rating_task = tfrs.tasks.Ranking(
                loss=tf.keras.losses.MeanSquaredError(), metrics=[tf.keras.metrics.RootMeanSquaredError()]
            )
        if tutorial.retrieval_weight is not None:
            candidates = movies.batch(_CANDIDATE_BATCH).map(self.candidate_tower)
            self.retrieval_task = tfrs.tasks.Retrieval(metrics=tfrs.metrics.FactorizedTopK(candidates))

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the weighted sum of the losses of a batch of rows, a scalar."""
        measure = self._watched or not training
        query, candidate = self.query_tower(inputs[USER]), self.candidate_tower(inputs[TITLE])
        loss = 0.0
        if self._tutorial.rating_weight is not None:
            predicted = self.head(tf.concat([query, candidate], axis=1))
            loss += self._tutorial.rating_weight * self.rating_task(
                inputs[RATING], predicted, compute_metrics=measure
            )
        if self._tutorial.retrieval_weight is not None:
            loss += self._tutorial.retrieval_weight * self.retrieval_task(
                query, candidate, compute_metrics=measure
            )
        return loss


def _tower(vocabulary: np.ndarray) -> tf.keras.Model:
    lookup = tf.keras.layers.StringLookup(vocabulary=vocabulary, mask_token=None)
    return tf.keras.Sequential([lookup, tf.keras.layers.Embedding(len(vocabulary) + 1, DIM)])


def run(
    folder: pathlib.Path, seed: int, names: Iterable[str] = tuple(TUTORIALS), watched: bool = True
) -> dict[str, dict[str, float]]:
    """Train and evaluate models.

    Args:
      folder: of MovieLens 100K.
      seed: of the split, the initial weights and the order of rows.
      names: of the models.
      watched: whether the metrics are computed in training too, as in the tutorials; figures stay.
    Returns:
      By model its seconds, and what it reached: TOP_100, RMSE or both.
    """
    ratings = protocol.read(folder)
    # The tutorials' list of candidates holds the titles that stand twice in u.item twice.
    movies = tf.data.Dataset.from_tensor_slices(list(protocol.movie_titles(folder).values()))
    train, test = (_dataset(ratings.take(rows)) for rows in protocol.random_split(len(ratings), seed))
    figures = {}
    for name in names:
        started = time.monotonic()
        tf.keras.utils.set_random_seed(seed)
        model = TutorialModel(TUTORIALS[name], ratings, movies, watched)
        model.compile(optimizer=tf.keras.optimizers.Adagrad(LEARNING_RATE))
        model.fit(train.shuffle(_SHUFFLE).batch(TRAIN_BATCH).cache(), epochs=EPOCHS, verbose=0)
        measured = model.evaluate(test.batch(_TEST_BATCH).cache(), return_dict=True, verbose=0)
        figures[name] = {
            **{metric: float(measured[metric]) for metric in (TOP_100, RMSE) if metric in measured},
            "seconds": time.monotonic() - started,
        }
    return figures


def _dataset(ratings: protocol.Ratings) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(
        {
            USER: ratings.user_ids[ratings.users],
            TITLE: ratings.title_names[ratings.titles],
            RATING: ratings.ratings.astype(np.float32),
        }
    )


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description="Train and evaluate the tutorials' models.")
    parser.add_argument("folder", type=pathlib.Path, help="of MovieLens 100K")
    parser.add_argument("seed", type=int, help="of the split and of the models")
    options = parser.parse_args()
    print(json.dumps(run(options.folder, options.seed)))


if __name__ == "__main__":
    main()
