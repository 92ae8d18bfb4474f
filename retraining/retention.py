"""Remove the artifacts of old runs. The record of the runs stays."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from collections import defaultdict
from collections.abc import Iterator

import ml_metadata as mlmd

from common.errors import first_line
from common.progress import progress
from components.champion.selection import SAVED_MODEL, Verdict, champion
from runners import paths
from runners.running import workspace

# Prefix of the name of a folder that is being removed.
_REMOVED = ".removed-"
_LIVE, _DELETED = mlmd.proto.Artifact.LIVE, mlmd.proto.Artifact.DELETED


def tidy(root: pathlib.Path, pipeline_name: str, keep_runs: int) -> list[str]:
    """Remove the artifacts of all but a pipeline's newest runs; champions and the last pushed model stay.

    A removed artifact is marked as deleted: no later run takes it for a champion, or from the cache. Its
    folder is renamed first and deleted last, so that a process that is killed leaves no half of it under its
    name; the next call deletes the rest. Bundles are in another folder, and stay.

    Args:
      root: the pipeline's folder, which no other process uses.
      pipeline_name: of the runs.
      keep_runs: how many runs keep their artifacts, 1 or more.
    Returns:
      Folders that were removed.
    Raises:
      BusyError: a run uses the folder.
      OSError: the record of the runs cannot be read or written.
    """
    if not (root / workspace.METADATA).exists():
        return []
    with workspace.claimed(root), paths.entered(root), _readable(root / workspace.METADATA):
        config = mlmd.proto.ConnectionConfig()
        config.sqlite.filename_uri = str(root / workspace.METADATA)
        store = mlmd.MetadataStore(config)
        pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
        if not pipeline:
            return []
        artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_context(pipeline.id)}
        kept = _of_newest_runs(store, pipeline.id, keep_runs) | _champions(store, artifacts)
        kept |= _last_pushed(store, artifacts)
        old = [a for a in artifacts.values() if a.id not in kept and a.state == _LIVE]
        removed = [str(_folder(artifact.uri)) for artifact in old if _rename(root, artifact.uri)]
        for artifact in old:
            artifact.state = _DELETED
        if old:
            store.put_artifacts(old)
            progress.info("Removed %d artifacts of runs before the last %d", len(removed), keep_runs)
        for folder in {_folder(artifact.uri).parent for artifact in artifacts.values()}:
            for renamed in folder.glob(f"{_REMOVED}*") if _is_below(root, folder) else ():
                shutil.rmtree(renamed)
    return removed


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, mlmd.errors.StatusError) as error:  # ML Metadata's messages have many lines.
        raise OSError(f"{path} cannot be used as the record of runs: {first_line(error)}") from error


def _of_newest_runs(store: mlmd.MetadataStore, pipeline_id: int, keep_runs: int) -> set[int]:
    """Ids of artifacts that the newest runs read, wrote, or took from the cache."""
    of_pipeline = {execution.id for execution in store.get_executions_by_context(pipeline_id)}
    executions: set[int] = set()
    for run in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda run: -run.id):
        of_run = {execution.id for execution in store.get_executions_by_context(run.id)} & of_pipeline
        if of_run and keep_runs:
            executions |= of_run
            keep_runs -= 1
    return {event.artifact_id for event in store.get_events_by_execution_ids(executions)}


def _champions(store: mlmd.MetadataStore, artifacts: dict[int, mlmd.proto.Artifact]) -> set[int]:
    """Ids of each trainer's latest blessed model, and of its blessing, which the next run looks up."""
    blessings = {a.id: a for a in artifacts.values() if a.type == "ModelBlessing"}
    verdicts: defaultdict[str, list[Verdict]] = defaultdict(list)
    for event in store.get_events_by_artifact_ids(list(blessings)):
        if event.type == mlmd.proto.Event.OUTPUT:
            properties = blessings[event.artifact_id].custom_properties
            [node] = [c for c in store.get_contexts_by_execution(event.execution_id) if c.type == "node"]
            verdicts[node.name].append(
                Verdict(
                    model_id=properties["current_model_id"].int_value,
                    blessed=properties["blessed"].int_value == 1,
                    issued=event.execution_id,
                )
            )
    there = {a.id for a in artifacts.values() if (pathlib.Path(a.uri) / SAVED_MODEL).exists()}
    chosen = (champion(of_node, "", there.__contains__).model_id for of_node in verdicts.values())
    models = {int(model) for model in chosen if model is not None}
    judged = {
        i: blessing.custom_properties["current_model_id"].int_value for i, blessing in blessings.items()
    }
    return models | {blessing for blessing, model in judged.items() if model in models}


def _last_pushed(store: mlmd.MetadataStore, artifacts: dict[int, mlmd.proto.Artifact]) -> set[int]:
    pushed = [
        artifact.id
        for artifact in artifacts.values()
        if artifact.type == "PushedModel" and artifact.custom_properties["pushed"].int_value
    ]
    made = {
        event.artifact_id: event.execution_id
        for event in store.get_events_by_artifact_ids(pushed)
        if event.type == mlmd.proto.Event.OUTPUT
    }
    return {max(made, key=lambda artifact: made[artifact])} if made else set()


def _rename(root: pathlib.Path, uri: str) -> bool:
    folder = _folder(uri)
    if not _is_below(root, folder) or not folder.is_dir():
        return False
    folder.rename(folder.with_name(f"{_REMOVED}{folder.name}"))
    return True


def _folder(uri: str) -> pathlib.Path:
    return pathlib.Path(uri).resolve()


def _is_below(root: pathlib.Path, folder: pathlib.Path) -> bool:
    """Return whether a folder is below the pipeline's root, so that it may be removed."""
    return root.resolve() in folder.parents
