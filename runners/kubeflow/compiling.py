"""Compile the pipeline into a job for Vertex AI or Kubeflow. Imports TFX, which takes seconds."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import yaml
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)

from modules.hyperparameters import GradientConfig
from pipeline.config import Config
from pipeline.pipeline import create_pipeline
from runners.kubeflow import finishing
from runners.kubeflow.plan import DATA_ROOT, WINDOW
from runners.kubeflow.report_component import report_component
from runners.kubeflow.settings import Settings

PUSH_DESTINATION = "push_destination"


class Runner(KubeflowV2DagRunner):
    """TFX's compiler, with the job finished before it is written.

    A subclass, because TFX's own command line patches this class's `run` to learn the pipeline's name and to
    choose the file.
    """

    def __init__(self, settings: Settings, defaults: dict[str, str | int], output: pathlib.Path) -> None:
        """Compile by `settings` into `output`: `.json` holds a job, `.yaml` its specification alone."""
        config = KubeflowV2DagRunnerConfig(default_image=settings.image, use_pipeline_spec_2_1=True)
        super().__init__(config, output_dir=str(output.parent), output_filename=output.name)
        self._settings = settings
        self._defaults = defaults

    def run(
        self,
        pipeline: tfx_pipeline.Pipeline,
        parameter_values: dict[str, Any] | None = None,
        write_out: bool | None = True,
    ) -> dict[str, Any]:
        """Compile, finish, and write the file; return the job."""
        job = super().run(pipeline, parameter_values, write_out=False)
        job = finishing.finish(job, self._settings, self._defaults)
        if write_out:
            write(job, self.path)
        return job

    @property
    def path(self) -> pathlib.Path:
        """The file that is written."""
        return pathlib.Path(self._output_dir, self._output_filename)


def write(job: dict[str, Any], path: pathlib.Path) -> None:
    """Write a job, or for a name with .yaml its specification alone, which Kubeflow's pages upload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".yaml", ".yml"):
        path.write_text(yaml.safe_dump(job["pipelineSpec"], sort_keys=True), encoding="utf-8")
    else:
        path.write_text(json.dumps(job, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def compile_job(
    config: Config, settings: Settings, output: pathlib.Path
) -> tuple[dict[str, Any], pathlib.Path]:
    """Compile the pipeline of a configuration and write it.

    Runs and schedules can set these run-time parameters: `push_destination`; `data_root`, unless the pipeline
    is named after it; without tuning, `<model>_epochs` of models that are trained in epochs; and `window`, if
    data arrives as spans. For the last two 0 means as configured.

    Returns:
      The job, and the file; TFX's command line may choose another file than `output`.
    Raises:
      ValueError: a setting names a step that the pipeline does not have.
      OSError: the file cannot be written.
    """
    defaults: dict[str, str | int] = {PUSH_DESTINATION: settings.push_destination}
    data_root: str | RuntimeParameter = settings.data_root
    if not config.data.is_own:
        data_root, defaults[DATA_ROOT] = RuntimeParameter(name=DATA_ROOT, ptype=str), settings.data_root
    epochs = {}
    # A tuner chooses the epochs itself.
    if not config.tuning:
        for model, hyperparameters in config.models:
            if isinstance(hyperparameters, GradientConfig):
                epochs[model] = RuntimeParameter(name=f"{model}_epochs", ptype=int)
                defaults[f"{model}_epochs"] = 0
    window: RuntimeParameter | None = None
    if config.data.spans:
        window, defaults[WINDOW] = RuntimeParameter(name=WINDOW, ptype=int), 0
    push_destination = RuntimeParameter(name=PUSH_DESTINATION, ptype=str)
    pipeline = create_pipeline(
        config=config,
        data_root=data_root,
        pipeline_root=settings.pipeline_root,
        push_destination=push_destination,
        # The platform records runs; TFX would open an SQLite file in a bucket here, over the network.
        metadata_connection_config=None,
        beam_pipeline_args=list(settings.beam_pipeline_args),
        verdicts=f"{settings.pipeline_root.rstrip('/')}/verdicts",
        epochs=epochs,
        window=window,
        last=lambda nodes: report_component(
            nodes,
            settings.image,
            push_destination,
            config.pipeline_name,
            config.report.shows_ids(config.data.release),
        ),
    )
    runner = Runner(settings, defaults, output)
    return runner.run(pipeline), runner.path
