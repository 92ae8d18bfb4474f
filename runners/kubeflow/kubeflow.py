"""Kubeflow Pipelines: send requests, and turn responses and errors into lines for a user."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from typing import Any

import kfp_server_api as api
import urllib3.exceptions

from runners import secrets
from runners.kubeflow.plan import Run, Schedule, ServiceError, one_line

# Seconds until connected, and until answered. The client would ignore a single number that is no int.
_TIMEOUT = (10.0, 60.0)

_REMEDIES = {
    **dict.fromkeys((301, 302, 303, 307, 308), "Give the address that it redirects to as --host."),
    400: "Correct what it names.",
    401: "Put a valid token into KF_PIPELINES_TOKEN.",
    403: "Request the role kubeflow-edit in the --namespace.",
    404: "Check --host and --namespace.",
    409: "Choose another name.",
    429: "Wait, or request a higher quota.",
    503: "Try again later.",
    504: "It is not known whether this was done: see `status` before you repeat the command.",
}


@dataclasses.dataclass(frozen=True)
class Clients:
    """The service's own clients."""

    runs: api.RunServiceApi
    recurring: api.RecurringRunServiceApi
    experiments: api.ExperimentServiceApi


def connect(host: str, token: str = "") -> Clients:
    """Make clients of an endpoint; nothing is sent yet.

    Raises:
      ValueError: the token would be sent unencrypted to another machine.
    """
    configuration = api.Configuration(host=host.rstrip("/"))
    configuration.retries = False
    if token:
        secrets.require_private(host)
        configuration.api_key = {"authorization": token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    client = api.ApiClient(configuration)
    # A redirect turns the POST that begins a run into a GET, and may leave TLS.
    pool = client.rest_client.pool_manager
    pool.urlopen = functools.partial(pool.urlopen, redirect=False)
    return Clients(
        api.RunServiceApi(client), api.RecurringRunServiceApi(client), api.ExperimentServiceApi(client)
    )


def run_request(run: Run, experiment_id: str) -> api.V2beta1Run:
    """Describe a run."""
    return api.V2beta1Run(
        experiment_id=experiment_id,
        display_name=run.run_id,
        pipeline_spec=run.job["pipelineSpec"],
        runtime_config=_runtime(run),
        service_account=run.service_account or None,
    )


def recurring_request(run: Run, schedule: Schedule, experiment_id: str) -> api.V2beta1RecurringRun:
    """Describe a recurring run; its hours are in the controller's time zone, UTC by default."""
    return api.V2beta1RecurringRun(
        experiment_id=experiment_id,
        display_name=schedule.name,
        pipeline_spec=run.job["pipelineSpec"],
        runtime_config=_runtime(run),
        service_account=run.service_account or None,
        trigger=api.V2beta1Trigger(
            cron_schedule=api.V2beta1CronSchedule(
                start_time=schedule.start,
                end_time=schedule.end,
                cron=f"0 {schedule.cron}",  # Seconds come first.
            )
        ),
        max_concurrency="1",
        mode=api.RecurringRunMode.ENABLE,
        # After a pause, one run on the newest data, not one for each time that was missed.
        no_catchup=True,
    )


class Kubeflow:
    """Runs and recurring runs of a namespace."""

    def __init__(self, clients: Clients, host: str, namespace: str, experiment: str) -> None:
        """Send requests with `clients`; all runs go into one experiment."""
        self._clients = clients
        self._host = host.rstrip("/")
        self._namespace = namespace
        self._experiment = experiment

    def submit(self, run: Run) -> str:
        """Begin a run; return where it can be watched."""
        with _in_words(f"begin the run {run.run_id}"):
            self._require_new("run", self._runs(run.run_id), run.run_id, "--run-id")
            made = self._clients.runs.create_run(
                run_request(run, self._experiment_id()), _request_timeout=_TIMEOUT
            )
        return f"{made.run_id}\n{self._host}/#/runs/details/{made.run_id}"

    def schedule(self, run: Run, schedule: Schedule) -> str:
        """Make a recurring run; return where it can be watched."""
        with _in_words(f"make the schedule {schedule.name}"):
            self._require_new("schedule", self._recurring(schedule.name), schedule.name, "--name")
            made = self._clients.recurring.create_recurring_run(
                recurring_request(run, schedule, self._experiment_id()), _request_timeout=_TIMEOUT
            )
        return f"{made.recurring_run_id}\n{self._host}/#/recurringrun/details/{made.recurring_run_id}"

    def status(self, name: str, pipeline_name: str, limit: int) -> list[str]:
        """Describe the newest runs of a pipeline, and its schedule, a line each."""
        runs: list[Any] = []
        with _in_words(f"list runs of {pipeline_name}"):
            if experiment_id := self._find_experiment():
                listed = self._clients.runs.list_runs(
                    namespace=self._namespace,
                    experiment_id=experiment_id,
                    sort_by="created_at desc",
                    page_size=limit,
                    _request_timeout=_TIMEOUT,
                )
                runs = listed.runs or []
            recurring = self._recurring(name)
        return [_run_line(run) for run in runs] + [_recurring_line(each) for each in recurring]

    def pause(self, name: str) -> str:
        """Let a recurring run begin no more runs; a run that has begun goes on."""
        with _in_words(f"pause the schedule {name}"):
            self._clients.recurring.disable_recurring_run(self._only(name), _request_timeout=_TIMEOUT)
        return f"paused {name}; `resume` lets it go on"

    def resume(self, name: str, catch_up: bool) -> str:
        """Let a paused recurring run go on.

        Raises:
          ValueError: `catch_up`, which Kubeflow takes only when a recurring run is made.
        """
        if catch_up:
            raise ValueError("Kubeflow begins no runs that were missed; leave --catch-up out")
        with _in_words(f"resume the schedule {name}"):
            self._clients.recurring.enable_recurring_run(self._only(name), _request_timeout=_TIMEOUT)
        return f"resumed {name}"

    def delete(self, name: str) -> str:
        """Delete a recurring run; its runs stay."""
        with _in_words(f"delete the schedule {name}"):
            self._clients.recurring.delete_recurring_run(self._only(name), _request_timeout=_TIMEOUT)
        return f"deleted {name}"

    def _find_experiment(self) -> str | None:
        listed = self._clients.experiments.list_experiments(
            namespace=self._namespace, filter=_named(self._experiment), _request_timeout=_TIMEOUT
        )
        return listed.experiments[0].experiment_id if listed.experiments else None

    def _experiment_id(self) -> str:
        if found := self._find_experiment():
            return found
        body = api.V2beta1Experiment(display_name=self._experiment, namespace=self._namespace)
        return self._clients.experiments.create_experiment(body, _request_timeout=_TIMEOUT).experiment_id

    def _runs(self, name: str) -> list[Any]:
        listed = self._clients.runs.list_runs(
            namespace=self._namespace, filter=_named(name), _request_timeout=_TIMEOUT
        )
        return listed.runs or []

    def _recurring(self, name: str) -> list[Any]:
        listed = self._clients.recurring.list_recurring_runs(
            namespace=self._namespace, filter=_named(name), _request_timeout=_TIMEOUT
        )
        return listed.recurring_runs or []

    def _only(self, name: str) -> str:
        found = self._recurring(name)
        if len(found) != 1:
            raise ServiceError(
                f"One schedule in the namespace {self._namespace} must be named {name}; {len(found)} are. "
                "See `status`, and choose with --name."
            )
        return found[0].recurring_run_id

    def _require_new(self, kind: str, found: list[Any], name: str, flag: str) -> None:
        if found:
            raise ServiceError(
                f"A {kind}'s name must be new; {name} exists in the namespace {self._namespace}. Choose "
                f"another {flag}."
            )


def _runtime(run: Run) -> api.V2beta1RuntimeConfig:
    return api.V2beta1RuntimeConfig(
        parameters=dict(run.parameters), pipeline_root=run.job["runtimeConfig"]["gcsOutputDirectory"]
    )


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


@contextlib.contextmanager
def _in_words(purpose: str) -> Iterator[None]:
    """Turn an error of the service or of its client into one line with a remedy."""
    try:
        yield
    except api.ApiException as error:
        remedy = _REMEDIES.get(error.status, "")
        reason = f"{error.status} {_message(error)}"
        raise ServiceError(f"Kubeflow must {purpose}; {reason}. {remedy}".rstrip()) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise ServiceError(f"Kubeflow must {purpose}; it did not answer in time. {_REMEDIES[504]}") from error
    except urllib3.exceptions.HTTPError as error:
        reason = one_line(error)
        raise ServiceError(f"Kubeflow must {purpose}; {reason}. Check --host and the network.") from error


def _message(error: api.ApiException) -> str:
    try:
        return one_line(json.loads(error.body)["error"])
    except (ValueError, TypeError, KeyError):
        return one_line(error.reason)


def _run_line(run: Any) -> str:
    began = f"{run.created_at:%Y-%m-%d %H:%M}Z" if run.created_at else ""
    failed = f"  {one_line(run.error.message)}" if run.error and run.error.message else ""
    return f"run {run.display_name}  {(run.state or '').lower()}  {began}{failed}".rstrip()


def _recurring_line(recurring: Any) -> str:
    cron = recurring.trigger.cron_schedule.cron if recurring.trigger else ""
    return f"schedule {recurring.display_name}  {(recurring.status or '').lower()}  {cron}".rstrip()
