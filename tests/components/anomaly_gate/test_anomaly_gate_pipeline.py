"""AnomalyGate between real StatisticsGens, ExampleValidators and a step that waits for it."""

import pathlib

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components import ExampleValidator, StatisticsGen
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types.standard_artifacts import Examples, Model

from components.anomaly_gate.component import AnomalyGate
from components.anomaly_gate.report import AnomalyError
from tests.helpers.beam import eager

SCHEMA = """
feature { name: "user_rating" type: FLOAT float_domain { min: 0.5 max: 5 } presence { min_fraction: 1 } }
"""


@component
def Rows(examples: OutputArtifact[Examples], train: Parameter[float], evaluate: Parameter[float]):
    """Write one row a split, with the given rating."""
    examples.split_names = '["train", "eval"]'
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    for split, rating in (("train", train), ("eval", evaluate)):
        folder = pathlib.Path(examples.uri, f"Split-{split}")
        folder.mkdir()
        feature = {"user_rating": tf.train.Feature(float_list=tf.train.FloatList(value=[rating]))}
        row = tf.train.Example(features=tf.train.Features(feature=feature))
        with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            writer.write(row.SerializeToString())


@component
def AfterTheGate(model: OutputArtifact[Model]):
    """Stand for what must not start on bad data."""


class Gated:
    """A pipeline of two validated datasets, the gate, and one step behind it."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.schema = root / "schema.pbtxt"
        schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
        self.schema.write_text(text_format.MessageToString(schema))
        self.connection = metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))

    def run(self, eval_rating: float) -> None:
        schema = ImportSchemaGen(schema_file=str(self.schema))
        nodes = [schema]
        anomalies = {}
        for dataset, rating in (("ratings", eval_rating), ("catalogue", 1.0)):
            rows = Rows(train=3.0, evaluate=rating).with_id(f"Rows.{dataset}")
            statistics = StatisticsGen(examples=rows.outputs["examples"]).with_id(f"StatisticsGen.{dataset}")
            validator = ExampleValidator(
                statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
            ).with_id(f"ExampleValidator.{dataset}")
            nodes += [rows, statistics, validator]
            anomalies[f"{dataset}_anomalies"] = validator.outputs["anomalies"]
        gate = AnomalyGate(**anomalies, source_digest="0")
        after = AfterTheGate()
        after.add_upstream_node(gate)
        nodes += [gate, after]
        LocalDagRunner().run(
            pipeline.Pipeline(
                "gated",
                str(self.root),
                self.connection,
                components=nodes,
                enable_cache=True,
                beam_pipeline_args=list(eager.FLAGS),
            )
        )

    def last_state(self, node_id: str) -> str | None:
        """State of a node's newest execution, or None where it never ran."""
        with metadata.Metadata(self.connection) as handle:
            context = handle.store.get_context_by_type_and_name("node", f"gated.{node_id}")
            executions = handle.store.get_executions_by_context(context.id) if context else []
        if not executions:
            return None
        newest = max(executions, key=lambda execution: execution.id)
        return type(newest).State.Name(newest.last_known_state)


@pytest.mark.slow("runs a pipeline of five steps twice")
def test_bad_rows_stop_the_run_before_the_next_step_and_good_ones_are_cached(tmp_path: pathlib.Path) -> None:
    gated = Gated(tmp_path)
    with pytest.raises(AnomalyError) as error:
        gated.run(eval_rating=9.0)
    assert "  ratings, split eval, user_rating: values must be at least 0.5 and at most 5; found:" in str(
        error.value
    )
    assert "catalogue" not in str(error.value)
    assert gated.last_state("AnomalyGate") == "FAILED"
    assert gated.last_state("AfterTheGate") is None

    with pytest.raises(AnomalyError):  # A stop is never served from the cache as if it had passed.
        gated.run(eval_rating=9.0)

    gated.run(eval_rating=4.0)
    assert (gated.last_state("AnomalyGate"), gated.last_state("AfterTheGate")) == ("COMPLETE", "COMPLETE")
    gated.run(eval_rating=4.0)
    assert (gated.last_state("AnomalyGate"), gated.last_state("AfterTheGate")) == ("CACHED", "CACHED")
