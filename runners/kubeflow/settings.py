"""How a platform runs a pipeline: image, folders, resources, retries. The runner fills it in from flags.

Standard library and pydantic only.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import Any, Literal

import pydantic

from runners import paths, secrets

Platform = Literal["vertex", "kubeflow"]

_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}")
_RESOURCES = "STEP=cpu:8,memory:32,accelerator:NVIDIA_TESLA_T4:1"


class Resources(pydantic.BaseModel):
    """Resources of a step's container; the platform chooses a machine that has them."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Glob of node ids, such as Trainer.*.
    step: str = pydantic.Field(min_length=1)
    # Cores, above 0.
    cpu: float | None = pydantic.Field(None, gt=0)
    # GB, above 0.
    memory: float | None = pydantic.Field(None, gt=0)
    # Type of accelerator by the platform's name for it, such as NVIDIA_TESLA_T4.
    accelerator: str | None = None
    # How many of them, 1 or more.
    count: int = pydantic.Field(1, ge=1)

    def applies(self, node_id: str) -> bool:
        """Return whether these resources are for a step."""
        return fnmatch.fnmatchcase(node_id, self.step)


class Settings(pydantic.BaseModel):
    """How the steps of a compiled pipeline run."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    platform: Platform = "vertex"
    # The container image of every step, best with a digest.
    image: str = pydantic.Field(min_length=1)
    # Folder for artifacts, of an object store.
    pipeline_root: str = pydantic.Field(pattern=r"^[a-z0-9]+://[^/]+")
    # Input folder and destination, unless a run names others.
    data_root: str = pydantic.Field(min_length=1)
    push_destination: str = pydantic.Field(min_length=1)
    # Whether steps may be served from earlier runs.
    caching: bool = True
    # How often a step that failed is tried again, 0 or more.
    retries: int = pydantic.Field(2, ge=0)
    # Seconds before the first retry, doubled each time, at most an hour.
    backoff: int = pydantic.Field(60, ge=1)
    # If several match one step, the last one is used.
    resources: tuple[Resources, ...] = ()
    # Addresses that get a mail when a run has ended, also if it failed; only on Vertex AI.
    notify: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    # Flags of Beam for the steps that run on it.
    beam_pipeline_args: tuple[str, ...] = ()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _holds_no_secret(cls, values: Any) -> Any:
        # Before the fields are validated, because their errors print what they received.
        for value in values.values():
            several = value if isinstance(value, tuple) else (value,)
            secrets.reject(text for text in several if isinstance(text, str))
        return values

    @pydantic.field_validator("pipeline_root", "data_root", "push_destination")
    @classmethod
    def _are_no_patterns(cls, path: str, info: pydantic.ValidationInfo) -> str:
        paths.require_plain(path, str(info.field_name))
        return path

    @pydantic.field_validator("notify")
    @classmethod
    def _are_addresses(cls, notify: tuple[str, ...]) -> tuple[str, ...]:
        for address in notify:
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
                raise ValueError(f"notify must be an address such as a@b.org; received {address!r}")
        return notify

    @pydantic.model_validator(mode="after")
    def _platform_has_it(self) -> Settings:
        if self.platform == "kubeflow" and self.notify:
            raise ValueError("notify is a service of Vertex AI; on Kubeflow, leave --notify out")
        if self.platform == "kubeflow" and self.labels:
            raise ValueError("labels are Vertex AI's; on Kubeflow, leave --label out")
        return self


def parse_resources(text: str) -> Resources:
    """Read the resources of a step as a flag writes them.

    Raises:
      ValueError: the text has another form, or a value is out of range.

    >>> parse_resources("Trainer.*=cpu:8,memory:32,accelerator:NVIDIA_TESLA_T4:2").count
    2
    """
    step, equals, rest = text.partition("=")
    fields: dict[str, str] = {"step": step}
    for part in rest.split(","):
        key, _, value = part.partition(":")
        if key == "accelerator":
            value, _, count = value.partition(":")
            fields["count"] = count or "1"
        fields[key] = value
    try:
        if not equals or not fields.keys() - {"step"}:
            raise ValueError("a step and what it may use")
        return Resources.model_validate(fields)
    except ValueError as error:
        raise ValueError(f"--resources must be written like {_RESOURCES}; received {text!r}") from error


def parse_labels(labels: Iterable[str]) -> dict[str, str]:
    """Read labels as flags write them.

    Raises:
      ValueError: Google Cloud would not take one.

    >>> parse_labels(["team=recsys"])
    {'team': 'recsys'}
    """
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise ValueError(
                "--label must be KEY=VALUE of lower-case letters, digits, - and _, 63 of them at most, the "
                f"key beginning with a letter; received {label!r}"
            )
    return dict(label.split("=") for label in labels)
