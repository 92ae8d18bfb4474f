"""Where a training begins: at the latest blessed model of other rows, in pipelines that run."""

import pathlib
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing

from components.champion.base_model import base_model
from components.champion.component import base_model_resolver
from components.champion.selection import SAVED_MODEL, Choice, Verdict


@component
def Rows(examples: OutputArtifact[Examples], week: Parameter[int]):
    pathlib.Path(examples.uri, "rows").write_text(str(week))


@component
def Train(
    examples: InputArtifact[Examples],
    model: OutputArtifact[Model],
    rate: Parameter[str],
    base_model: InputArtifact[Model] = None,
):
    base = pathlib.Path(base_model.uri, SAVED_MODEL).read_text() + " " if base_model else ""
    week = pathlib.Path(examples.uri, "rows").read_text()
    path = pathlib.Path(model.uri, SAVED_MODEL)
    path.parent.mkdir()
    path.write_text(f"{base}{week}{rate}")


@component
def Judge(model: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing]):
    good = "bad" not in pathlib.Path(model.uri, SAVED_MODEL).read_text().split()[-1]
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", int(good))


def run(root: pathlib.Path, week: int, rate: str = "") -> tuple[str, int]:
    """Run; returns the line of models behind the newest one, and how many were trained so far."""
    rows = Rows(week=week)
    base = base_model_resolver(rows.outputs["examples"], "Trainer.a", "Evaluator.a", "Base.a")
    trainer = Train(examples=rows.outputs["examples"], base_model=base.outputs["model"], rate=rate)
    judge = Judge(model=trainer.with_id("Trainer.a").outputs["model"]).with_id("Evaluator.a")
    connection = metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))
    nodes = [rows, base, trainer, judge]
    LocalDagRunner().run(
        pipeline.Pipeline("bases", str(root), connection, components=nodes, enable_cache=True)
    )
    models = sorted((root / "Trainer.a" / "model").iterdir(), key=lambda path: int(path.name))
    return (models[-1] / SAVED_MODEL).read_text(), len(models)


def test_a_training_begins_at_the_last_blessed_model_of_other_rows(tmp_path: pathlib.Path) -> None:
    assert run(tmp_path, 1) == ("1", 1)
    assert run(tmp_path, 2) == ("1 2", 2)
    # Again: the same rows, and so the same base, out of the cache.
    assert run(tmp_path, 2) == ("1 2", 2)
    # Trained otherwise on the same rows, it begins where they began.
    assert run(tmp_path, 2, "fast") == ("1 2fast", 3)
    assert run(tmp_path, 3, "bad") == ("1 2fast 3bad", 4)
    # A model that is not blessed is no base.
    assert run(tmp_path, 4) == ("1 2fast 4", 5)


def test_a_base_model_whose_files_are_missing_is_passed_over(tmp_path: pathlib.Path) -> None:
    run(tmp_path, 1)
    run(tmp_path, 2)
    newest = max((tmp_path / "Trainer.a" / "model").iterdir(), key=lambda path: int(path.name))
    shutil.rmtree(newest)
    assert run(tmp_path, 3) == ("1 3", 2)
    shutil.rmtree(tmp_path / "Trainer.a")
    assert run(tmp_path, 4) == ("4", 1)


def test_without_a_blessed_model_of_other_rows_there_is_none() -> None:
    there = {1}.__contains__
    assert base_model([], {}, 1, there) == Choice(None)
    assert base_model([Verdict(1, False, 5)], {1: {7}}, 8, there) == Choice(None)
    assert base_model([Verdict(1, True, 5)], {1: {7}}, 7, there) == Choice(None)
    assert base_model([Verdict(1, True, 5), Verdict(1, False, 6)], {1: {7}}, 8, there) == Choice(None)
    assert base_model([Verdict(2, True, 5)], {2: {7}}, 8, there) == Choice(None, missing=(2,))
