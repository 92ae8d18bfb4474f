"""The ranking model of head `bayesian`: build it, sample, assign. Runs in the Trainers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from common.progress import done, progress
from modules import features
from modules.bayesian import cold_start, fields, rater_embedding, sampler
from modules.bayesian.factorization_machine import Machine, mean_machine
from modules.bayesian.rating_bias import RatingBiasTower
from modules.data import dataset
from modules.evaluation import training_log
from modules.hyperparameters import BayesianRankingConfig
from modules.towers.rating_head import RatingHead
from modules.towers.tower import Tower
from modules.training import DivergedError, TrainingData, format_values

# Progress lines of a fit; each needs the machine of the draws so far.
_REPORTS = 4
# Rows by which the mean of the draws is made one machine.
_COMPRESSED_ROWS = 10_000


class BayesianRankingModel:
    """A factorisation machine between two towers, without products among the features of one side."""

    def __init__(self, config: BayesianRankingConfig, data: TrainingData):
        """Build both towers and the head; `assign` fills their tables.

        Args:
          config: names of the features, and length of the embeddings.
          data: sizes of the vocabularies, and train rows.
        """
        width = config.embedding_dim + 1
        self.query_tower = (
            RatingBiasTower(config.query_features, data.sizes, width, fields.title_means(data))
            if config.history
            else Tower(config.query_features, data.sizes, width)
        )
        self.candidate_tower = Tower(config.candidate_features, data.sizes, width)
        self.head = RatingHead(None, data.interactions.mean_rating)
        # See `fields.title_rater_embeddings`.
        self.rater_embeddings = fields.title_rater_embeddings(config, data)

    def rate(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return `[batch, 1]` ratings of transformed ratings' pairs."""
        return self.head(self.query_tower(inputs), self.candidate_tower(inputs))

    def assign(self, machine: Machine) -> None:
        """Take a machine over the fields of `fields.query_fields` and `fields.candidate_fields`."""
        tables = dict(machine.tables)
        if self.rater_embeddings is not None:
            # A title's rater embedding never changes, so its term is added to the title's own vector.
            tables[features.MOVIE_TITLE] = (
                tables[features.MOVIE_TITLE] + self.rater_embeddings @ tables[rater_embedding.NAME]
            )
        self.query_tower.assign(tables)
        self.candidate_tower.assign(tables)
        self.head.set_weights([np.float32(machine.bias)])


def fit(
    config: BayesianRankingConfig,
    data: TrainingData,
    measure: Callable[[BayesianRankingModel], Mapping[str, float]] | None,
) -> BayesianRankingModel:
    """Build the model and give it the mean of draws from the posterior, see modules.bayesian.sampler.

    All rows of train are held in memory and every sweep reads all: about 4 (sample_dim + 1)^2 bytes a row,
    0.5 KB at 10, three times over while it runs, beside the 0.3 KB of its columns. For data that does not fit
    into memory, use the head `factorization`.

    Args:
      config: hyper-parameters.
      data: train and eval rows.
      measure: computes figures that are shown a few times, and decide nothing. None shows none.
    Raises:
      DivergedError: a draw is not finite.
    """
    tf.keras.utils.set_random_seed(config.seed)
    model = BayesianRankingModel(config, data)
    _sample(model, config, data, measure)
    if isinstance(model.query_tower, RatingBiasTower):
        train = dataset.ratings(data.train_files, data.transform)
        cold_start.fit(
            *(model.query_tower, model.candidate_tower, model.head),
            *(data.catalogue, train, data.interactions.num_users),
        )
    return model


def _sample(
    model: BayesianRankingModel,
    config: BayesianRankingConfig,
    data: TrainingData,
    measure: Callable[[BayesianRankingModel], Mapping[str, float]] | None,
) -> None:
    started = time.monotonic()
    query = fields.query_fields(config, data)
    candidate = fields.candidate_fields(config, data, model.rater_embeddings)
    ratings = data.interactions.ratings
    rows = np.random.default_rng(config.seed).permutation(len(ratings))[:_COMPRESSED_ROWS]
    reports = np.linspace(config.burn_in, config.sweeps, _REPORTS + 1).astype(int)[1:].tolist()
    draws = sampler.draws(query, candidate, ratings, config.sample_dim, config.seed)
    machines: list[Machine] = []
    log = training_log.Writer(data.log_dir)
    log.begin(config.model_dump(mode="json"))
    sweep = 0
    try:
        for sweep, machine in enumerate(itertools.islice(draws, config.sweeps), start=1):
            if sweep > config.burn_in:
                machines.append(machine)
            if not machines or sweep not in reports:
                continue
            if measure or sweep == config.sweeps:
                model.assign(mean_machine(machines, query, candidate, config.embedding_dim, rows))
            if measure:
                figures = measure(model)
                text, seconds = format_values(figures), time.monotonic() - started
                progress.info(
                    "ranking: sweep %d of %d, %s (%.0f s)",
                    *(sweep, config.sweeps, text, seconds),
                    extra=done(sweep, config.sweeps),
                )
                log.write(sweep, figures)
    except FloatingPointError as error:
        raise DivergedError(
            f"the draws of ranking must stay finite; in sweep {sweep + 1}, {error}. Check that the ratings "
            "of the train split are stars, or set head to factorization"
        ) from error
