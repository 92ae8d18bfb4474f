"""Vertex AI: send requests, and turn responses and errors into lines for a user."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import google.auth.exceptions
from google.api_core import exceptions, retry
from google.cloud import aiplatform_v1 as api

from runners.kubeflow import vertex_requests as requests
from runners.kubeflow.plan import Run, Schedule, ServiceError, one_line

_TIMEOUT = 60.0  # Seconds that one call may take.
# For requests that only read, which are sent again while the service is unavailable.
_AGAIN = retry.Retry(
    predicate=retry.if_exception_type(exceptions.ServiceUnavailable), initial=1, maximum=10, timeout=_TIMEOUT
)

_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (
        google.auth.exceptions.GoogleAuthError,
        "Log in with `gcloud auth application-default login`, or name a service account's key file in "
        "GOOGLE_APPLICATION_CREDENTIALS.",
    ),
    (exceptions.Unauthenticated, "Log in anew with `gcloud auth application-default login`."),
    (
        exceptions.PermissionDenied,
        "Request the role roles/aiplatform.user in the project, and roles/iam.serviceAccountUser on the "
        "service account that steps run as; and see that the Vertex AI API is enabled.",
    ),
    (exceptions.ResourceExhausted, "Wait, request a higher quota, or choose another --region."),
    (exceptions.AlreadyExists, "Choose another --run-id."),
    (exceptions.NotFound, "See what there is with `status`; check --project and --region."),
    (
        exceptions.DeadlineExceeded,
        "It is not known whether this was done: see `status` before you repeat the command.",
    ),
    (exceptions.ServiceUnavailable, "Try again later; check --region and the network."),
    (exceptions.InvalidArgument, "Correct what it names."),
)


@dataclasses.dataclass(frozen=True)
class Clients:
    """The service's own clients."""

    pipelines: api.PipelineServiceClient
    schedules: api.ScheduleServiceClient


def connect(region: str) -> Clients:
    """Make clients of a region's endpoint, with the credentials that the machine has.

    Raises:
      ServiceError: the machine has no credentials.
    """
    options = {"api_endpoint": f"{region}-aiplatform.googleapis.com"}
    with _in_words("connect to Vertex AI"):
        return Clients(
            api.PipelineServiceClient(client_options=options),
            api.ScheduleServiceClient(client_options=options),
        )


