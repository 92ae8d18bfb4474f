"""The two-tower retrieval model. `run_fn` is called by the Trainer."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from common.progress import progress
from modules import features, strategies, training
from modules.data import dataset, sequences
from modules.data.dataset import Catalogue
from modules.data.known import KNOWN, Known
from modules.evaluation import ranking_metrics, training_log
from modules.export import saved_model, tflite
from modules.hyperparameters import RetrievalConfig, SequenceConfig
from modules.softmax import CandidateSoftmax
from modules.towers import linear_autoencoder
from modules.towers.sequence import INITIAL, SequenceTower
from modules.towers.tower import Ensemble, Tower, two_towers
from modules.training import TrainingData


class RetrievalModel(training.Model):
    """A query's embedding and a candidate's, whose inner product is the score of the pair.

    The model has several members: pairs of towers with initial values of their own, which are trained at the
    same time. Their scores are added, so that the noise that one of them learned has less weight.

    References: tensorflow.org/recommenders/examples/basic_retrieval; Lakshminarayanan et al., Simple and
    Scalable Predictive Uncertainty Estimation using Deep Ensembles (NIPS 2017), for members.
    """

    def __init__(self, config: RetrievalConfig, data: TrainingData):
        """Build the towers and their tasks."""
        super().__init__()
        dim = config.embedding_dim
        members = [
            two_towers(config, data.sizes, data.titles, dim, True, config.query_hidden_units)
            for _ in range(config.members)
        ]
        queries, candidates = zip(*members, strict=True)
        self.query_tower, self.candidate_tower = Ensemble(queries), Ensemble(candidates)
        self.tasks = [
            CandidateSoftmax(
                config.softmax,
                data.catalogue,
                data.interactions,
                tower,
                data.sizes[features.MOVIE_TITLE],
                exclude_history=config.history is not None,
            )
            for tower in candidates
        ]

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the loss of a batch of transformed ratings, the sum of the members', a scalar."""
        members = zip(self.query_tower.towers, self.tasks, strict=True)
        return tf.add_n(
            [task(tower(inputs, training=training), inputs, training=training) for tower, task in members]
        )


