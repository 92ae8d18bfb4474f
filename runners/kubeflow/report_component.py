"""The last step of a compiled job: the page of the run, an artifact of type HTML that the platforms show.

A run on this machine writes its page itself, also if a step failed. The step's container does not start at
TFX's entry point, which would look for the artifact's class under the platform's name of the type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tfx import types
from tfx.dsl.component.experimental.container_component import create_container_component
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.data_types import RuntimeParameter

from runners.kubeflow import report_step

# By the kind that a step has in runners.running.record: its ids, and those of its outputs that are read.
_READ = {
    "MovieLensExampleGen": ("MovieLensExampleGen", ("examples", "quarantine")),
    "StatisticsGen": (r"StatisticsGen\.ratings", ("statistics",)),
    "DistributionValidator": ("DistributionValidator", ("anomalies",)),
    "Transform": ("Transform", ("transform_graph",)),
    "CandidateTuner": (r"Tuner\..+", ("best_hyperparameters",)),
    "CandidateTrainer": (r"Trainer\..+", ("model_run",)),
    "Evaluator": (r"Evaluator\..+", ("blessing", "evaluation")),
    "IndexPusher": ("IndexPusher", ("pushed_model",)),
}


class Html(types.Artifact):
    """A page in one file. Its URI is that of the file."""

    TYPE_NAME = "system.HTML"


def report_component(
    nodes: Sequence[BaseNode], image: str, push_destination: RuntimeParameter, pipeline: str, show_ids: bool
) -> BaseComponent:
    """Build the step.

    Args:
      nodes: of the pipeline, from whose outputs the page is made.
      image: of the container.
      push_destination: where bundles are published.
      pipeline: its name.
      show_ids: whether the page names users by their ids.
    """
    read = {
        f"{re.sub('[^a-z]', '_', node.id.lower())}_{key}": (node, kind, key)
        for node in nodes
        for kind, (ids, keys) in _READ.items()
        if re.fullmatch(ids, node.id)
        for key in keys
    }
    component = create_container_component(
        name="RunReport",
        image=image,
        command=["python", "-m", report_step.__name__, "{{$}}"],
        inputs={name: node.outputs[key].type for name, (node, _, key) in read.items()},
        outputs={report_step.PAGE: Html},
        parameters={"push_destination": str, "pipeline": str, "show_ids": int, "run": str, "sources": str},
    )
    return component(
        **{name: node.outputs[key] for name, (node, _, key) in read.items()},
        push_destination=push_destination,
        pipeline=pipeline,
        show_ids=int(show_ids),
        run="{{$.pipeline_job_name}}",  # The platform fills it in.
        sources=json.dumps({name: (node.id, kind, key) for name, (node, kind, key) in read.items()}),
    )
