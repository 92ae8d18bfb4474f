"""Functions that the three run_fn share: read data, fit with progress lines. Runs in the Trainers."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tensorflow_transform as tft

from common.progress import done, progress
from modules import features, search_space, strategies, warm_start
from modules.data import dataset
from modules.evaluation import training_log
from modules.features import Encoding
from modules.hyperparameters import GradientConfig, TrainingConfig

Config = TypeVar("Config", bound=TrainingConfig)

# Steps of a training from which on XLA compiles them: each takes two thirds of its time, compiling seconds.
_STEPS_TO_COMPILE = 500
# Greatest share of the rows that a pass of compiled steps leaves out, which are less than a batch.
_LEFT_OUT = 0.02


class DivergedError(ValueError):
    """A loss that did not stay finite."""


def read_config(read: Callable[[Any], Config], fn_args: Any, name: str) -> Config:
    """Read a model's hyper-parameters: the configured values, and over them those that a Tuner found.

    Args:
      read: makes the model's own hyper-parameters of a dict.
      fn_args: `tfx.components.FnArgs`; `custom_config["hyperparameters"]` is that dict, and `hyperparameters`
        a KerasTuner HyperParameters as a dict, or None without tuning.
      name: of the model, for the progress line.
    Raises:
      ValueError: a field does not accept its value.
    """
    config = read(fn_args.custom_config["hyperparameters"])
    if not fn_args.hyperparameters:
        return config
    values = fn_args.hyperparameters["values"]
    progress.info("%s: tuned to %s", name, format_values(values))
    return search_space.replaced(config, values)


def format_values(values: Mapping[str, Any]) -> str:
    """Write values as a part of a progress line.

    >>> format_values({"learning_rate": 0.00312345, "epochs": 8})
    'learning_rate 0.00312, epochs 8'
    """
    texts = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The data and artifacts that a model is built from.

    Attributes:
      transform: output of the Transform component.
      transform_layer: its graph as a layer, raw features in, transformed ones out.
      catalogue: all candidates.
      interactions: the ratings of train.
      sizes: number of indices of every embedded feature.
      train_files: glob patterns of the transformed train split.
      eval_files: glob patterns of the transformed eval split.
      base: parameters at which the training begins; None if it begins anew.
      strategy: distribution of the training; None for this process and one device.
      log_dir: folder of the training's log; None where it is not logged.
    """

    transform: tft.TFTransformOutput
    transform_layer: tf.keras.layers.Layer
    catalogue: dataset.Catalogue
    interactions: dataset.Interactions
    sizes: Mapping[str, int]
    train_files: list[str]
    eval_files: list[str]
    base: warm_start.Base | None = None
    strategy: tf.distribute.Strategy | None = None
    log_dir: str | None = None

    @property
    def titles(self) -> dict[str, np.ndarray]:
        """Transformed features of the candidates by index in the titles' vocabulary, `[indices, width]`."""
        return self.catalogue.features_of_indices(self.sizes[features.MOVIE_TITLE])

    @property
    def meaning(self) -> warm_start.Meaning:
        """Meaning of the rows of a model's tables."""
        return warm_start.meaning(self.transform, self.interactions.timestamps)


def load(fn_args: Any) -> TrainingData:
    """Read the data that TFX gives to a run_fn.

    Args:
      fn_args: `tfx.components.FnArgs`, with `candidate_files` as CandidateTrainer adds it; if
        `custom_config["warm_start"]` is set, `base_model` is the SavedModel to begin at, or None;
        `custom_config["strategy"]` is a kind of strategies.make.
    """
    # First, because a strategy must be made before any operation.
    strategy = strategies.make(fn_args.custom_config.get("strategy", "none"), os.environ)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    layer = transform.transform_features_layer()
    catalogue = dataset.load_catalogue(fn_args.candidate_files, layer)
    sizes = feature_sizes(transform)
    num_users = sizes[features.USER_ID] - 1
    train = dataset.ratings(fn_args.train_files, transform, columns=dataset.INTERACTION_COLUMNS)
    interactions = dataset.load_interactions(train, catalogue, num_users)
    return TrainingData(
        transform=transform,
        transform_layer=layer,
        catalogue=catalogue,
        interactions=interactions,
        sizes=sizes,
        train_files=list(fn_args.train_files),
        eval_files=list(fn_args.eval_files),
        base=warm_start.load(fn_args.base_model) if fn_args.custom_config.get("warm_start") else None,
        strategy=strategy,
        log_dir=fn_args.model_run_dir if strategies.is_chief(strategy) else None,
    )


