"""Requests to Vertex AI, as its own messages. Pure: nothing is sent, and no credentials are needed."""

from __future__ import annotations

from typing import Any

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format

from runners.kubeflow.plan import Run, Schedule


def parent(project: str, region: str) -> str:
    """Name the parent resource of runs and schedules."""
    return f"projects/{project}/locations/{region}"


def pipeline_job(run: Run) -> api.PipelineJob:
    """Describe a run.

    Raises:
      google.protobuf.json_format.ParseError: the job is not a PipelineJob.
    """
    job: dict[str, Any] = {
        **run.job,
        "displayName": run.run_id,
        "runtimeConfig": {
            **run.job.get("runtimeConfig", {}),
            "parameterValues": dict(run.parameters),
            # Steps that do not depend on one that failed go on: they are in the cache of the next run.
            "failurePolicy": "PIPELINE_FAILURE_POLICY_FAIL_SLOW",
        },
    }
    if run.service_account:
        job["serviceAccount"] = run.service_account
    message = api.PipelineJob.pb(api.PipelineJob())
    return api.PipelineJob.wrap(json_format.ParseDict(job, message))


def create_run(run: Run, location: str) -> api.CreatePipelineJobRequest:
    """Make the request that begins a run."""
    return api.CreatePipelineJobRequest(
        parent=location, pipeline_job=pipeline_job(run), pipeline_job_id=run.run_id
    )


def create_schedule(run: Run, schedule: Schedule, location: str) -> api.CreateScheduleRequest:
    """Make the request for a schedule; the service names each run after the pipeline and its time."""
    job = pipeline_job(run)
    job.display_name = schedule.name
    message = api.Schedule(
        display_name=schedule.name,
        cron=f"TZ={schedule.time_zone} {schedule.cron}",
        start_time=schedule.start,
        end_time=schedule.end,
        # The first limits how many are being started, the second how many run.
        max_concurrent_run_count=1,
        max_concurrent_active_run_count=1,
        # A run that is due while another one runs is begun when that has ended, not dropped.
        allow_queueing=True,
        create_pipeline_job_request=api.CreatePipelineJobRequest(parent=location, pipeline_job=job),
    )
    return api.CreateScheduleRequest(parent=location, schedule=message)
