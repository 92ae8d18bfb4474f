"""The champion in pipelines that run: baselines, cache hits, and two models side by side."""

import pathlib
import shutil

import pytest
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types.standard_artifacts import Model, ModelBlessing

from components.champion.component import champion_resolver
from components.champion.selection import SAVED_MODEL


@component
def Train(model: OutputArtifact[Model], weights: Parameter[str]):
    model.set_string_custom_property("weights", weights)
    path = pathlib.Path(model.uri, SAVED_MODEL)
    path.parent.mkdir()
    path.write_text(weights)


@component
def Judge(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    baseline_model: InputArtifact[Model] = None,
):
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", int("bad" not in model.get_string_custom_property("weights")))
    met = baseline_model.get_string_custom_property("weights") if baseline_model else "none"
    blessing.set_string_custom_property("met", met)


class Runs:
    """Runs of one pipeline with two models, as a person would repeat them."""

    def __init__(self, root: str, runner: type) -> None:
        self.root = root
        self.runner = runner
        self.connection = metadata.sqlite_metadata_connection_config(f"{root}/metadata.sqlite")

    def run(self, **weights: str) -> dict[str, tuple[str, str]]:
        """Train and judge; per model, tell `cached` or `run`, and the weights of the baseline it met."""
        nodes = []
        for name, value in weights.items():
            trainer = Train(weights=value).with_id(f"Trainer.{name}")
            champion = champion_resolver(trainer.outputs["model"], f"Evaluator.{name}", f"Champion.{name}")
            judge = Judge(model=trainer.outputs["model"], baseline_model=champion.outputs["model"])
            nodes += [trainer, champion, judge.with_id(f"Evaluator.{name}")]
        self.runner().run(
            pipeline.Pipeline("champions", self.root, self.connection, components=nodes, enable_cache=True)
        )
        return {name: self._judged(f"Evaluator.{name}") for name in weights}

    def _judged(self, node_id: str) -> tuple[str, str]:
        with metadata.Metadata(self.connection) as handle:
            context = handle.store.get_context_by_type_and_name("node", f"champions.{node_id}")
            execution = max(handle.store.get_executions_by_context(context.id), key=lambda e: e.id)
            events = handle.store.get_events_by_execution_ids([execution.id])
            (output,) = [e.artifact_id for e in events if e.type == e.OUTPUT]
            (blessing,) = handle.store.get_artifacts_by_id([output])
        state = "cached" if execution.last_known_state == execution.CACHED else "run"
        return state, blessing.custom_properties["met"].string_value


@pytest.fixture(params=[LocalDagRunner, BeamDagRunner])
def runs(tmp_path, request) -> Runs:
    return Runs(str(tmp_path), request.param)


def test_an_identical_run_is_served_from_the_cache_and_a_changed_one_meets_the_champion(runs: Runs) -> None:
    assert runs.run(a="v1") == {"a": ("run", "none")}
    assert runs.run(a="v1") == {"a": ("cached", "none")}
    assert runs.run(a="v2") == {"a": ("run", "v1")}
    assert runs.run(a="v2") == {"a": ("cached", "v1")}
    assert runs.run(a="v3") == {"a": ("run", "v2")}


def test_a_model_that_is_not_blessed_is_no_champion(runs: Runs) -> None:
    runs.run(a="v1")
    runs.run(a="bad v2")
    assert runs.run(a="v3") == {"a": ("run", "v1")}


def test_a_model_that_came_back_from_the_cache_is_the_champion_again(runs: Runs) -> None:
    for weights in ("v1", "v2", "v1", "v2"):
        last = runs.run(a=weights)
    assert last == {"a": ("cached", "v1")}
    assert runs.run(a="v3") == {"a": ("run", "v2")}


def test_a_champion_whose_files_are_missing_is_passed_over(runs: Runs) -> None:
    for weights in ("v1", "v2"):
        runs.run(a=weights)
    models = sorted(pathlib.Path(runs.root, "Trainer.a", "model").iterdir(), key=lambda path: int(path.name))
    shutil.rmtree(models[1])
    assert runs.run(a="v3") == {"a": ("run", "v1")}
    # A half of a model is none either.
    for path in pathlib.Path(runs.root).rglob("saved_model.pb"):
        path.unlink()
    assert runs.run(a="v4") == {"a": ("run", "none")}
    assert runs.run(a="v5") == {"a": ("run", "v4")}


def test_a_root_that_was_moved_trains_anew(tmp_path: pathlib.Path) -> None:
    runs = Runs(str(tmp_path / "before"), LocalDagRunner)
    runs.run(a="v1")
    pathlib.Path(runs.root).rename(tmp_path / "after")
    moved = Runs(str(tmp_path / "after"), LocalDagRunner)
    assert moved.run(a="v1") == {"a": ("run", "none")}
    assert moved.run(a="v2") == {"a": ("run", "v1")}


def test_two_models_do_not_see_each_others_champions(runs: Runs) -> None:
    assert runs.run(a="a1", b="b1") == {"a": ("run", "none"), "b": ("run", "none")}
    assert runs.run(a="a2", b="b1") == {"a": ("run", "a1"), "b": ("cached", "none")}
    assert runs.run(a="a2", b="b2") == {"a": ("cached", "a1"), "b": ("run", "b1")}