class SequenceModel(training.Model):
    """A query's embedding by attention to the ratings before it, and a candidate's.

    It is fitted to windows of the stream of train, in each of which many ratings are queries. The softmax is
    the full one.
    """

    def __init__(self, config: RetrievalConfig, sequence: SequenceConfig, data: TrainingData):
        """Build the towers and their task."""
        super().__init__()
        self.candidate_tower = Tower(
            config.candidate_features, data.sizes, config.embedding_dim, config.l2, INITIAL
        )
        self.query_tower = SequenceTower(
            config, sequence, data.sizes, self.candidate_tower, data.titles, data.interactions.rating_range
        )
        self._task = CandidateSoftmax(
            config.softmax,
            data.catalogue,
            data.interactions,
            self.candidate_tower,
            data.sizes[features.MOVIE_TITLE],
            exclude_history=True,
        )

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the loss of a batch of windows, a scalar."""
        rows = {name: values for name, values in inputs.items() if name != KNOWN}
        queries = self.query_tower.positions(rows, sequences.CONTEXT, training)
        titles = rows[features.MOVIE_TITLE][:, sequences.CONTEXT :]
        known = tf.reshape(inputs[KNOWN], [-1, inputs[KNOWN].shape[2]])
        candidates = {features.MOVIE_TITLE: tf.reshape(titles, [-1, 1]), KNOWN: known}
        return self._task(queries, candidates, training=training)


class Fitted(NamedTuple):
    """A fitted model.

    Attributes:
      pairs: the members that are pairs of towers; what a warm start begins at.
      softmaxes: how many members were fitted by a softmax, whose logits the scores add up.
      query_tower, candidate_tower: of all members.
    """

    pairs: RetrievalModel
    softmaxes: int
    query_tower: Ensemble
    candidate_tower: Ensemble


def _fit_sequence(
    config: RetrievalConfig,
    sequence: SequenceConfig,
    data: TrainingData,
    measure: Callable[[SequenceModel], Mapping[str, float]] | None,
) -> SequenceModel:
    own = config.model_copy(update={"embedding_dim": sequence.embedding_dim, "epochs": sequence.epochs})
    # It begins anew, and has a log of its own.
    folder = data.log_dir and os.path.join(data.log_dir, training_log.SEQUENCES)
    data = dataclasses.replace(data, base=None, log_dir=folder)
    names = sorted({features.USER_ID, features.MOVIE_TITLE, *config.query_features})
    batches = dataset.ratings(data.train_files, data.transform, columns=names)
    columns = sequences.load(batches, names, data.interactions)
    rows = len(columns[sequences.ORDER])
    windows = sequences.batch_size(rows, config.batch_size)
    known = Known(data.interactions, len(data.catalogue))
    model = training.fit(
        lambda: SequenceModel(own, sequence, data),
        own,
        data,
        f"retrieval, {training_log.SEQUENCES}",
        measure,
        lambda: sequences.windows(columns, windows, config.seed).map(known.add).prefetch(2),
        sequences.steps(rows, windows),
    )
    model.query_tower.freeze()
    return model


def sequence_of(config: RetrievalConfig, catalogue: Catalogue) -> SequenceConfig | None:
    """Return the configured member of sequences, None where the model has none.

    In a catalogue larger than `full_up_to` there is none: the negatives would be the other titles of the
    batch, which are the user's own.
    """
    return config.sequence if len(catalogue) <= config.softmax.full_up_to else None


def fit(
    config: RetrievalConfig,
    data: TrainingData,
    measure: Callable[[RetrievalModel | SequenceModel], Mapping[str, float]] | None = None,
) -> Fitted:
    """Build the members and fit them, as `training.fit` does."""
    pairs = training.fit(lambda: RetrievalModel(config, data), config, data, "retrieval", measure)
    queries, candidates = [*pairs.query_tower.towers], [*pairs.candidate_tower.towers]
    if sequence := sequence_of(config, data.catalogue):
        member = _fit_sequence(config, sequence, data, measure)
        queries.append(member.query_tower)
        candidates.append(member.candidate_tower)
    elif config.sequence:
        limit = config.softmax.full_up_to
        progress.info("retrieval: no sequences in a catalogue of more than softmax.full_up_to, %d", limit)
    softmaxes = len(queries)
    if config.cold_start:
        found = linear_autoencoder.factors(
            config.cold_start, data.interactions, data.catalogue, data.sizes[features.MOVIE_TITLE]
        )
        known = data.interactions.num_users if _embeds_users(config) else 0
        queries.append(linear_autoencoder.HistoryFactors(found, known))
        candidates.append(linear_autoencoder.CandidateFactors(found))
    return Fitted(pairs, softmaxes, Ensemble(queries), Ensemble(candidates))


def _embeds_users(config: RetrievalConfig) -> bool:
    return features.USER_ID in config.query_features


def run_fn(fn_args: Any) -> None:
    """Train and export the model, with its TFLite export.

    Args:
      fn_args: `tfx.components.FnArgs`; `custom_config["hyperparameters"]` is a RetrievalConfig as a dict, and
        `hyperparameters` holds tuned values, or None.
    """
    config = training.read_config(RetrievalConfig.model_validate, fn_args, "retrieval")
    data = training.load(fn_args)
    sample = ranking_metrics.EvalSample.load(data)
    model = fit(config, data, lambda model: sample.top_k(model.query_tower, model.candidate_tower))
    if strategies.left_to_chief(data.strategy, fn_args.serving_model_dir):
        return
    training.save_for_warm_start(model.pairs, data, fn_args)
    # The model holds histories of users of train. The member for cold-start users reads those where no user
    # has an embedding.
    is_long = sequence_of(config, data.catalogue) or (config.cold_start and not _embeds_users(config))
    length = features.HISTORY_LENGTH if is_long else features.TRAIN_HISTORY_LENGTH
    served = saved_model.ServedModel(data, length)
    retrieval = (model.query_tower, model.candidate_tower)
    # Without cold-start users in training, a tower's embedding of them is random.
    served.add_retrieval(*retrieval, describing=config.query_features if config.unknown_share else ())
    served.save(fn_args.serving_model_dir)
    tflite.export(data, fn_args.serving_model_dir, retrieval=retrieval, history_length=length)
