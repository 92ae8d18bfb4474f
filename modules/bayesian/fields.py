"""Read the rows of train as the fields of a factorisation machine. Runs in the Trainers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from modules import features
from modules.bayesian import rater_embedding, rating_bias
from modules.bayesian.factorization_machine import Field
from modules.data import dataset
from modules.features import Encoding, TransformedFeature
from modules.hyperparameters import BayesianRankingConfig
from modules.training import TrainingData

_BY_NAME = {feature.name: feature for feature in features.TRANSFORMED_FEATURES}


def title_means(data: TrainingData) -> np.ndarray:
    """Average the ratings that every title has in train, see `rating_bias.title_means`."""
    titles = data.catalogue.transformed[features.MOVIE_TITLE][data.interactions.positions, 0]
    return rating_bias.title_means(titles, data.interactions.ratings, data.sizes[features.MOVIE_TITLE])


def title_rater_embeddings(config: BayesianRankingConfig, data: TrainingData) -> np.ndarray | None:
    """Describe titles by their raters in train, see modules.bayesian.rater_embedding.

    Returns:
      `[titles, rater_embedding_dim]` float32, by index in the vocabulary, 0 for titles outside it; None if
      the model does not read them.
    """
    dim = config.rater_embedding_dim
    if not dim:
        return None
    positions, splits = data.interactions.seen()
    titles = data.catalogue.transformed[features.MOVIE_TITLE][positions, 0]
    users = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    # The last index is that of all titles out of the vocabulary.
    num_titles = data.sizes[features.MOVIE_TITLE] - 1
    listed = titles < num_titles
    found = rater_embedding.rater_embeddings(titles[listed], users[listed], num_titles, dim, config.seed)
    return np.pad(found, [(0, 1), (0, 0)])


def query_fields(config: BayesianRankingConfig, data: TrainingData) -> dict[str, Field]:
    """Read the query side of every row of train; group the user's own features by user."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in config.query_features}
    means, biases = tf.constant(title_means(data)), []
    for batch in dataset.ratings(data.train_files, data.transform):
        for name, parts in columns.items():
            parts.append(batch[name].numpy())
        if config.history:
            biases.append(rating_bias.recent_bias(batch, means).numpy())
    users, num_users = data.interactions.users, data.interactions.num_users
    fields = {}
    for name, parts in columns.items():
        rows = np.concatenate(parts)
        of_users = np.zeros((num_users + 1, rows.shape[1]), rows.dtype)
        of_users[users] = rows
        if (of_users[users] == rows).all():
            fields[name] = _field(_BY_NAME[name], of_users, data.sizes, users, "user")
        elif _BY_NAME[name].encoding is Encoding.NORMALIZED:
            fields[name] = _field(_BY_NAME[name], rows, data.sizes, None, "row")
        else:
            every = np.arange(data.sizes[name])[:, np.newaxis]
            fields[name] = _field(_BY_NAME[name], every, data.sizes, rows[:, 0], name)
    if config.history:
        fields[rating_bias.NAME] = Field(rating_bias.SIZE, np.concatenate(biases), None, "row")
    return fields


def candidate_fields(
    config: BayesianRankingConfig, data: TrainingData, rater_embeddings: np.ndarray | None
) -> dict[str, Field]:
    """Return the candidate side of every row of train, grouped by candidate.

    Args:
      config: names of the features.
      data: catalogue and train rows.
      rater_embeddings: of `title_rater_embeddings`.
    """
    of_catalogue, positions = data.catalogue.transformed, data.interactions.positions
    fields = {
        name: _field(_BY_NAME[name], of_catalogue[name], data.sizes, positions, "candidate")
        for name in config.candidate_features
    }
    if rater_embeddings is not None:
        of_titles = rater_embeddings[of_catalogue[features.MOVIE_TITLE][:, 0]]
        fields[rater_embedding.NAME] = Field(
            rater_embeddings.shape[1], of_titles, positions.astype(np.int32), "candidate"
        )
    return fields


def _field(
    feature: TransformedFeature,
    values: np.ndarray,
    sizes: Mapping[str, int],
    groups: np.ndarray | None,
    level: str,
) -> Field:
    """Make a field of `[groups, width]` values, weighed as FeatureEmbedding weighs them."""
    groups = None if groups is None else groups.astype(np.int32)
    if feature.encoding is Encoding.NORMALIZED:
        return Field(1, values.astype(np.float32), groups, level)
    size = sizes[feature.name]
    if not feature.is_set:
        return Field(size, values[:, 0].astype(np.int32), groups, level)
    weights = np.zeros((len(values), size), np.float32)
    np.add.at(weights, (np.arange(len(values))[:, np.newaxis], values), values > 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    return Field(size, weights, groups, level)
