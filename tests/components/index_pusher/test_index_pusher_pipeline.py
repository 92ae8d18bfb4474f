"""IndexPusher in a pipeline: real artifacts, metadata and cache, behind an Evaluator's kind of blessing."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest
from tfx import types
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types import standard_artifacts

from components.index_pusher import executor
from components.index_pusher.bundle import Sources
from components.index_pusher.component import IndexPusher
from components.index_pusher.config import IndexConfig, PublishConfig
from components.index_pusher.executor import Executor
from modules import features
from serving import manifest

pytestmark = [pytest.mark.usefixtures("in_process"), pytest.mark.slow("pushes many times")]

MODEL, BLESSING = standard_artifacts.Model, standard_artifacts.ModelBlessing


class Pushing:
    """A pipeline that imports planted models, blessings and examples, and pushes."""

    def __init__(self, planted, root: pathlib.Path) -> None:
        self.planted = planted
        self.root = root
        self.connection = metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))

    def run(
        self, ranking_blessed: int = 1, config: IndexConfig | None = None, runner: type = LocalDagRunner
    ) -> dict:
        """Run it; the newest pushed artifact's custom properties, and the state of the step."""
        sources = self.planted.sources
        imported = {
            "retrieval_model": self._import("retrieval_model", sources.retrieval_dir, MODEL),
            "ranking_model": self._import("ranking_model", sources.ranking_dir, MODEL),
            "retrieval_blessing": self._bless("retrieval", 1, sources.retrieval_dir),
            "ranking_blessing": self._bless("ranking", ranking_blessed, sources.ranking_dir),
            "examples": self._import(
                "examples",
                str(pathlib.Path(sources.queries_dir).parent),
                standard_artifacts.Examples,
                properties={"split_names": json.dumps([features.EVAL_SPLIT])},
            ),
        }
        pusher = IndexPusher(
            **{name: node.outputs["result"] for name, node in imported.items()},
            push_destination=str(self.root / "destination"),
            pipeline_name="pushing",
            source_digest="0",
            index_config=config,
        )
        runner().run(
            pipeline.Pipeline(
                "pushing",
                str(self.root),
                self.connection,
                components=[*imported.values(), pusher],
                enable_cache=True,
            )
        )
        return self._newest()

    def _import(self, name: str, uri: str, kind: type, **extra) -> Importer:
        return Importer(source_uri=uri, artifact_type=kind, **extra).with_id(f"Importer.{name}")

    def _bless(self, name: str, blessed: int, model: str) -> Importer:
        folder = self.root / f"{name}_blessing_{blessed}"
        folder.mkdir(exist_ok=True)
        properties = {"blessed": blessed, "current_model": model}
        return self._import(f"{name}_blessing", str(folder), BLESSING, custom_properties=properties)

    def _newest(self) -> dict:
        with metadata.Metadata(self.connection) as handle:
            artifact = max(handle.store.get_artifacts_by_type("PushedModel"), key=lambda found: found.id)
            context = handle.store.get_context_by_type_and_name("node", "pushing.IndexPusher")
            execution = max(handle.store.get_executions_by_context(context.id), key=lambda found: found.id)
        recorded = {
            key: getattr(value, value.WhichOneof("value"))
            for key, value in artifact.custom_properties.items()
        }
        return {
            **recorded,
            "state": type(execution).State.Name(execution.last_known_state),
            "uri": artifact.uri,
        }


def test_a_push_publishes_models_or_finds_them_published_or_records_a_refusal(
    planted, tmp_path: pathlib.Path
) -> None:
    pushing = Pushing(planted, tmp_path)
    first = pushing.run()
    assert first["state"] == "COMPLETE"
    assert (first["pushed"], first["pushed_version"], first["published_anew"]) == (1, 1, 1)
    assert first["pushed_destination"] == str(tmp_path / "destination" / "bundles" / "1")
    assert first["index_recall"] == 1.0 and isinstance(first["index_latency_ms"], float)
    assert (pathlib.Path(first["uri"]) / "recommend" / "saved_model.pb").is_file()

    for runner in (LocalDagRunner, BeamDagRunner):
        again = pushing.run(runner=runner)
        assert (again["state"], again["published_anew"]) == ("COMPLETE", 0)
        of_the_run = {"uri", "name", "state", "published_anew", "tfx_version", "producer_component"}
        assert {key: value for key, value in again.items() if key not in of_the_run} == {
            key: value for key, value in first.items() if key not in of_the_run
        }
        assert again["uri"] != first["uri"]
        assert manifest.verify(again["uri"]) == manifest.verify(first["pushed_destination"])

    refused = pushing.run(ranking_blessed=0)
    assert (refused["state"], refused["pushed"]) == ("COMPLETE", 0)
    assert refused["reason"].startswith("the ranking model was not blessed")
    assert [path.name for path in (tmp_path / "destination" / "bundles").iterdir()] == ["1"]


def test_models_that_are_not_served_whole_are_published_anew(pushed, tmp_path: pathlib.Path) -> None:
    """In spite of the metadata of earlier runs: the destination is missing, serves others, or is damaged."""
    destination = tmp_path / "destination"
    shutil.copytree(pushed.destination, destination, symlinks=True)
    pushing, current = Pushing(pushed.planted, tmp_path), str(destination / "current")
    found = pushing.run()
    assert (found["pushed_version"], found["published_anew"]) == (1, 0)
    identity = manifest.read(current)["identity"]

    shutil.rmtree(destination)
    again = pushing.run()
    assert (again["pushed_version"], again["published_anew"]) == (1, 1)
    assert manifest.verify(current)["identity"] == identity

    pushing.run(config=IndexConfig(min_recall=0.9))
    assert manifest.read(current)["identity"] != identity
    back = pushing.run()
    assert (back["pushed_version"], back["published_anew"]) == (3, 1)
    assert manifest.verify(current)["identity"] == identity

    (destination / "bundles" / "3" / "recommend" / "saved_model.pb").write_bytes(b"")
    repaired = pushing.run()
    assert (repaired["pushed_version"], repaired["published_anew"]) == (4, 1)
    assert manifest.verify(current)["identity"] == identity


