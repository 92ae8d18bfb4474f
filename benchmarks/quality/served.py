"""Models trained by Marquee's own components on a given split, and measured as they would be served."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from ml_metadata.metadata_store import MetadataStore
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.transform.component import Transform
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from benchmarks import figures
from benchmarks.figures import Figures
from components.candidate_trainer.component import CandidateTrainer
from components.candidate_tuner.component import CandidateTuner
from components.movielens_example_gen.component import MovieLensExampleGen
from components.movielens_example_gen.config import DataConfig
from modules import features
from modules.hyperparameters import ModelsConfig, TrainingConfig
from modules.search_space import SearchConfig
from modules.tuners.blend import RATING_WEIGHT

MODELS = ("retrieval", "ranking", "multitask")

_SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "pipeline" / "schema" / "ratings.pbtxt"
_BATCH = 2048
_PIPELINE = "benchmark"


class Trained(NamedTuple):
    """A model to train: its name and its hyper-parameters."""

    model: str
    config: TrainingConfig


def of_presets(presets: Mapping[str, ModelsConfig]) -> dict[str, Trained]:
    """Name every model of every preset, as `preset.model`."""
    return {
        f"{preset}.{name}": Trained(name, getattr(models, name))
        for preset, models in presets.items()
        for name in MODELS
    }


def train(
    data: pathlib.Path,
    root: pathlib.Path,
    configs: Sequence[DataConfig],
    wanted: Mapping[str, Trained],
    seed: int,
    blended: Sequence[frozenset[str]] = (),
) -> dict[str, float]:
    """Run ExampleGen, Transform, a Trainer for each model that is wanted, and Tuners of weights.

    Args:
      data: a release's folder, or what `protocol.write_split` wrote.
      root: an empty folder for the artifacts.
      configs: how to read the data. Models are trained on the first; they are also evaluated on the others.
      wanted: by a name without blanks; the seed among the hyper-parameters is replaced.
      seed: of initial weights and of the order of rows.
      blended: which of the models wanted order a list together, see `rating_weight`.
    Returns:
      Seconds of each Trainer, from its start to the end of its export.
    """
    example_gens = [
        MovieLensExampleGen(str(data), config, source_digest="").with_id(_example_gen_id(number))
        for number, config in enumerate(configs)
    ]
    schema = ImportSchemaGen(schema_file=str(_SCHEMA))
    transform = Transform(
        examples=example_gens[0].outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="modules.data.preprocessing.preprocessing_fn",
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    trainers = [
        CandidateTrainer(
            run_fn=f"modules.{model}.run_fn",
            examples=transform.outputs["transformed_examples"],
            candidates=example_gens[0].outputs["catalogue"],
            transform_graph=transform.outputs["transform_graph"],
            custom_config={"hyperparameters": {**config.model_dump(mode="json"), "seed": seed}},
        ).with_id(_node_id(name))
        for name, (model, config) in wanted.items()
    ]
    tuners = [
        CandidateTuner(
            tuner_fn="modules.tuners.blend.tuner_fn",
            examples=transform.outputs["transformed_examples"],
            candidates=example_gens[0].outputs["catalogue"],
            transform_graph=transform.outputs["transform_graph"],
            custom_config={
                "models": {
                    wanted[name].model: {**wanted[name].config.model_dump(mode="json"), "seed": seed}
                    for name in sorted(names)
                },
                "highest_rating": configs[0].spec.scale.highest,
                "search": SearchConfig(space={}).model_dump(mode="json"),
            },
        ).with_id(_tuner_id(names))
        for names in blended
    ]
    connection = metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))
    LocalDagRunner().run(
        pipeline.Pipeline(
            pipeline_name=_PIPELINE,
            pipeline_root=str(root),
            components=[*example_gens, schema, transform, *trainers, *tuners],
            metadata_connection_config=connection,
        )
    )
    with metadata.Metadata(connection) as handle:
        return {name: _seconds(handle.store, _node_id(name)) for name in wanted}


def _seconds(store: MetadataStore, node_id: str) -> float:
    context = store.get_context_by_type_and_name("node", f"{_PIPELINE}.{node_id}")
    (execution,) = store.get_executions_by_context(context.id)
    return (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000


def rating_weight(root: pathlib.Path, names: frozenset[str]) -> float:
    """Return what a star is worth in the order of the list of models that `train` blended."""
    (path,) = _output(root, _tuner_id(names), "best_hyperparameters").iterdir()
    return float(json.loads(path.read_text())["values"][RATING_WEIGHT])


def model_folder(root: pathlib.Path, name: str) -> pathlib.Path:
    """Return the folder that a Trainer wrote."""
    return _output(root, _node_id(name), "model")


def eval_split(root: pathlib.Path, number: int = 0) -> pathlib.Path:
    """Return the folder of the raw rows of eval, of one of the data configurations."""
    return _output(root, _example_gen_id(number), "examples") / f"Split-{features.EVAL_SPLIT}"


def measure(root: pathlib.Path, name: str) -> Figures:
    """Ask a model's eval signature about every row of the eval split.

    Args:
      root: that of `train`.
      name: which of the models wanted there.
    """
    return figures.of_columns(columns(root, name))


def columns(root: pathlib.Path, name: str, number: int = 0) -> dict[str, np.ndarray]:
    """Ask a model's eval signature about every row of the eval split, row by row.

    Args:
      root: that of `train`.
      name: which of the models wanted there.
      number: which of the data configurations.
    Returns:
      `[rows]` each: what the signature answers; features.RATING, USER_ID (bytes), TIMESTAMP and VISIT (bytes)
      of the row.
    """
    loaded = tf.saved_model.load(str(model_folder(root, name) / features.SERVING_DIR))
    signature = loaded.signatures[features.EVAL_SIGNATURE]
    files = sorted(map(str, eval_split(root, number).iterdir()))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    spec = {
        name: tf.io.FixedLenFeature([], dtype)
        for name, dtype in (
            (features.RATING, tf.float32),
            (features.USER_ID, tf.string),
            (features.TIMESTAMP, tf.int64),
            (features.VISIT, tf.string),
        )
    }
    result: dict[str, list[np.ndarray]] = {}
    for examples in records.batch(_BATCH):
        answers = signature(**{features.EXAMPLES_INPUT: examples})
        for column, values in {**answers, **tf.io.parse_example(examples, spec)}.items():
            result.setdefault(column, []).append(values.numpy())
    return {column: np.concatenate(values) for column, values in result.items()}


def _node_id(name: str) -> str:
    return f"Trainer.{name}"


def _tuner_id(names: frozenset[str]) -> str:
    return "Tuner." + ".".join(sorted(names))


def _example_gen_id(number: int) -> str:
    return f"MovieLensExampleGen.{number}"


def _output(root: pathlib.Path, node_id: str, key: str) -> pathlib.Path:
    # TFX's layout: one folder for each execution, and in a fresh root there was one.
    (uri,) = (root / node_id / key).iterdir()
    return uri