def save_for_warm_start(model: tf.keras.Model, data: TrainingData, fn_args: Any) -> None:
    """Write the model's parameters for the next training, if `custom_config["warm_start"]` is set."""
    if fn_args.custom_config.get("warm_start"):
        warm_start.save(model, data.meaning, fn_args.serving_model_dir)


def feature_sizes(transform: tft.TFTransformOutput) -> dict[str, int]:
    """Count the indices of every embedded feature."""
    sizes = {}
    for feature in features.TRANSFORMED_FEATURES:
        if feature.encoding is Encoding.BOUNDARIES:
            sizes[feature.name] = len(feature.boundaries) + 1
        elif feature.encoding is Encoding.TIME_BUCKETS:
            sizes[feature.name] = feature.width + 1
        elif feature.encoding is not Encoding.NORMALIZED:
            # One index for terms out of the vocabulary; in a set, one more for the padding.
            sizes[feature.name] = transform.vocabulary_size_by_name(feature.name) + 1 + feature.is_set
    return sizes


class Model(tfrs.Model):
    """A tfrs.Model whose steps are traced without autograph.

    Autograph would first rewrite Keras' own sources, which takes longer than an epoch of MovieLens 100K. No
    model here needs it, because none branches on a tensor in Python.
    """

    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Fit to one batch, as tfrs.Model does, by dense gradients.

        The gradient of a lookup is sparse, and XLA cannot compile an optimizer's update by it. Adam's update
        moves every row of a table in any case; that of Adagrad takes longer on large tables.
        """
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            penalties = sum(self.losses)
            total = loss + penalties
        variables = self.trainable_variables
        gradients = [
            gradient if gradient is None else tf.convert_to_tensor(gradient)
            for gradient in tape.gradient(total, variables)
        ]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}

    @property
    def losses(self) -> list[tf.Tensor]:
        """Penalties, which are means over a batch's rows; every replica adds its share of them."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return [loss / replicas for loss in super().losses] if replicas > 1 else super().losses


class _Progress(tf.keras.callbacks.Callback):
    """Loss and metrics of each epoch, as a line with seconds on the terminal, and in the training's log."""

    def __init__(
        self, name: str, epochs: int, measure: Callable[[], Mapping[str, float]], log: training_log.Writer
    ):
        super().__init__()
        self._name = name
        self._epochs = epochs
        self._measure = measure
        self._log = log
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        figures = {"loss": (logs or {}).get("loss", float("nan")), **self._measure()}
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        seconds = time.monotonic() - self._start
        progress.info(
            "%s: epoch %d of %d, %s (%.0f s)",
            *(self._name, epoch + 1, self._epochs, text, seconds),
            extra=done(epoch + 1, self._epochs),
        )
        self._log.write(epoch + 1, figures)


def fit(
    build: Callable[[], tf.keras.Model],
    config: GradientConfig,
    data: TrainingData,
    name: str,
    measure: Callable[[tf.keras.Model], Mapping[str, float]] | None,
    batches: Callable[[], tf.data.Dataset] | None = None,
    steps: int = 0,
) -> tf.keras.Model:
    """Build a model and fit it to the train split.

    Args:
      build: makes the model; called after the seed is set.
      config: hyper-parameters.
      data: train and eval rows.
      name: of the model, for the progress lines.
      measure: computes figures that are shown after each epoch, and decide nothing. None shows no epochs.
      batches: makes those of a model that is not fitted to single rows, all of one size.
      steps: how many of those a pass has.
    Raises:
      DivergedError: the loss did not stay finite.
      ValueError: the train split has no whole batch for the strategy's replicas.
    """
    if data.strategy:
        return _fit_spread(build, config, data, name, measure, data.strategy, batches, steps)
    tf.keras.utils.set_random_seed(config.seed)
    model = build()
    if batches:
        compiled = steps * config.epochs >= _STEPS_TO_COMPILE
        _fit(model, batches(), steps, config, name, measure, data.log_dir, compiled)
        return model
    rows = len(data.interactions.users)
    compiled = is_compiled(rows, config)
    steps = rows // config.batch_size if compiled else math.ceil(rows / config.batch_size)
    # A smaller batch would be compiled for itself. The rows that are left out are others in each pass.
    of_rows = dataset.ratings(
        data.train_files,
        data.transform,
        config.batch_size,
        shuffle_seed=config.seed,
        whole=compiled,
        columns=_columns(data.transform),
    )
    if data.base:
        model.compute_loss(next(iter(of_rows)))  # Some layers have no variables before they are called.
        warm_start.assign(data.base, model, data.meaning, name)
    _fit(model, of_rows, steps, config, name, measure, data.log_dir, compiled)
    return model