def artifact(kind: type, uri: str, **properties: int) -> types.Artifact:
    made = kind()
    made.uri = uri
    for name, value in properties.items():
        made.set_int_custom_property(name, value)
    return made


def do(planted, root: pathlib.Path, **inputs: list[types.Artifact]) -> types.Artifact:
    """Call the executor with planted models, blessed or as `inputs` says; what it wrote."""
    examples = artifact(standard_artifacts.Examples, str(pathlib.Path(planted.sources.queries_dir).parent))
    examples.split_names = json.dumps([features.EVAL_SPLIT])
    pushed = artifact(standard_artifacts.PushedModel, str(root / "pushed"))
    retrieval_dir, ranking_dir = planted.sources.retrieval_dir, planted.sources.ranking_dir
    blessings = {
        f"{name}_blessing": [blessing(model)]
        for name, model in (("retrieval", retrieval_dir), ("ranking", ranking_dir))
    }
    Executor().Do(
        {
            "retrieval_model": [artifact(MODEL, retrieval_dir)],
            "ranking_model": [artifact(MODEL, ranking_dir)],
            "examples": [examples],
            **blessings,
            **inputs,
        },
        {"pushed_model": [pushed]},
        {
            "push_destination": str(root / "destination"),
            "index_config": IndexConfig().model_dump_json(),
            "publish_config": PublishConfig().model_dump_json(),
            "must_beat_baselines": 1,
            "pipeline_name": "films",
            "source_digest": "",
        },
    )
    return pushed


def blessing(model: str, blessed: int = 1) -> types.Artifact:
    """An Evaluator's verdict on a model."""
    verdict = artifact(BLESSING, "blessing", blessed=blessed)
    verdict.set_string_custom_property("current_model", model)
    return verdict


@pytest.mark.parametrize(
    "blessings",
    [[], [artifact(BLESSING, "blessing")]],
    ids=["no artifact", "an Evaluator without thresholds"],
)
def test_an_absent_blessing_is_refused(planted, tmp_path: pathlib.Path, blessings: list) -> None:
    pushed = do(planted, tmp_path, retrieval_blessing=blessings)
    assert pushed.get_int_custom_property("pushed") == 0
    assert pushed.get_string_custom_property("reason").startswith("the retrieval model has no blessing")
    assert not (tmp_path / "destination").exists()


@pytest.mark.parametrize("blessed", [0, 1])
def test_a_multitask_model_is_pushed_beside_the_others_where_it_is_blessed(
    planted, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, blessed: int
) -> None:
    """Its own blessing decides; test_push.py shows what the push makes of it."""
    called: list[Sources] = []

    def push(sources: Sources, *_: object) -> dict:
        called.append(sources)
        return {}

    monkeypatch.setattr(executor, "push", push)
    model = planted.sources.retrieval_dir
    do(
        planted,
        tmp_path,
        multitask_model=[artifact(MODEL, model)],
        multitask_blessing=[blessing(model, blessed)],
    )
    (sources,) = called
    assert sources.multitask_dir == (model if blessed else "")
    left_out = "" if blessed else "the multitask model was not blessed"
    assert sources.multitask_left_out.startswith(left_out) and bool(sources.multitask_left_out) != blessed


class TestWiring:
    def channels(self) -> dict:
        return {
            "retrieval_model": types.Channel(type=MODEL),
            "retrieval_blessing": types.Channel(type=BLESSING),
            "ranking_model": types.Channel(type=MODEL),
            "ranking_blessing": types.Channel(type=BLESSING),
            "examples": types.Channel(type=standard_artifacts.Examples),
        }

    def test_an_empty_destination_is_refused(self) -> None:
        with pytest.raises(ValueError, match="push_destination must be a folder or a URI"):
            IndexPusher(**self.channels(), push_destination="", pipeline_name="films", source_digest="0")

    def test_an_object_store_is_a_destination(self) -> None:
        config = PublishConfig(keep_versions=3)
        node = IndexPusher(
            **self.channels(),
            push_destination="gs://bucket/pushed",
            pipeline_name="films",
            source_digest="0",
            publish_config=config,
        )
        assert node.exec_properties["push_destination"] == "gs://bucket/pushed"
        assert json.loads(node.exec_properties["publish_config"]) == {"keep_versions": 3}

    def test_one_blessing_for_two_models_is_refused(self) -> None:
        channels = self.channels()
        channels["ranking_blessing"] = channels["retrieval_blessing"]
        with pytest.raises(ValueError, match="Each model needs the blessing of its own Evaluator"):
            IndexPusher(**channels, push_destination="pushed", pipeline_name="films", source_digest="0")

    def test_the_digest_of_its_code_has_no_default(self) -> None:
        with pytest.raises(TypeError, match="source_digest"):
            IndexPusher(**self.channels(), push_destination="pushed", pipeline_name="films")

    def test_a_multitask_model_is_both(self) -> None:
        channels = self.channels()
        channels["ranking_model"] = channels["retrieval_model"]
        channels["ranking_blessing"] = channels["retrieval_blessing"]
        config = IndexConfig(min_recall=0.9)
        node = IndexPusher(
            **channels,
            push_destination="pushed",
            pipeline_name="films",
            source_digest="0",
            index_config=config,
        )
        assert json.loads(node.exec_properties["index_config"])["min_recall"] == 0.9
