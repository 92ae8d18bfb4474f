"""A compiled job as text. `python -m tests.kubeflow.skeleton` writes the golden files anew."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

COMMAND = "python -m tests.kubeflow.skeleton"


def golden(preset: str) -> pathlib.Path:
    """Name the golden file of a preset."""
    return pathlib.Path(__file__).parents[1] / "goldens" / f"pipeline_spec_{preset}.txt"


def describe(job: dict[str, Any]) -> str:
    """List parameters, and the tasks with their commands, upstream tasks, parameters, and caching.

    It does not list the artifacts that they read: the golden file of the DAG does.
    """
    spec = job["pipelineSpec"]
    lines = [f"schema {spec['schemaVersion']}", f"root {job['runtimeConfig']['gcsOutputDirectory']}"]
    for name, parameter in sorted(spec["root"]["inputDefinitions"]["parameters"].items()):
        lines.append(f"parameter {name}: {parameter['parameterType']} = {parameter['defaultValue']}")
    for name, task in sorted(spec["root"]["dag"]["tasks"].items()):
        component = spec["components"][task["componentRef"]["name"]]
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        # Of TFX's entry point the executor, of another one its module.
        command = container.get("args", container["command"])
        flag = "--executor_class_path" if "args" in container else "-m"
        lines.append(name + (" (cached)" if task["cachingOptions"].get("enableCache") else ""))
        lines.append(f"  runs {command[command.index(flag) + 1]}")
        if check := container.get("lifecycle"):
            lines.append(f"  checks {check['preCacheCheck']['command'][-1]}")
        lines.append(f"  after {', '.join(task.get('dependentTasks', ['nothing']))}")
        for key, source in sorted(task["inputs"].get("parameters", {}).items()):
            if output := source.get("taskOutputParameter"):
                lines.append(f"  {key} <- {output['producerTask']}.{output['outputParameterKey']}")
            elif "componentInputParameter" in source:
                lines.append(f"  {key} <- parameter {source['componentInputParameter']}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from pipeline.config import PRESETS
    from tests.kubeflow.conftest import compile_with

    with tempfile.TemporaryDirectory() as folder:
        for name in PRESETS:
            job = compile_with(pathlib.Path(folder) / "job.json", "--preset", name)
            golden(name).write_text(describe(job))
