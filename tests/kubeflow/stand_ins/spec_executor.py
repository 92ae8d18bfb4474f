"""Runs a compiled job as Vertex AI does, but on this machine: a tool of tests and benchmarks alone.

Every container step is a process with exactly the command and the arguments that the specification has,
`{{$}}` replaced by the step's ExecutorInput; before it the container of its pre-cache check, if it has one.
Inputs are resolved, outputs placed, and steps served from a cache, by the service's rules. What the service
would keep in a bucket is below a folder; what an image would hold is this interpreter's environment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import yaml

Json = dict[str, Any]
# Runs a command with an environment in a folder, its output into a file; returns the exit code.
Launch = Callable[[list[str], Mapping[str, str], pathlib.Path, pathlib.Path], int]

_PLACEHOLDER, _RUN = "{{$}}", "{{$.pipeline_job_name}}"
# Their URI is a file; that of every other type is a folder.
_FILES = ("tfx.String", "tfx.Integer", "tfx.Float", "tfx.Boolean", "tfx.JsonValue", "system.HTML")


@dataclasses.dataclass(frozen=True)
class Step:
    """How a step went.

    Attributes:
      name: of its task.
      state: `run`, `cached`, `failed`, or `skipped` where one that it waits for failed.
      exit_codes: of its containers, the pre-cache check first.
      seconds: of its containers.
      log: what they wrote.
    """

    name: str
    state: str
    exit_codes: tuple[int, ...] = ()
    seconds: float = 0.0
    log: pathlib.Path | None = None


def subprocess_launch(
    command: list[str], environment: Mapping[str, str], folder: pathlib.Path, log: pathlib.Path
) -> int:
    """Run a command as a process of its own."""
    with log.open("ab") as file:
        return subprocess.run(
            command, env=dict(environment), cwd=folder, stdout=file, stderr=file, check=False
        ).returncode


class Service:
    """The part of Vertex AI that steps see; remembers earlier runs, as the service does."""

    def __init__(
        self,
        environment: Mapping[str, str],
        workers: int = 1,
        launch: Launch = subprocess_launch,
        show: Callable[[Step], None] = lambda step: None,
    ) -> None:
        """Start without memory.

        Args:
          environment: variables of the image, added to what a process needs here.
          workers: steps that run at one time.
          launch: runs a container.
          show: called with every step as it ends.
        """
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        self._environment = {**environment, "PATH": path, "HOME": os.environ["HOME"]}
        self._workers = workers
        self._launch = launch
        self._show = show
        self._cache: dict[str, Json] = {}

    def run(self, job: Json, run_id: str, parameters: Mapping[str, Any]) -> list[Step]:
        """Run a job to its end, or until nothing is left that does not wait for a failed step.

        Args:
          job: a PipelineJob whose output directory is a folder of this machine.
          run_id: of the run.
          parameters: run-time parameters that differ from their defaults.
        Returns:
          All steps, in the order in which they ended.
        """
        return _Run(self, job, run_id, parameters).steps()


class _Run:
    def __init__(self, service: Service, job: Json, run_id: str, parameters: Mapping[str, Any]) -> None:
        self._service = service
        self._spec = job["pipelineSpec"]
        self._run_id = run_id
        self._root = pathlib.Path(job["runtimeConfig"]["gcsOutputDirectory"]) / "4711" / run_id
        declared = self._spec["root"]["inputDefinitions"]["parameters"]
        unknown = set(parameters) - set(declared)
        if unknown:
            raise ValueError(f"the service takes no undeclared parameters; received {sorted(unknown)}")
        self._parameters = {name: spec["defaultValue"] for name, spec in declared.items()} | dict(parameters)
        self._outputs: dict[str, Json] = {}

    def steps(self) -> list[Step]:
        waiting = dict(self._spec["root"]["dag"]["tasks"])
        ended: dict[str, Step] = {}
        with futures.ThreadPoolExecutor(self._service._workers) as pool:
            running: dict[futures.Future[Step], str] = {}
            while waiting or running:
                for name, task in list(waiting.items()):
                    before = [ended.get(other) for other in task.get("dependentTasks", [])]
                    if any(step and step.state in ("failed", "skipped") for step in before):
                        ended[name] = Step(name, "skipped")
                        self._service._show(ended[name])
                        del waiting[name]
                    elif all(before):
                        running[pool.submit(self._step, name, waiting.pop(name))] = name
                if not running:
                    if waiting and not any(
                        not set(t.get("dependentTasks", [])) - set(ended) for t in waiting.values()
                    ):
                        raise ValueError(f"no order satisfies the dependencies of {sorted(waiting)}")
                    continue
                for done in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                    ended[running.pop(done)] = done.result()
                    self._service._show(done.result())
        return list(ended.values())

    def _step(self, name: str, task: Json) -> Step:
        component = self._spec["components"][task["componentRef"]["name"]]
        container = self._spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        folder = self._root / f"{name}_{uuid.uuid4().int >> 65}"
        folder.mkdir(parents=True)
        invocation = self._invocation(task, component, folder)
        log, codes, started = folder / "log.txt", [], time.monotonic()
        output_file = pathlib.Path(invocation["outputs"]["outputFile"])
        if check := container.get("lifecycle", {}).get("preCacheCheck"):
            codes.append(self._container(check, invocation, log))
            if codes[-1] == 0:
                _adopt(json.loads(output_file.read_text()), invocation)
        key = self._key(component, container, invocation)
        may_be_cached = task.get("cachingOptions", {}).get("enableCache", False)
        if may_be_cached and not any(codes) and key in self._service._cache:
            self._outputs[name] = self._service._cache[key]
            return Step(name, "cached", tuple(codes), time.monotonic() - started, log)
        if not any(codes):
            codes.append(self._container(container, invocation, log))
        seconds = time.monotonic() - started
        if any(codes):
            return Step(name, "failed", tuple(codes), seconds, log)
        # A container may have nothing to tell of its outputs.
        output = json.loads(output_file.read_text()) if output_file.exists() else {}
        self._outputs[name] = _outputs(output, invocation)
        self._service._cache[key] = self._outputs[name]
        return Step(name, "run", tuple(codes), seconds, log)

    def _container(self, container: Json, invocation: Json, log: pathlib.Path) -> int:
        words = [*container["command"], *container.get("args", [])]
        resolved = [json.dumps(invocation) if word == _PLACEHOLDER else word for word in words]
        left = [word for word in resolved if "{{$" in word]
        if left:
            raise ValueError(f"a placeholder that this executor does not know: {left[0]}")
        folder = log.parent / "workdir"
        folder.mkdir(exist_ok=True)
        variables = {entry["name"]: entry["value"] for entry in container.get("env", [])}
        return self._service._launch(resolved, {**self._service._environment, **variables}, folder, log)

    def _invocation(self, task: Json, component: Json, folder: pathlib.Path) -> Json:
        """Make the ExecutorInput."""
        inputs = task.get("inputs", {})
        artifacts = {
            key: self._artifact(source["taskOutputArtifact"])
            for key, source in inputs.get("artifacts", {}).items()
        }
        parameters = {key: self._value(source) for key, source in inputs.get("parameters", {}).items()}
        declared = component.get("inputDefinitions", {})
        _require(declared.get("artifacts", {}), artifacts, folder.name)
        _require(declared.get("parameters", {}), parameters, folder.name)
        definitions = component.get("outputDefinitions", {})
        made = {}
        for key, definition in definitions.get("artifacts", {}).items():
            uri = folder / key
            kind = definition["artifactType"]
            if (kind.get("schemaTitle") or yaml.safe_load(kind["instanceSchema"])["title"]) not in _FILES:
                uri.mkdir()  # A bucket has no folders that would have to be made.
            name = f"projects/4711/locations/here/metadataStores/default/artifacts/{uuid.uuid4().int >> 65}"
            made[key] = {
                "artifacts": [
                    {"name": name, "uri": str(uri), "type": definition["artifactType"], "metadata": {}}
                ]
            }
        return {
            "inputs": {"artifacts": artifacts, "parameterValues": parameters},
            "outputs": {
                "artifacts": made,
                "parameters": {
                    key: {"outputFile": str(folder / f"{key}.parameter")}
                    for key in definitions.get("parameters", {})
                },
                "outputFile": str(folder / "executor_output.json"),
            },
        }

    def _artifact(self, source: Json) -> Json:
        return self._outputs[source["producerTask"]]["artifacts"][source["outputArtifactKey"]]

    def _value(self, source: Json) -> Any:
        if "componentInputParameter" in source:
            return self._parameters[source["componentInputParameter"]]
        if "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            return self._outputs[output["producerTask"]]["parameterValues"][output["outputParameterKey"]]
        constant = source["runtimeValue"]["constant"]
        return self._run_id if constant == _RUN else constant

    def _key(self, component: Json, container: Json, invocation: Json) -> str:
        """Digest what Vertex AI's documentation says that a cached execution must have in common."""
        artifacts = {
            key: [artifact["name"] for artifact in listed["artifacts"]]
            for key, listed in invocation["inputs"]["artifacts"].items()
        }
        parts = [
            self._spec["pipelineInfo"]["name"],
            container,
            component.get("outputDefinitions"),
            invocation["inputs"]["parameterValues"],
            artifacts,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _require(declared: Mapping[str, Any], given: Mapping[str, Any], folder: str) -> None:
    needed = {key for key, definition in declared.items() if not definition.get("isOptional")}
    if set(given) - set(declared) or needed - set(given):
        raise ValueError(f"{folder} declares the inputs {sorted(declared)}; received {sorted(given)}")


def _adopt(output: Json, invocation: Json) -> None:
    """Take over what a pre-cache check found out."""
    invocation["inputs"]["parameterValues"].update(output.get("parameterValues", {}))
    for key, listed in output.get("artifacts", {}).items():
        metadata = listed["artifacts"][0].get("metadata", {})
        invocation["outputs"]["artifacts"][key]["artifacts"][0]["metadata"].update(metadata)


def _outputs(output: Json, invocation: Json) -> Json:
    """Join what the container says of its outputs with what the service knew before."""
    joined = {}
    for key, listed in invocation["outputs"]["artifacts"].items():
        (known,), (said,) = listed["artifacts"], output.get("artifacts", {}).get(key, listed)["artifacts"]
        joined[key] = {
            "artifacts": [
                {
                    **known,
                    "uri": said.get("uri", known["uri"]),
                    "metadata": {**known["metadata"], **said.get("metadata", {})},
                }
            ]
        }
    return {"artifacts": joined, "parameterValues": output.get("parameterValues", {})}
