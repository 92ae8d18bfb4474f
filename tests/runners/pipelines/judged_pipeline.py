"""A pipeline that trains a model, and judges it beside its champion and the base of its training."""

import pathlib

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import pipeline
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing

from components.champion.component import base_model_resolver, champion_resolver
from components.champion.selection import SAVED_MODEL


@component
def Read(examples: OutputArtifact[Examples], data_root: Parameter[str]):
    """Copy the data."""
    rows = pathlib.Path(data_root, "ratings.csv").read_text()
    pathlib.Path(examples.uri, "rows").write_text(rows)


@component
def Train(
    examples: InputArtifact[Examples], model: OutputArtifact[Model], base_model: InputArtifact[Model] = None
):
    """Keep the rows as the model, after those of the base."""
    base = pathlib.Path(base_model.uri, "rows").read_text() if base_model else ""
    rows = pathlib.Path(examples.uri, "rows").read_text()
    pathlib.Path(model.uri, "rows").write_text(base + rows)
    # A model without this file counts as missing.
    saved_model = pathlib.Path(model.uri, SAVED_MODEL)
    saved_model.parent.mkdir()
    saved_model.touch()


@component
def Judge(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    met: Parameter[str],
    baseline_model: InputArtifact[Model] = None,
):
    """Bless the model, and write the rows of its champion and its own to the file `met`."""
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", 1)
    champion = pathlib.Path(baseline_model.uri, "rows").read_text() if baseline_model else "none"
    pathlib.Path(met).write_text(f"{champion}, {pathlib.Path(model.uri, 'rows').read_text()}")


def create(name: str, data_root: str, root: str, connection) -> pipeline.Pipeline:
    """Wire the steps; the Judge writes to `met` in the root."""
    read = Read(data_root=data_root)
    base = base_model_resolver(read.outputs["examples"], "Trainer.a", "Evaluator.a", "Base.a")
    trainer = Train(examples=read.outputs["examples"], base_model=base.outputs["model"]).with_id("Trainer.a")
    champion = champion_resolver(trainer.outputs["model"], "Evaluator.a", "Champion.a")
    judge = Judge(
        model=trainer.outputs["model"], baseline_model=champion.outputs["model"], met=f"{root}/met"
    ).with_id("Evaluator.a")
    return pipeline.Pipeline(name, root, connection, components=[read, base, trainer, champion, judge])
