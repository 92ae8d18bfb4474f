"""What the container of the last step of a compiled job does: write the page of the run.

`python -m runners.kubeflow.report_step EXECUTOR_INPUT`, the latter as KFP's ExecutorInput in JSON.
"""

from __future__ import annotations

import html
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import tensorflow as tf

from common import remote
from common.errors import first_line
from components.run_report import page
from runners.reporting import pages
from runners.reporting.summary import read_summary
from runners.running.record import Artifact, Step

# The output.
PAGE = "page"
# TensorFlow reads the examples from any file system; of the other two only properties are read.
_NOT_COPIED = ("examples", "best_hyperparameters", "blessing")


def write(invocation: Mapping[str, Any]) -> None:
    """Write the page to the URI of the output. No error gets out: what the run has done counts.

    Args:
      invocation: the ExecutorInput of a step that report_component.py built.
    """
    try:
        text = _page(invocation)
    except Exception as error:
        logging.getLogger(__name__).exception("The report cannot be written")
        reason = html.escape(first_line(error))
        text = f"<!doctype html><title>Run report</title><p>No report could be written: {reason}"
    (output,) = invocation["outputs"]["artifacts"][PAGE]["artifacts"]
    with tf.io.gfile.GFile(output["uri"], "w") as file:
        file.write(text)


def _page(invocation: Mapping[str, Any]) -> str:
    parameters = invocation["inputs"]["parameterValues"]
    sources = json.loads(parameters["sources"])
    artifacts = {
        name: SimpleNamespace(uri=only["uri"], properties=_properties(only.get("metadata", {})))
        for name, listed in invocation["inputs"]["artifacts"].items()
        for only in listed["artifacts"]
    }
    copied = {name: [artifacts[name]] for name, (*_, key) in sources.items() if key not in _NOT_COPIED}
    with remote.as_local_folders(copied, {}):
        report = pages.gather(
            push_dir=parameters["push_destination"],
            run=pages.Run(parameters["run"], seconds=None),
            pipeline=parameters["pipeline"],
            show_ids=bool(parameters["show_ids"]),
            summary=read_summary(_steps(sources, artifacts)),
        )
    return page.run(report)


def _properties(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Take whole numbers for integers, for JSON has one kind of number."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in metadata.items()
    }


def _steps(sources: Mapping[str, Sequence[str]], artifacts: Mapping[str, SimpleNamespace]) -> list[Step]:
    """Describe the steps as a local run records them; their seconds are not known here."""
    outputs: dict[tuple[str, str], list[Artifact]] = {}
    for name, (node_id, kind, key) in sources.items():
        found = artifacts[name]
        outputs.setdefault((node_id, kind), []).append(Artifact(0, key, found.uri, found.properties))
    return [Step(node_id, kind, "run", 0.0, tuple(found)) for (node_id, kind), found in outputs.items()]


if __name__ == "__main__":
    write(json.loads(sys.argv[1]))
