"""A pipeline in KFP's own language that sends a mail when it has ended. KFP reads annotations as objects."""

from typing import List  # noqa: UP035  KFP knows this one.

from kfp import dsl

from runners.kubeflow import finishing


@dsl.container_component
def notification_email(recipients: List[str], pipeline_task_final_status: dsl.PipelineTaskFinalStatus):  # noqa: UP006
    """Do as google_cloud_pipeline_components' VertexNotificationEmailOp."""
    return dsl.ContainerSpec(**finishing._EMAIL_CONTAINER)


@dsl.container_component
def step():
    """Do something."""
    return dsl.ContainerSpec(image="i")


@dsl.pipeline(name="p")
def pipeline():
    """Mail after the step."""
    with dsl.ExitHandler(notification_email(recipients=["a@b.org"]), name="pipeline-steps"):
        step()
