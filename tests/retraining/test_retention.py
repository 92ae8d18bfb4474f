"""Old runs' artifacts go; the newest runs', champions and what was pushed last stay, and are still found."""

import itertools
import json
import pathlib
import shutil

import ml_metadata as mlmd
import pytest
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types.standard_artifacts import Model, ModelBlessing, PushedModel

from components.champion.component import champion_resolver
from components.champion.selection import SAVED_MODEL
from retraining import retention
from runners import paths
from runners.running import workspace

NAME = "kept"


class Died(Exception):
    """Raised instead of a kill."""


@component
def Train(model: OutputArtifact[Model], week: Parameter[int]):
    path = pathlib.Path(model.uri, SAVED_MODEL)
    path.parent.mkdir()
    path.write_text(str(week))


@component
def Judge(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    good: Parameter[int],
    baseline_model: InputArtifact[Model] = None,
):
    met = pathlib.Path(baseline_model.uri, SAVED_MODEL).read_text() if baseline_model else ""
    pathlib.Path(blessing.uri, "met").write_text(met)
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", good)


@component
def Push(blessing: InputArtifact[ModelBlessing], pushed_model: OutputArtifact[PushedModel]):
    pushed_model.set_int_custom_property("pushed", blessing.get_int_custom_property("blessed"))


def run(root: pathlib.Path, week: int, good: bool) -> str:
    """Run; returns the week of the champion that was met."""
    connection = metadata.sqlite_metadata_connection_config(str(root / workspace.METADATA))
    trainer = Train(week=week).with_id("Trainer.a")
    champion = champion_resolver(trainer.outputs["model"], "Evaluator.a", "Champion.a")
    judge = Judge(
        model=trainer.outputs["model"], baseline_model=champion.outputs["model"], good=int(good)
    ).with_id("Evaluator.a")
    push = Push(blessing=judge.outputs["blessing"])
    nodes = [trainer, champion, judge, push]
    with paths.entered(root) as plain:
        LocalDagRunner().run(
            pipeline.Pipeline(NAME, str(plain), connection, components=nodes, enable_cache=True)
        )
    newest = max((root / "Evaluator.a" / "blessing").glob("[0-9]*"), key=lambda path: int(path.name))
    return (newest / "met").read_text()


def train_alone(root: pathlib.Path, week: int) -> None:
    """Run as far as a run comes that fails before its Evaluator."""
    connection = metadata.sqlite_metadata_connection_config(str(root / workspace.METADATA))
    trainer = Train(week=week).with_id("Trainer.a")
    LocalDagRunner().run(pipeline.Pipeline(NAME, str(root), connection, components=[trainer]))


def weeks(root: pathlib.Path) -> list[str]:
    return sorted(path.read_text() for path in root.glob(f"Trainer.a/model/[0-9]*/{SAVED_MODEL}"))


def holds(model: pathlib.Path, week: int) -> bool:
    return (model / SAVED_MODEL).read_text() == str(week)