class Vertex:
    """Runs and schedules of a project in a region."""

    def __init__(self, clients: Clients, project: str, region: str) -> None:
        """Send requests with `clients`."""
        self._clients = clients
        self._project = project
        self._region = region
        self._parent = requests.parent(project, region)

    def submit(self, run: Run) -> str:
        """Begin a run; return where it can be watched."""
        with _in_words(f"begin the run {run.run_id}"):
            job = self._clients.pipelines.create_pipeline_job(
                requests.create_run(run, self._parent), timeout=_TIMEOUT
            )
        return f"{job.name}\n{self._page('runs', run.run_id)}"

    def schedule(self, run: Run, schedule: Schedule) -> str:
        """Make a schedule; return where it can be watched."""
        with _in_words(f"make the schedule {schedule.name}"):
            if self._schedules(schedule.name):
                raise ServiceError(
                    f"A schedule's name must be new; {schedule.name} exists in {self._parent}. Delete that "
                    "one with `delete`, or choose another --name."
                )
            made = self._clients.schedules.create_schedule(
                requests.create_schedule(run, schedule, self._parent), timeout=_TIMEOUT
            )
        return f"{made.name}\n{self._page('schedules', made.name.rpartition('/')[2])}"

    def status(self, name: str, pipeline_name: str, limit: int) -> list[str]:
        """Describe the newest runs of a pipeline, and its schedule, a line each."""
        with _in_words(f"list runs of {pipeline_name}"):
            found = self._clients.pipelines.list_pipeline_jobs(
                api.ListPipelineJobsRequest(
                    parent=self._parent,
                    filter=f'pipeline_name="{pipeline_name}"',
                    order_by="create_time desc",
                    page_size=limit,
                ),
                retry=_AGAIN,
                timeout=_TIMEOUT,
            )
            jobs = list(next(found.pages).pipeline_jobs)
            schedules = self._schedules(name)
        return [_run_line(job) for job in jobs] + [_schedule_line(schedule) for schedule in schedules]

    def pause(self, name: str) -> str:
        """Let a schedule begin no more runs; a run that has begun goes on."""
        with _in_words(f"pause the schedule {name}"):
            self._clients.schedules.pause_schedule(name=self._only(name).name, timeout=_TIMEOUT)
        return f"paused {name}; `resume` lets it go on"

    def resume(self, name: str, catch_up: bool) -> str:
        """Let a paused schedule go on; with `catch_up` the runs that were missed are begun too."""
        request = {"catch_up": catch_up}
        with _in_words(f"resume the schedule {name}"):
            self._clients.schedules.resume_schedule(
                {"name": self._only(name).name, **request}, timeout=_TIMEOUT
            )
        return f"resumed {name}"

    def delete(self, name: str) -> str:
        """Delete a schedule; its runs stay."""
        with _in_words(f"delete the schedule {name}"):
            self._clients.schedules.delete_schedule(name=self._only(name).name, timeout=_TIMEOUT).result(
                timeout=_TIMEOUT
            )
        return f"deleted {name}"

    def _schedules(self, name: str) -> list[api.Schedule]:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        request = api.ListSchedulesRequest(parent=self._parent, filter=f'display_name="{quoted}"')
        return list(self._clients.schedules.list_schedules(request, retry=_AGAIN, timeout=_TIMEOUT))

    def _only(self, name: str) -> api.Schedule:
        found = self._schedules(name)
        if len(found) != 1:
            raise ServiceError(
                f"One schedule of {self._parent} must be named {name}; {len(found)} are. See `status`, and "
                "choose with --name."
            )
        return found[0]

    def _page(self, kind: str, name: str) -> str:
        return (
            f"https://console.cloud.google.com/vertex-ai/pipelines/locations/{self._region}/{kind}/{name}"
            f"?project={self._project}"
        )


@contextlib.contextmanager
def _in_words(purpose: str) -> Iterator[None]:
    """Turn an error of the service or of its client into one line with a remedy."""
    try:
        yield
    except (
        exceptions.GoogleAPICallError,
        exceptions.RetryError,
        google.auth.exceptions.GoogleAuthError,
    ) as e:
        cause = e.cause if isinstance(e, exceptions.RetryError) and e.cause else e
        reason = cause.message if isinstance(cause, exceptions.GoogleAPICallError) else cause
        remedy = next((words for kind, words in _REMEDIES if isinstance(cause, kind)), "")
        kind = type(cause).__name__
        raise ServiceError(f"Vertex AI must {purpose}; {kind}: {one_line(reason)}. {remedy}".rstrip()) from e


def _run_line(job: api.PipelineJob) -> str:
    began = f"{job.create_time:%Y-%m-%d %H:%M}Z" if job.create_time else ""
    state = job.state.name.removeprefix("PIPELINE_STATE_").lower()
    line = f"run {job.name.rpartition('/')[2]}  {state}  {began}"
    failed = [
        f"{task.task_name}: {one_line(task.error.message)}"
        for task in job.job_detail.task_details
        if task.error.message
    ]
    reasons = failed or ([one_line(job.error.message)] if job.error.message else [])
    return "  ".join([line, *reasons]).rstrip()


def _schedule_line(schedule: api.Schedule) -> str:
    following = f"  next {schedule.next_run_time:%Y-%m-%d %H:%M}Z" if schedule.next_run_time else ""
    return f"schedule {schedule.display_name}  {schedule.state.name.lower()}  {schedule.cron}{following}"
