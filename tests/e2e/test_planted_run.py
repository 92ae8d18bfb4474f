"""What a run leaves is gone on with: after kills, and by TFX's own command line."""

from __future__ import annotations

import os
import pathlib
import re
import sys

import pytest

from pipeline import config
from tests import warm_python
from tests.e2e.conftest import EXECUTED, steps, succeeded
from tests.planted_pipeline import PlantedPipeline

pytestmark = pytest.mark.e2e

# local_runner.py takes no flags from TFX's command line.
WITH_FLAGS = """
import runpy, sys
sys.argv[1:] = {flags}
runpy.run_path({script}, run_name="__main__")
"""


def test_a_run_killed_twice_is_run_again_and_completes(planted_pipeline: PlantedPipeline) -> None:
    output = planted_pipeline.output
    assert {"MovieLensExampleGen", "Transform", "Trainer.multitask"} <= steps(output, "cached")
    assert {"Trainer.ranking", "Trainer.retrieval", "IndexPusher"} <= steps(output, "run")
    assert "Pushed version 1" in output
    assert "Recommended to user 42" in output


def test_tfxs_own_command_line_creates_and_runs_it(
    planted_pipeline: PlantedPipeline, tmp_path: pathlib.Path
) -> None:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path, "LOCAL_HOME": str(tmp_path / "home")}
    environ["PYTHONPATH"] = str(warm_python.ROOT)
    script = tmp_path / "pipeline.py"
    runner, flags = str(warm_python.ROOT / "local_runner.py"), planted_pipeline.flags
    script.write_text(WITH_FLAGS.format(script=repr(runner), flags=flags))

    def tfx(*arguments: str) -> str:
        line = ["-m", "tfx.tools.cli.cli_main", *arguments, "--engine=local"]
        return succeeded(warm_python.run(line, tmp_path, environ))

    name = config.default().pipeline_name
    created = tfx("pipeline", "create", f"--pipeline_path={script}")
    assert f'Pipeline "{name}" created successfully.' in created
    output = tfx("run", "create", f"--pipeline_name={name}")
    assert steps(output, "cached") >= EXECUTED - {"IndexPusher"}
    assert re.search(r"published +before: the same models", output)