@pytest.mark.parametrize("name", ["runs", "runs [1]*?"])
def test_champions_and_the_newest_runs_stay(tmp_path: pathlib.Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    assert retention.tidy(root, NAME, keep_runs=1) == []
    for week, good in ((1, True), (2, True), (3, False), (4, False)):
        run(root, week, good)
    (root / "pushed").mkdir()
    removed = retention.tidy(root, NAME, keep_runs=1)
    assert weeks(root) == ["2", "4"]
    assert all(pathlib.Path(folder).is_relative_to(root) for folder in removed)
    # The bundle of week 2 is what is served; the folder of bundles is not touched.
    assert len(list((root / "Push" / "pushed_model").iterdir())) == 2
    assert (root / "pushed").exists()
    assert retention.tidy(root, NAME, keep_runs=1) == []
    # Week 2 comes from the cache; week 1, whose files are missing, is run again.
    assert run(root, 5, good=False) == "2"
    run(root, 1, good=True)
    assert weeks(root) == ["1", "2", "4", "5"]


def test_a_champion_stays_that_the_newest_run_never_met(tmp_path: pathlib.Path) -> None:
    for week, good in ((1, True), (2, False)):
        run(tmp_path, week, good)
    train_alone(tmp_path, 3)
    retention.tidy(tmp_path, NAME, keep_runs=1)
    assert weeks(tmp_path) == ["1", "3"]
    assert run(tmp_path, 4, good=False) == "1"


def test_if_a_champions_files_are_missing_the_one_before_stays(tmp_path: pathlib.Path) -> None:
    for week, good in ((1, True), (2, True), (3, False)):
        run(tmp_path, week, good)
    (second,) = [path for path in (tmp_path / "Trainer.a" / "model").iterdir() if holds(path, 2)]
    shutil.rmtree(second)
    train_alone(tmp_path, 4)
    retention.tidy(tmp_path, NAME, keep_runs=1)
    assert weeks(tmp_path) == ["1", "4"]
    assert run(tmp_path, 5, good=False) == "1"


@pytest.mark.parametrize("nth", range(3))
def test_retention_that_is_killed_leaves_no_half_artifact_and_the_next_one_removes_the_rest(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    for week, good in ((1, True), (2, True), (3, True)):
        run(tmp_path, week, good)
    deletions = itertools.count()

    def die_half_way(folder: pathlib.Path) -> None:
        if next(deletions) < nth:
            whole_rmtree(folder)
            return
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()
        raise Died

    whole_rmtree = shutil.rmtree
    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(shutil, "rmtree", die_half_way)
        retention.tidy(tmp_path, NAME, keep_runs=1)
    assert weeks(tmp_path) == ["2", "3"], "of which the last run read one and wrote the other"
    assert list(tmp_path.rglob(".removed-*"))
    retention.tidy(tmp_path, NAME, keep_runs=1)
    assert list(tmp_path.rglob(".removed-*")) == []
    # Nothing half comes from the cache: week 1 is trained again.
    run(tmp_path, 1, good=True)
    assert weeks(tmp_path) == ["1", "2", "3"]


@pytest.mark.parametrize("nth", range(4))
def test_retention_that_is_killed_before_it_deletes_loses_no_later_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """At each rename, or as it marks what is removed."""
    for week in (1, 2, 3):
        run(tmp_path, week, good=True)
    steps = itertools.count()

    def die(original):
        def call(*arguments):
            if next(steps) == nth:
                raise Died
            return original(*arguments)

        return call

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(pathlib.Path, "rename", die(pathlib.Path.rename))
        patched.setattr(mlmd.MetadataStore, "put_artifacts", die(mlmd.MetadataStore.put_artifacts))
        retention.tidy(tmp_path, NAME, keep_runs=1)
    assert run(tmp_path, 1, good=True) == "3"
    retention.tidy(tmp_path, NAME, keep_runs=1)
    assert list(tmp_path.rglob(".removed-*")) == []
    assert run(tmp_path, 4, good=True) == "1"


def test_other_pipelines_and_what_lies_elsewhere_are_let_be(tmp_path: pathlib.Path) -> None:
    for week in (1, 2):
        run(tmp_path, week, good=True)
    assert retention.tidy(tmp_path, "another", keep_runs=1) == []
    store = mlmd.MetadataStore(metadata.sqlite_metadata_connection_config(str(tmp_path / workspace.METADATA)))
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    first = min(store.get_artifacts_by_type("Model"), key=lambda artifact: artifact.id)
    first.uri = str(elsewhere)
    store.put_artifacts([first])
    retention.tidy(tmp_path, NAME, keep_runs=1)
    assert elsewhere.exists()


def test_a_folder_in_use_is_not_tidied(tmp_path: pathlib.Path) -> None:
    run(tmp_path, 1, good=True)
    with workspace.claimed(tmp_path), pytest.raises(workspace.BusyError):
        retention.tidy(tmp_path, NAME, keep_runs=1)
    assert json.loads(weeks(tmp_path)[0]) == 1


def test_a_record_that_cannot_be_read_is_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / workspace.METADATA).write_text("no database " * 100)
    with pytest.raises(OSError, match=r"metadata\.\w+ cannot be used as the record of runs: .+") as raised:
        retention.tidy(tmp_path, NAME, keep_runs=1)
    assert len(str(raised.value).splitlines()) == 1