def is_compiled(rows: int, config: GradientConfig) -> bool:
    """Return whether XLA compiles the steps: of a long training whose whole batches leave few rows out."""
    steps, left_out = divmod(rows, config.batch_size)
    return steps * config.epochs >= _STEPS_TO_COMPILE and left_out <= _LEFT_OUT * rows


def _columns(transform: tft.TFTransformOutput) -> list[str]:
    """Return the transformed features that a step may take: XLA has no texts, and no model reads one."""
    return [name for name, spec in transform.transformed_feature_spec().items() if spec.dtype != tf.string]


def _fit_spread(
    build: Callable[[], tf.keras.Model],
    config: GradientConfig,
    data: TrainingData,
    name: str,
    measure: Callable[[tf.keras.Model], Mapping[str, float]] | None,
    strategy: tf.distribute.Strategy,
    batches: Callable[[], tf.data.Dataset] | None,
    steps: int,
) -> tf.keras.Model:
    """Fit over all replicas; return a model of this process alone, which can be exported like any other."""
    if not batches:
        steps = len(data.interactions.users) // config.batch_size
    if not steps or config.batch_size < strategy.num_replicas_in_sync:
        raise ValueError(
            f"batch_size of {name} must be from the number of replicas, {strategy.num_replicas_in_sync}, to "
            f"the rows of the train split, {len(data.interactions.users)}; received {config.batch_size}"
        )
    tf.keras.utils.set_random_seed(config.seed)
    # Whole batches only, or a replica could have no rows. Each worker reads all files in one order and takes
    # its rows of every batch. If each read its own files, one might end before the others, which then wait
    # for ever.
    make = batches or functools.partial(
        dataset.ratings,
        data.train_files,
        data.transform,
        config.batch_size,
        shuffle_seed=config.seed,
        whole=True,
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    spread_batches = make().with_options(options)
    # From another dataset, because a begun pass over the other would change the order of the next.
    first = next(iter(make()))
    with strategy.scope():
        spread = build()
        spread.compute_loss(first)  # Some layers have no variables before they are called.
        if data.base:
            warm_start.assign(data.base, spread, data.meaning, name)
        _fit(spread, spread_batches, steps, config, name, measure, data.log_dir)
    model = build()
    model.compute_loss(first)
    model.set_weights(spread.get_weights())
    return model


def _fit(
    model: tf.keras.Model,
    batches: tf.data.Dataset,
    steps: int,
    config: GradientConfig,
    name: str,
    measure: Callable[[tf.keras.Model], Mapping[str, float]] | None,
    log_dir: str | None,
    compiled: bool = False,
) -> None:
    """Fit a model; `steps` is the number of steps of an epoch, `compiled` whether XLA compiles one."""
    # Keras' legacy Adam updates a dense variable by one operation, the new one by many.
    optimizers = {"adagrad": tf.keras.optimizers.Adagrad, "adam": tf.keras.optimizers.legacy.Adam}
    rate = config.learning_rate
    if config.learning_rate_decay == "cosine":
        rate = tf.keras.optimizers.schedules.CosineDecay(rate, config.epochs * steps)
    model.compile(optimizer=optimizers[config.optimizer](rate), jit_compile=compiled)
    callbacks = [tf.keras.callbacks.TerminateOnNaN()]
    if measure:
        log = training_log.Writer(log_dir)
        log.begin(config.model_dump(mode="json"))
        callbacks.insert(0, _Progress(name, config.epochs, lambda: measure(model), log))
    losses = model.fit(batches, epochs=config.epochs, verbose=0, callbacks=callbacks).history["loss"]
    if not math.isfinite(losses[-1]):
        raise DivergedError(
            f"the loss of {name} must stay finite; it was {losses[-1]} in epoch {len(losses)}. Lower its "
            f"learning_rate, {config.learning_rate:g}"
        )
