"""Verdicts on one trainer's models as files, for platforms where a step cannot query ML Metadata.

On Vertex AI and Kubeflow steps have no access to the metadata, and the resolver that TFX compiles for Vertex
AI takes the latest blessed model of any trainer. So each Evaluator writes its verdicts to a folder of its
own, through Beam's file systems (gs://, local, ...), and the executors look for the champion there.
"""

from __future__ import annotations

import json
import os
import time
import uuid

from apache_beam.io.filesystems import FileSystems

from components.champion.selection import SAVED_MODEL, Choice, Verdict
from components.champion.selection import champion as choose

_SUFFIX = ".json"


def record(folder: str, model_uri: str, blessed: bool) -> None:
    """Add a verdict; an object store or a rename makes it appear whole."""
    verdict = Verdict(model_uri, blessed, time.time_ns())
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    name = f"{verdict.issued:020d}-{uuid.uuid4().hex[:8]}"
    temporary = FileSystems.join(folder, name + ".part")
    with FileSystems.create(temporary, mime_type="application/json") as file:
        fields = {"model_uri": model_uri, "blessed": blessed, "issued": verdict.issued}
        file.write(json.dumps(fields).encode())
    FileSystems.rename([temporary], [FileSystems.join(folder, name + _SUFFIX)])


def read(folder: str) -> list[Verdict]:
    """Return the verdicts in a folder, the oldest first; none if the folder does not exist.

    Raises:
      ValueError: a file is no verdict.
      BeamIOError: the folder cannot be listed. Without verdicts a model would pass without a comparison.
    """
    found = FileSystems.match([FileSystems.join(folder, "*" + _SUFFIX)])[0].metadata_list
    return [_read(file.path) for file in sorted(found, key=lambda file: file.path)]


def champion(folder: str, challenger_uri: str) -> Choice:
    """Find the model that was blessed last, other than the challenger, and whose files are there."""
    return choose(
        read(folder), challenger_uri, lambda uri: FileSystems.exists(os.path.join(str(uri), SAVED_MODEL))
    )


def _read(path: str) -> Verdict:
    with FileSystems.open(path) as file:
        text = file.read()
    try:
        fields = json.loads(text)
        return Verdict(str(fields["model_uri"]), bool(fields["blessed"]), int(fields["issued"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be a verdict that an Evaluator wrote (model_uri, blessed, issued); it cannot be "
            f"read: {error!r}. Restore it, or delete it, which withdraws the verdict."
        ) from error
