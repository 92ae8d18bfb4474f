"""Requests built offline, against the services' own messages."""

from __future__ import annotations

import datetime

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format

from runners.kubeflow import kubeflow, vertex_requests
from runners.kubeflow.plan import Run, Schedule

PARENT = vertex_requests.parent("a-project", "europe-west4")
START = datetime.datetime(2030, 1, 31, 6, tzinfo=datetime.timezone.utc)


def run_of(job: dict) -> Run:
    return Run("first", job, {"retrieval_epochs": 3, "data_root": "gs://b/new"}, "steps@a-project.iam")


def test_a_run_becomes_the_services_message_whole(compiled_job: dict) -> None:
    request = vertex_requests.create_run(run_of(compiled_job), PARENT)
    # Over the wire and back, as the service reads it.
    received = api.CreatePipelineJobRequest.deserialize(api.CreatePipelineJobRequest.serialize(request))
    assert (received.parent, received.pipeline_job_id) == (PARENT, "first")
    job = json_format.MessageToDict(api.PipelineJob.pb(received.pipeline_job))
    assert job["pipelineSpec"] == compiled_job["pipelineSpec"]
    assert job["labels"] == compiled_job["labels"]
    assert job["serviceAccount"] == "steps@a-project.iam"
    assert job["runtimeConfig"] == {
        "gcsOutputDirectory": "gs://a-bucket/marquee",
        "parameterValues": {"retrieval_epochs": 3.0, "data_root": "gs://b/new"},
        "failurePolicy": "PIPELINE_FAILURE_POLICY_FAIL_SLOW",
    }


def test_a_schedule_becomes_the_services_message_whole(compiled_job: dict) -> None:
    schedule = Schedule(name="weekly", cron="0 3 * * 1", time_zone="Europe/Berlin", start=START)
    request = vertex_requests.create_schedule(run_of(compiled_job), schedule, PARENT)
    received = api.CreateScheduleRequest.deserialize(api.CreateScheduleRequest.serialize(request)).schedule
    assert (received.display_name, received.cron) == ("weekly", "TZ=Europe/Berlin 0 3 * * 1")
    assert received.start_time == START and not received.end_time
    assert (received.max_concurrent_run_count, received.max_concurrent_active_run_count) == (1, 1)
    inner = received.create_pipeline_job_request
    assert inner.parent == PARENT and not inner.pipeline_job_id
    assert inner.pipeline_job.display_name == "weekly"
    assert (
        json_format.MessageToDict(api.PipelineJob.pb(inner.pipeline_job))["pipelineSpec"]
        == (compiled_job["pipelineSpec"])
    )


def test_a_recurring_run_becomes_the_apis_message_whole(compiled_job: dict) -> None:
    schedule = Schedule(name="weekly", cron="0 3 * * 1", start=START, end=START)
    request = kubeflow.recurring_request(run_of(compiled_job), schedule, "an-experiment")
    assert kubeflow.api.ApiClient().sanitize_for_serialization(request) == {
        "experiment_id": "an-experiment",
        "display_name": "weekly",
        "pipeline_spec": compiled_job["pipelineSpec"],
        "runtime_config": {
            "parameters": {"retrieval_epochs": 3, "data_root": "gs://b/new"},
            "pipeline_root": "gs://a-bucket/marquee",
        },
        "service_account": "steps@a-project.iam",
        "max_concurrency": "1",
        "mode": "ENABLE",
        "no_catchup": True,
        "trigger": {
            "cron_schedule": {
                "cron": "0 0 3 * * 1",
                "start_time": START.isoformat(),
                "end_time": START.isoformat(),
            }
        },
    }
