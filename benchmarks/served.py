"""Models trained by Marquee's own components on a given split, and measured as they would be served."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.transform.component import Transform
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from benchmarks import figures
from benchmarks.figures import Figures
from components.candidate_trainer.component import CandidateTrainer
from components.movielens_example_gen.component import MovieLensExampleGen
from components.movielens_example_gen.config import GIVEN, DataConfig, SplitConfig
from modules import features
from modules.hyperparameters import ModelsConfig

MODELS = ("retrieval", "ranking", "multitask")

_SCHEMA = pathlib.Path(__file__).resolve().parent.parent / "pipeline" / "schema" / "ratings.pbtxt"
_BATCH = 2048


def train(data: pathlib.Path, root: pathlib.Path, presets: Mapping[str, ModelsConfig], seed: int) -> None:
    """Run ExampleGen, Transform and a Trainer for each model of each preset.

    Args:
      data: what `protocol.write_split` wrote.
      root: folder for the artifacts; nothing may be in it.
      presets: hyper-parameters by preset; their seed is replaced.
      seed: of initial weights and of the order of rows.
    """
    config = DataConfig(split=SplitConfig(method=GIVEN))
    example_gen = MovieLensExampleGen(str(data), config, source_digest="")
    schema = ImportSchemaGen(schema_file=str(_SCHEMA))
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="modules.preprocessing.preprocessing_fn",
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    trainers = [
        CandidateTrainer(
            run_fn=f"modules.{name}.run_fn",
            examples=transform.outputs["transformed_examples"],
            candidates=example_gen.outputs["catalogue"],
            transform_graph=transform.outputs["transform_graph"],
            custom_config={
                "hyperparameters": {**getattr(models, name).model_dump(mode="json"), "seed": seed}
            },
        ).with_id(_node_id(preset, name))
        for preset, models in presets.items()
        for name in MODELS
    ]
    connection = metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))
    LocalDagRunner().run(
        pipeline.Pipeline(
            pipeline_name="benchmark",
            pipeline_root=str(root),
            components=[example_gen, schema, transform, *trainers],
            metadata_connection_config=connection,
        )
    )


def measure(root: pathlib.Path, preset: str, name: str) -> Figures:
    """Ask a model's eval signature about every row of the eval split.

    Args:
      root: that of `train`.
      preset, name: which model.
    """
    model = tf.saved_model.load(str(_output(root, _node_id(preset, name), "model") / features.SERVING_DIR))
    signature = model.signatures[features.EVAL_SIGNATURE]
    split = _output(root, "MovieLensExampleGen", "examples") / f"Split-{features.EVAL_SPLIT}"
    records = tf.data.TFRecordDataset(sorted(map(str, split.iterdir())), compression_type="GZIP")
    spec = {features.RATING: tf.io.FixedLenFeature([], tf.float32)}
    columns: dict[str, list[np.ndarray]] = {}
    for examples in records.batch(_BATCH):
        answers = signature(**{features.EXAMPLES_INPUT: examples})
        for column, values in {**answers, **tf.io.parse_example(examples, spec)}.items():
            columns.setdefault(column, []).append(values.numpy())
    return figures.of_columns({column: np.concatenate(values) for column, values in columns.items()})


def _node_id(preset: str, name: str) -> str:
    return f"Trainer.{preset}.{name}"


def _output(root: pathlib.Path, node_id: str, key: str) -> pathlib.Path:
    # TFX's layout: one folder for each execution, and in a fresh root there was one.
    (uri,) = (root / node_id / key).iterdir()
    return uri
