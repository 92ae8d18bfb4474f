"""Complete and correct the pipeline job that TFX's compiler writes. Pure; called by compiling.py.

A job is the dictionary that KubeflowV2DagRunner returns: a PipelineJob in JSON, whose `pipelineSpec` is a
PipelineSpec 2.1.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from runners.kubeflow.settings import Settings

Json = dict[str, Any]

# The outputs of these steps depend on more than their inputs: on files of earlier runs, and on the
# destination. Locally, IndexPusher's driver turns caching off; Vertex AI and Kubeflow run no such driver.
NEVER_CACHED = re.compile(r"Champion\..*|IndexPusher|RunReport")
# Its driver fingerprints the input files, so that a cache notices new data. Kubeflow runs no drivers at all.
FINGERPRINTED = "MovieLensExampleGen"

_MAX_BACKOFF = "3600s"
_DAG, _EMAIL = "pipeline-steps", "notification-email"
# Google's google_cloud_pipeline_components.v1.vertex_notification_email. The service sends the mail; the
# container itself does nothing.
_EMAIL_CONTAINER = {
    "image": "gcr.io/ml-pipeline/google-cloud-pipeline-components:2.22.0",
    "command": [
        "python3",
        "-u",
        "-m",
        "google_cloud_pipeline_components.container.v1.vertex_notification_email.executor",
    ],
    "args": ["--type", "VertexNotificationEmail", "--payload", ""],
}


def finish(job: Json, settings: Settings, defaults: Mapping[str, str | int]) -> Json:
    """Return a job that runs as the settings say.

    Args:
      job: as TFX compiled it; not changed.
      settings: how its steps run.
      defaults: values of the run-time parameters for runs that name none.
    Raises:
      ValueError: a setting names a step that the pipeline does not have.
    """
    job = copy.deepcopy(job)
    spec = job["pipelineSpec"]
    _name_producers(spec["root"]["dag"]["tasks"])
    _name_types(spec["components"])
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        parameter.update(defaultValue=defaults[name], isOptional=True)
    _cache(spec, settings)
    _retry(spec, settings)
    _give_resources(spec, settings)
    _rename(spec)
    if settings.notify:
        _notify(spec, settings.notify)
    job["labels"] = {**job.get("labels", {}), **settings.labels}
    return job


def task_name(node_id: str) -> str:
    """Name the task of a node as Kubeflow requires: Argo takes no dots.

    >>> task_name("Evaluator.retrieval"), task_name("MovieLensExampleGen")
    ('evaluator-retrieval', 'movie-lens-example-gen')
    """
    hyphenated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", node_id)
    return re.sub(r"[^a-z0-9]+", "-", hyphenated.lower()).strip("-")


def _name_producers(tasks: Json) -> None:
    # TFX 1.16 names the producer of a parameter `<id>_task`, and no task is called so.
    for task in tasks.values():
        for source in task.get("inputs", {}).get("parameters", {}).values():
            output = source.get("taskOutputParameter", {})
            producer = output.get("producerTask", "").removesuffix("_task")
            if producer in tasks:
                output["producerTask"] = producer


def _name_types(components: Json) -> None:
    # TFX writes a schema for every type; KFP's compiler names those that the platforms know, with a version.
    for component in components.values():
        for output in component.get("outputDefinitions", {}).get("artifacts", {}).values():
            title = yaml.safe_load(output["artifactType"]["instanceSchema"])["title"]
            if title.startswith("system."):
                output["artifactType"] = {"schemaTitle": title, "schemaVersion": "0.0.1"}


def _cache(spec: Json, settings: Settings) -> None:
    for name, task in spec["root"]["dag"]["tasks"].items():
        stale = settings.platform == "kubeflow" and name == FINGERPRINTED
        cached = settings.caching and not stale and not NEVER_CACHED.fullmatch(name)
        task["cachingOptions"] = {"enableCache": True} if cached else {}  # Absent means off.


def _retry(spec: Json, settings: Settings) -> None:
    if not settings.retries:
        return
    for task in spec["root"]["dag"]["tasks"].values():
        task["retryPolicy"] = {
            "maxRetryCount": settings.retries,
            "backoffDuration": f"{settings.backoff}s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": _MAX_BACKOFF,
        }


def _give_resources(spec: Json, settings: Settings) -> None:
    components, executors = spec["components"], spec["deploymentSpec"]["executors"]
    for requested in settings.resources:
        matching = [node_id for node_id in components if requested.applies(node_id)]
        if not matching:
            raise ValueError(
                f"--resources must name a step of the pipeline; received {requested.step!r}. Its steps are: "
                f"{', '.join(sorted(components))}"
            )
        for node_id in matching:
            container = executors[components[node_id]["executorLabel"]]["container"]
            limits = container.setdefault("resources", {})
            if requested.cpu:
                limits["cpuLimit"] = requested.cpu
            if requested.memory:
                limits["memoryLimit"] = requested.memory
            if requested.accelerator:
                limits["accelerator"] = {"type": requested.accelerator, "count": str(requested.count)}


def _rename(spec: Json) -> None:
    components, executors = {}, {}
    for node_id, component in spec["components"].items():
        name = task_name(node_id)
        executors[f"exec-{name}"] = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        components[f"comp-{name}"] = {**component, "executorLabel": f"exec-{name}"}
    tasks = {}
    for node_id, task in spec["root"]["dag"]["tasks"].items():
        name = task_name(node_id)
        task["taskInfo"]["name"] = name
        task["componentRef"]["name"] = f"comp-{name}"
        if "dependentTasks" in task:
            task["dependentTasks"] = [task_name(other) for other in task["dependentTasks"]]
        for output in _outputs_read(task):
            output["producerTask"] = task_name(output["producerTask"])
        tasks[name] = task
    _require_distinct(tasks, spec["components"])
    spec["components"], spec["deploymentSpec"]["executors"] = components, executors
    spec["root"]["dag"]["tasks"] = tasks


def _outputs_read(task: Json) -> list[Json]:
    sources = [source for kind in task.get("inputs", {}).values() for source in kind.values()]
    keys = ("taskOutputArtifact", "taskOutputParameter")
    return [source[key] for source in sources for key in keys if key in source]


def _require_distinct(tasks: Collection[str], node_ids: Collection[str]) -> None:
    if len(tasks) != len(node_ids):
        raise ValueError(
            f"Node ids must differ by more than case and punctuation; received {', '.join(sorted(node_ids))}"
        )


def _notify(spec: Json, recipients: tuple[str, ...]) -> None:
    """Put all steps into one task, and add a task that sends mails after it, also if it failed."""
    root = spec["root"]
    spec["components"][f"comp-{_DAG}"] = {
        "dag": root["dag"],
        "inputDefinitions": copy.deepcopy(root["inputDefinitions"]),
    }
    spec["components"][f"comp-{_EMAIL}"] = {
        "executorLabel": f"exec-{_EMAIL}",
        "inputDefinitions": {
            "parameters": {
                "recipients": {"parameterType": "LIST"},
                "pipeline_task_final_status": {"parameterType": "TASK_FINAL_STATUS", "isOptional": True},
            }
        },
    }
    spec["deploymentSpec"]["executors"][f"exec-{_EMAIL}"] = {"container": dict(_EMAIL_CONTAINER)}
    parameters = root["inputDefinitions"]["parameters"]
    root["dag"] = {
        "tasks": {
            _DAG: {
                "taskInfo": {"name": _DAG},
                "componentRef": {"name": f"comp-{_DAG}"},
                "inputs": {"parameters": {name: {"componentInputParameter": name} for name in parameters}},
            },
            _EMAIL: {
                "taskInfo": {"name": _EMAIL},
                "componentRef": {"name": f"comp-{_EMAIL}"},
                "dependentTasks": [_DAG],
                "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
                "inputs": {
                    "parameters": {
                        "recipients": {"runtimeValue": {"constant": list(recipients)}},
                        "pipeline_task_final_status": {"taskFinalStatus": {"producerTask": _DAG}},
                    }
                },
            },
        }
    }
