"""Distribution of a training over devices and machines. Used by the Trainers.

Every replica takes its part of each batch of `batch_size` rows. Gradients are added up over all replicas, so
that a step equals that of one process with the whole batch. There are two exceptions. If the other
candidates of a batch are the negatives (SoftmaxConfig.full_up_to), they are those of the replica's part. If
negatives are drawn (max_negatives), each replica draws its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import tensorflow as tf

CLUSTER = "TF_CONFIG"
_EXPORTED_WITHIN, _LOOK_EVERY = 3600.0, 2.0  # Seconds.


def make(kind: str, environ: Mapping[str, str]) -> tf.distribute.Strategy | None:
    """Make a strategy; with several workers before any operation, when TensorFlow can open connections.

    Args:
      kind: `none`, `mirrored` (all GPUs of this machine) or `multi_worker` (all workers of the cluster).
      environ: for `multi_worker` with TF_CONFIG, as Vertex AI sets it in every worker of a custom job.
    Returns:
      None for `none`.
    Raises:
      ValueError: there is no cluster, or no such kind.
    """
    if kind == "none":
        return None
    if kind == "mirrored":
        return tf.distribute.MirroredStrategy()
    if kind != "multi_worker":
        raise ValueError(f"strategy must be none, mirrored or multi_worker; received {kind!r}")
    if not json.loads(environ.get(CLUSTER) or "{}").get("cluster"):
        raise ValueError(
            f"strategy multi_worker must find the workers' addresses in {CLUSTER}, which is not set or names "
            "no cluster. Start a process for each worker with it, or set strategy to none"
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Return whether this process writes the model: the cluster's chief, or without one its first worker."""
    resolver = strategy.cluster_resolver if strategy else None
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def left_to_chief(strategy: tf.distribute.Strategy | None, model_dir: str) -> bool:
    """In the chief return False; in any other worker wait for the chief's model, and return True.

    Without the wait the worker's step would end before there is the model that TFX looks for.

    Args:
      strategy: of the training.
      model_dir: folder that the chief writes, and all workers can read.
    Raises:
      TimeoutError: the chief wrote no model within an hour.
    """
    if is_chief(strategy):
        return False
    written = f"{model_dir.rstrip('/')}/saved_model.pb"
    deadline = time.monotonic() + _EXPORTED_WITHIN
    while not tf.io.gfile.exists(written):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the chief must write {written} within an hour of training; it did not")
        time.sleep(_LOOK_EVERY)
    return True


def mean(total: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Divide the sum over this replica's rows so that all replicas' results add up to the batch's mean.

    >>> float(mean(tf.constant(6.0), tf.constant(3)))
    2.0
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return tf.math.divide_no_nan(total, tf.cast(rows * replicas, total.dtype))
