"""A small pipeline with the real Evaluator and champion, on predictions that are planted in the rows."""

import pathlib

import tensorflow as tf
from tfx import types
from tfx.components.evaluator.component import Evaluator
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata, pipeline
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, PushedModel
from tfx.utils import path_utils

from components.champion.component import champion_resolver
from modules import features
from pipeline.evaluation import EXTRACTORS, eval_config
from pipeline.gates import Gate, SliceGate
from tests.helpers.beam import eager

NAME = "planted"
ROWS = 200
COUNTS = {
    **dict.fromkeys(("bad_movies", "titles_renamed", "bad_users", "users_read"), 0),
    **{"ratings_read": 1_004, "bad_ratings": 3, "duplicates": 1, "ratings_kept": 1_000, "train_rows": 800},
    **{"eval_rows": ROWS, "users": 9, "movies_read": 22, "candidates": 20, "titles_merged": 2},
    **{"bad_ratings_columns": 2, "bad_ratings_rating": 1},
}
GATES = {
    "retrieval": (
        Gate(
            metric=features.hit_metric(100),
            bound=0.3,
            slices=(SliceGate(feature=features.USER_GENDER, bound=0.25),),
        ),
    ),
    "ranking": (Gate(metric=features.RMSE, bound=0.94),),
}


class Quarantine(types.Artifact):
    """As MovieLensExampleGen's."""

    TYPE_NAME = "Quarantine"


@component
def MovieLensExampleGen(examples: OutputArtifact[Examples], quarantine: OutputArtifact[Quarantine]):
    """Write rows in which every model's predictions are planted as columns."""
    examples.split_names = '["eval"]'
    for name, count in COUNTS.items():
        examples.set_int_custom_property(name, count)
    folder = pathlib.Path(examples.uri, "Split-eval")
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "rows.gz"), "GZIP") as writer:
        for row in range(ROWS):
            writer.write(_row(row).SerializeToString())


def _row(row: int) -> tf.train.Example:
    man, rating = row % 2 == 0, 1.0 + row % 5
    columns = {
        features.RATING: rating,
        features.USER_GENDER: b"M" if man else b"F",
        features.USER_ACTIVITY: b"light",
        features.TITLE_POPULARITY: b"head",
        # The first of four users, who are too few to compare models.
        features.VISIT: b"first" if row % 20 < 4 else b"return",
        features.USER_ID: str(row % 20).encode(),
        # A rank of 0 is a hit at every depth, one of 1,000 at none.
        "good_rank": 0.0 if row % 4 < 2 else 1_000.0,  # Hits in half of all rows, in half of each gender's.
        "sexist_rank": 0.0 if man and row % 10 < 8 else 1_000.0,  # In 0.4 of all rows, none of the women's.
        "good_rating": rating + 0.5,
        # Baselines hit in a tenth of all rows and of each gender's; the biases are 0.75 too high.
        "popularity_rank": 0.0 if row % 20 < 2 else 1_000.0,
        "bias_rating": rating + 0.75,
        "mean_rating": 3.0,
    }
    example = tf.train.Example()
    for name, value in columns.items():
        feature = example.features.feature[name]
        (feature.bytes_list if isinstance(value, bytes) else feature.float_list).value.append(value)
    return example


@component
def CandidateTrainer(model: OutputArtifact[Model], rank: Parameter[str], rating: Parameter[str]):
    """Write a model whose `eval` signature hands on the named columns of the rows; five titles are shown."""
    ranks = {
        **{features.RANK: rank, features.RANK_UNSEEN: rank},
        **dict.fromkeys((features.POPULARITY_RANK_UNSEEN, features.ITEM_ITEM_RANK_UNSEEN), "popularity_rank"),
    }
    ratings = {features.PREDICTED_RATING: rating, features.BIAS_RATING: "bias_rating"}
    columns = ranks if rank else {**ratings, features.MEAN_RATING: "mean_rating"}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def evaluate(examples):
        spec = {column: tf.io.FixedLenFeature([1], tf.float32) for column in columns.values()}
        parsed = tf.io.parse_example(examples, spec)
        answers = {output: parsed[column] for output, column in columns.items()}
        if rank:
            shown = tf.constant([[0, 1, 2, 3, 4, *[-1] * (features.COVERAGE_DEPTH - 5)]])
            answers[features.TOP_UNSEEN] = tf.repeat(shown, tf.size(examples), axis=0)
            answers[features.NUM_CANDIDATES] = tf.fill(tf.shape(examples), COUNTS["candidates"])
            answers[features.NUM_EXCLUDED] = tf.zeros(tf.shape(examples), tf.int32)
        return answers

    module = tf.Module()
    module.evaluate = evaluate
    folder = path_utils.serving_model_dir(model.uri)
    tf.saved_model.save(module, folder, signatures={features.EVAL_SIGNATURE: evaluate})


@component
def IndexPusher(blessing: InputArtifact[ModelBlessing], pushed_model: OutputArtifact[PushedModel]):
    """Record what the real one records."""
    blessed = blessing.get_int_custom_property("blessed")
    pushed_model.set_int_custom_property("pushed", blessed)
    if blessed:
        pushed_model.set_int_custom_property("pushed_version", 1)
        pushed_model.set_int_custom_property("published_anew", 1)
        pushed_model.set_string_custom_property("pushed_destination", "/srv/models/1")
        pushed_model.set_float_custom_property("index_recall", 0.9975)
        pushed_model.set_float_custom_property("tflite_max_difference", 4.8e-7)
    else:
        pushed_model.set_string_custom_property("reason", "the retrieval model is not blessed")


def create(root: pathlib.Path, rank: str) -> pipeline.Pipeline:
    """Wire the pipeline; `rank` is the column that the retrieval model predicts."""
    example_gen = MovieLensExampleGen()
    nodes = [example_gen]
    for name, parameters in (
        ("retrieval", {"rank": rank, "rating": ""}),
        ("ranking", {"rank": "", "rating": "good_rating"}),
    ):
        trainer = CandidateTrainer(**parameters).with_id(f"Trainer.{name}")
        champion = champion_resolver(trainer.outputs["model"], f"Evaluator.{name}", f"Champion.{name}")
        evaluator = Evaluator(
            examples=example_gen.outputs["examples"],
            model=trainer.outputs["model"],
            baseline_model=champion.outputs["model"],
            eval_config=eval_config(GATES[name], retrieval=name == "retrieval", rating=name == "ranking"),
            module_path=EXTRACTORS,
        ).with_id(f"Evaluator.{name}")
        nodes += [trainer, champion, evaluator]
    nodes.append(IndexPusher(blessing=nodes[3].outputs["blessing"]))
    return pipeline.Pipeline(
        NAME,
        str(root),
        connection(root),
        components=nodes,
        enable_cache=True,
        beam_pipeline_args=list(eager.FLAGS),
    )


def connection(root: pathlib.Path):
    """Return the configuration of the pipeline's ML Metadata."""
    return metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))
