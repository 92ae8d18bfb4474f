"""Vertex AI's pipeline and schedule services on loopback: their own messages, over gRPC, with a memory.

It rejects what the service rejects: undeclared parameters, a root outside Cloud Storage, an id used before.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.cloud import aiplatform_v1 as api
from google.cloud.aiplatform_v1.services.pipeline_service.transports import PipelineServiceGrpcTransport
from google.cloud.aiplatform_v1.services.schedule_service.transports import ScheduleServiceGrpcTransport
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from runners.kubeflow.vertex import Clients

_PACKAGE = "google.cloud.aiplatform.v1"
_RUN_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")


class FakeVertex:
    """The services' memory.

    Attributes:
      jobs, schedules: what was created, by name.
      fault: where set, every call ends with it: a status and a message.
      delay: seconds that every call takes.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, api.PipelineJob] = {}
        self.schedules: dict[str, api.Schedule] = {}
        self.fault: tuple[grpc.StatusCode, str] | None = None
        self.delay = 0.0
        self.calls: list[str] = []

    def create_pipeline_job(self, request: Any, context: grpc.ServicerContext) -> api.PipelineJob:
        if not _RUN_ID.fullmatch(request.pipeline_job_id):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"invalid id {request.pipeline_job_id}")
        name = f"{request.parent}/pipelineJobs/{request.pipeline_job_id}"
        if name in self.jobs:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"PipelineJob {name} already exists.")
        self._check(request.pipeline_job, context)
        job = api.PipelineJob(request.pipeline_job)
        job.name, job.state = name, api.PipelineState(api.PipelineState.PIPELINE_STATE_PENDING)
        self.jobs[name] = job
        return job

    def list_pipeline_jobs(self, request: Any, context: grpc.ServicerContext) -> api.ListPipelineJobsResponse:
        wanted = request.filter.removeprefix('pipeline_name="').removesuffix('"')
        found = [j for j in self.jobs.values() if j.pipeline_spec["pipelineInfo"]["name"] == wanted]
        return api.ListPipelineJobsResponse(pipeline_jobs=found[::-1][: request.page_size])

    def create_schedule(self, request: Any, context: grpc.ServicerContext) -> api.Schedule:
        inner = request.schedule.create_pipeline_job_request
        if not re.fullmatch(r"TZ=\S+( \S+){5}", request.schedule.cron) or inner.parent != request.parent:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"invalid schedule {request.schedule.cron}")
        self._check(inner.pipeline_job, context)
        schedule = api.Schedule(request.schedule)
        schedule.name = f"{request.parent}/schedules/{len(self.schedules) + 1}"
        schedule.state = api.Schedule.State(api.Schedule.State.ACTIVE)
        self.schedules[schedule.name] = schedule
        return schedule

    def list_schedules(self, request: Any, context: grpc.ServicerContext) -> api.ListSchedulesResponse:
        wanted = request.filter.removeprefix('display_name="').removesuffix('"')
        found = [each for each in self.schedules.values() if each.display_name == wanted]
        return api.ListSchedulesResponse(schedules=found)

    def pause_schedule(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self.schedules[request.name].state = api.Schedule.State(api.Schedule.State.PAUSED)
        return empty_pb2.Empty()

    def resume_schedule(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self.schedules[request.name].state = api.Schedule.State(api.Schedule.State.ACTIVE)
        self.schedules[request.name].catch_up = request.catch_up
        return empty_pb2.Empty()

    def delete_schedule(self, request: Any, context: grpc.ServicerContext) -> operations_pb2.Operation:
        del self.schedules[request.name]
        response = any_pb2.Any()
        response.Pack(empty_pb2.Empty())
        return operations_pb2.Operation(name=request.name + "/operations/1", done=True, response=response)

    def _check(self, job: api.PipelineJob, context: grpc.ServicerContext) -> None:
        """Reject what no run could be made of."""
        plain = json_format.MessageToDict(api.PipelineJob.pb(job))
        spec = json_format.ParseDict(plain["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
        given = set(job.runtime_config.parameter_values)
        unknown = given - set(spec.root.input_definitions.parameters)
        if unknown:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unknown parameters {sorted(unknown)}")
        if not job.runtime_config.gcs_output_directory.startswith("gs://"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the output directory must begin with gs://")

    def _handle(self, name: str, reply: Any, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls.append(name)
        time.sleep(self.delay)
        if self.fault:
            context.abort(*self.fault)
        return reply(request, context)


_METHODS = {
    "PipelineService": {
        "CreatePipelineJob": ("create_pipeline_job", api.CreatePipelineJobRequest, api.PipelineJob.serialize),
        "ListPipelineJobs": (
            "list_pipeline_jobs",
            api.ListPipelineJobsRequest,
            api.ListPipelineJobsResponse.serialize,
        ),
    },
    "ScheduleService": {
        "CreateSchedule": ("create_schedule", api.CreateScheduleRequest, api.Schedule.serialize),
        "ListSchedules": ("list_schedules", api.ListSchedulesRequest, api.ListSchedulesResponse.serialize),
        "PauseSchedule": ("pause_schedule", api.PauseScheduleRequest, empty_pb2.Empty.SerializeToString),
        "ResumeSchedule": ("resume_schedule", api.ResumeScheduleRequest, empty_pb2.Empty.SerializeToString),
        "DeleteSchedule": (
            "delete_schedule",
            api.DeleteScheduleRequest,
            operations_pb2.Operation.SerializeToString,
        ),
    },
}


@contextlib.contextmanager
def serving(fake: FakeVertex) -> Iterator[Clients]:
    """Serve on a free port of loopback; give clients of it."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    for service, methods in _METHODS.items():
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                lambda request, context, name=name, function=function: fake._handle(
                    name, getattr(fake, function), request, context
                ),
                request_deserializer=request_type.deserialize,
                response_serializer=serializer,
            )
            for name, (function, request_type, serializer) in methods.items()
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(f"{_PACKAGE}.{service}", handlers),)
        )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Clients(
                api.PipelineServiceClient(transport=PipelineServiceGrpcTransport(channel=channel)),
                api.ScheduleServiceClient(transport=ScheduleServiceGrpcTransport(channel=channel)),
            )
    finally:
        server.stop(None)
