"""A run and a schedule, in the form that both platforms' requests are made from. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

# Vertex AI's rule for ids of runs; Kubeflow takes them too.
_RUN_ID = re.compile(r"[a-z][a-z0-9-]{0,127}")

Value = str | int | float
# Run-time parameters: where the data are, and how many spans a run reads.
DATA_ROOT, WINDOW = "data_root", "window"


class ServiceError(Exception):
    """The platform did not carry out a request; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a compiled pipeline.

    Attributes:
      run_id: its name.
      job: the compiled job, see compiling.compile_job.
      parameters: run-time parameters that differ from the job's defaults.
      service_account: account that its steps run as; empty for the platform's default.
    """

    run_id: str
    job: Mapping[str, Any]
    parameters: Mapping[str, Value]
    service_account: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if no platform would take the name."""
        if not _RUN_ID.fullmatch(self.run_id):
            raise ValueError(
                "A run's id must be up to 128 lower-case letters, digits and hyphens, beginning with a "
                f"letter; received {self.run_id!r}"
            )


class Schedule(pydantic.BaseModel):
    """When runs begin, one at a time: two at once would both be compared with one champion, and pushed."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Name, unique among the pipeline's schedules.
    name: str = pydantic.Field(min_length=1, max_length=128)
    # Minute, hour, day of month, month, day of week, as retraining.schedule.Schedule.numbers writes them.
    cron: str
    # Name of a zone in the IANA's database.
    time_zone: str = "UTC"
    # First and last time; None for now and for no end.
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None

    @pydantic.field_validator("start", "end")
    @classmethod
    def _has_offset(cls, time: datetime.datetime | None) -> datetime.datetime | None:
        if time is not None and time.tzinfo is None:
            raise ValueError(f"it must have an offset, such as 2030-01-31T06:00:00Z; received {time}")
        return time


def parameter_values(job: Mapping[str, Any], given: Iterable[str]) -> dict[str, Value]:
    """Read run-time parameters as flags write them, NAME=VALUE.

    Raises:
      ValueError: the pipeline has no such parameter, or the value is not allowed.
    """
    known = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    values: dict[str, Value] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if name == DATA_ROOT and name not in known:
            raise ValueError(
                f"--param {name} must be left out where the data are your own, for the pipeline is named "
                f"after their folder: name it with --data; received {text!r}"
            )
        if not equals or name not in known:
            raise ValueError(
                f"--param must be NAME=VALUE of one of {', '.join(sorted(known))}; received {text!r}"
            )
        values[name] = value
        if known[name]["parameterType"] == "NUMBER_INTEGER":
            if not re.fullmatch("[0-9]+", value):
                raise ValueError(f"--param {name} must be a whole number, 0 or more; received {value!r}")
            values[name] = int(value)
            if name == WINDOW and values[name] == 1:
                raise ValueError(
                    f"--param {name} must be 2 spans or more, of which the newest is eval, or 0 for as "
                    f"configured; received {value!r}"
                )
    return values


def one_line(text: object) -> str:
    """Put a service's message on one line, without its full stop."""
    return " ".join(str(text).split()).rstrip(".")
