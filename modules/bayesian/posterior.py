"""Fit the ranking model of head `bayesian`: read the rows, sample, assign. Runs in the Trainers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from common.progress import progress
from modules import features
from modules.bayesian import cold_start, rater_embedding, rating_bias, sampler
from modules.bayesian.factorization_machine import Field, Machine, mean_machine
from modules.bayesian.rating_bias import RatingBiasTower
from modules.data import dataset
from modules.features import Encoding, TransformedFeature
from modules.hyperparameters import RankingConfig, described
from modules.towers import RatingHead, Tower
from modules.training import DivergedError, TrainingData

# Progress lines of a fit; each needs the machine of the draws so far.
_REPORTS = 4
# Rows by which the mean of the draws is made one machine.
_COMPRESSED_ROWS = 10_000

_BY_NAME = {feature.name: feature for feature in features.TRANSFORMED_FEATURES}


class SampledModel:
    """A factorisation machine between two towers, without products among the features of one side."""

    def __init__(self, config: RankingConfig, data: TrainingData, rater_embeddings: np.ndarray | None):
        """Build both towers and the head; `assign` gives them what they hold.

        Args:
          config: which features they read, and how long embeddings are.
          data: what there is to embed.
          rater_embeddings: of `title_rater_embeddings`.
        """
        width = config.embedding_dim + 1
        self.query_tower = (
            RatingBiasTower(config.query_features, data.sizes, width, _title_means(data))
            if config.history
            else Tower(config.query_features, data.sizes, width)
        )
        self.candidate_tower = Tower(config.candidate_features, data.sizes, width)
        self._rater_embeddings = rater_embeddings
        self.head = RatingHead(None, data.interactions.mean_rating)

    def rate(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return `[batch, 1]` ratings of transformed ratings' pairs."""
        return self.head(self.query_tower(inputs), self.candidate_tower(inputs))

    def assign(self, machine: Machine) -> None:
        """Take a machine over the fields of `query_fields` and `candidate_fields`."""
        tables = dict(machine.tables)
        if self._rater_embeddings is not None:
            # A title's rater embedding never changes, so what it adds belongs to the title's own vector.
            tables[features.MOVIE_TITLE] = (
                tables[features.MOVIE_TITLE] + self._rater_embeddings @ tables[rater_embedding.NAME]
            )
        self.query_tower.assign(tables)
        self.candidate_tower.assign(tables)
        self.head.set_weights([np.float32(machine.bias)])


def fit(
    config: RankingConfig,
    data: TrainingData,
    measure: Callable[[SampledModel], Mapping[str, float]] | None,
) -> SampledModel:
    """Build the model and give it the mean of draws from the posterior, see modules.bayesian.sampler.

    All rows of train are held in memory and every sweep reads all: about 4 (sample_dim + 1)^2 bytes a row,
    0.5 KB at 10, three times over while it runs, beside the 0.3 KB of its columns. Data beyond memory is what
    the head `factorization` is for.

    Args:
      config: how to fit.
      data: what to fit to.
      measure: figures shown a few times; they decide nothing. None shows nothing.
    Raises:
      DivergedError: a draw is not finite.
    """
    tf.keras.utils.set_random_seed(config.seed)
    rater_embeddings = title_rater_embeddings(config, data)
    model = SampledModel(config, data, rater_embeddings)
    settings, started = config.bayesian, time.monotonic()
    query, candidate = query_fields(config, data), candidate_fields(config, data, rater_embeddings)
    ratings = data.interactions.ratings
    chosen = np.random.default_rng(config.seed).permutation(len(ratings))[:_COMPRESSED_ROWS]
    machines: list[Machine] = []
    reports = np.linspace(settings.burn_in, settings.sweeps, _REPORTS + 1).astype(int)[1:].tolist()
    drawn = sampler.draws(query, candidate, ratings, settings.sample_dim, config.seed)
    sweep = 0
    try:
        for sweep, machine in enumerate(itertools.islice(drawn, settings.sweeps), start=1):
            if sweep > settings.burn_in:
                machines.append(machine)
            if not machines or sweep not in reports:
                continue
            if measure or sweep == settings.sweeps:
                mean = mean_machine(machines, query, candidate, config.embedding_dim, chosen)
                model.assign(mean)
            if measure:
                figures, seconds = described(dict(measure(model))), time.monotonic() - started
                progress.info(
                    "ranking: sweep %d of %d, %s (%.0f s)", sweep, settings.sweeps, figures, seconds
                )
    except FloatingPointError as error:
        raise DivergedError(
            f"the draws of ranking must stay finite; in sweep {sweep + 1}, {error}. See that the ratings of "
            "the train split are stars, or set head to factorization"
        ) from error
    if isinstance(model.query_tower, RatingBiasTower):
        train = dataset.ratings(data.train_files, data.transform)
        cold_start.fit(
            *(model.query_tower, model.candidate_tower, model.head),
            *(data.catalogue, train, data.interactions.num_users),
        )
    return model


def title_rater_embeddings(config: RankingConfig, data: TrainingData) -> np.ndarray | None:
    """Describe titles by who rated them in train, see modules.bayesian.rater_embedding.

    Returns:
      `[titles, rater_embedding_dim]` float32, by index in the vocabulary, 0 for titles outside it; None
      where the model does not read them.
    """
    dim = config.bayesian.rater_embedding_dim
    if not dim or features.MOVIE_TITLE not in config.candidate_features:
        return None
    positions, splits = data.interactions.seen()
    titles = data.catalogue.transformed[features.MOVIE_TITLE][positions, 0]
    users = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    # The last index stands for all titles that the vocabulary leaves out.
    num_titles = data.sizes[features.MOVIE_TITLE] - 1
    listed = titles < num_titles
    found = rater_embedding.rater_embeddings(titles[listed], users[listed], num_titles, dim, config.seed)
    return np.pad(found, [(0, 1), (0, 0)])


def query_fields(config: RankingConfig, data: TrainingData) -> dict[str, Field]:
    """Read the query side of every row of train; what belongs to the user is grouped by user."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in config.query_features}
    means, biases = tf.constant(_title_means(data)), []
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
    config: RankingConfig, data: TrainingData, rater_embeddings: np.ndarray | None
) -> dict[str, Field]:
    """Return the candidate side of every row of train, grouped by candidate.

    Args:
      config: which features it reads.
      data: what there is to read.
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


def _title_means(data: TrainingData) -> np.ndarray:
    titles = data.catalogue.transformed[features.MOVIE_TITLE][data.interactions.positions, 0]
    return rating_bias.title_means(titles, data.interactions.ratings, data.sizes[features.MOVIE_TITLE])
