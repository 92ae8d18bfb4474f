"""A run on planted rows goes on from what another one left: after kills, and by TFX's command line."""

from __future__ import annotations

import html
import json
import os
import pathlib
import re
import sys

import pytest

from modules import features
from pipeline import config
from tests.e2e.conftest import EXECUTED, MODELS, steps, succeeded
from tests.helpers.planted_pipeline import PlantedPipeline
from tests.helpers.processes import warm_python
from tests.helpers.processes.warm_python import ROOT

pytestmark = pytest.mark.e2e

# TFX's command line hands no flags to local_runner.py.
WITH_FLAGS = """
import runpy, sys
sys.path.insert(0, {root})
sys.argv[1:] = {flags}
runpy.run_path({script}, run_name="__main__")
"""


def test_a_run_killed_twice_is_run_again_and_completes(planted_pipeline: PlantedPipeline) -> None:
    output = planted_pipeline.output
    assert {"MovieLensExampleGen", "Transform", "Trainer.multitask"} <= steps(output, "cached")
    assert {"Trainer.ranking", "Trainer.retrieval", "Tuner.blend", "IndexPusher"} <= steps(output, "run")
    assert "Pushed version 1" in output
    assert "Recommended to user 42" in output


def test_its_report_holds_the_figures_of_the_run(planted_pipeline: PlantedPipeline) -> None:
    name, _, path = planted_pipeline.output.splitlines()[-1].partition(": ")
    assert name == "Report"
    page = pathlib.Path(path)
    report = json.loads(page.with_name("report.json").read_text())
    manifest = json.loads((planted_pipeline.pushed / "current" / "manifest.json").read_text())
    assert report["bundle"]["version"] == 1
    assert report["bundle"]["figures"]["served_list"] == manifest["metrics"]["served_list"]
    assert {model["name"] for model in report["models"] if model["blessed"]} == set(MODELS)
    for model in report["models"]:
        assert model["training"] and model["evaluation"]["rows"] == report["data"]["counts"]["eval_rows"]
    assert sum(row["by_split"]["train"] for row in report["data"]["ratings"]) == pytest.approx(1.0)
    assert report["data"]["vocabularies"][features.USER_ID] <= report["data"]["counts"]["users"]
    assert all(len(viewer["served"]["1"]) == 10 for viewer in report["viewers"])
    text = page.read_text()
    assert manifest["metrics"]["served_list_in_words"] in html.unescape(text)
    assert text.count("<svg") >= 10
    # The runs that were killed have none.
    assert [path.name for path in page.parents[1].iterdir() if path.is_dir()] == [page.parent.name]


def test_a_changed_model_alone_is_trained_again_and_meets_the_champion(
    planted_pipeline: PlantedPipeline, tmp_path: pathlib.Path
) -> None:
    flags = list(planted_pipeline.flags)
    path = flags.index("--config") + 1
    changed = json.loads(pathlib.Path(flags[path]).read_text())
    changed["models"]["ranking"]["learning_rate"] = 1.0  # Far too high for one epoch.
    changed["index"]["blend"]["rating_weight"] = 0.25  # Tuner.blend would fit the models again.
    flags[path] = str(tmp_path / "config.json")
    (tmp_path / "config.json").write_text(json.dumps(changed))
    served = planted_pipeline.pushed / "current" / "manifest.json"
    before = served.read_bytes()
    # The other tests' run keeps the folder of reports for itself.
    line = ["local_runner.py", *flags, "--no-report"]
    output = succeeded(warm_python.run(line, timeout=warm_python.PIPELINE_SECONDS))
    again = {"Trainer.ranking", "Evaluator.ranking", "IndexPusher"}
    assert again <= steps(output, "run")
    assert EXECUTED - again <= steps(output, "cached")
    # The bound of its gate is loose; the champion is better, and stays.
    assert "ranking: not blessed: rmse must not be beaten by champion, " in " ".join(output.split())
    assert "not pushed" in output.lower()
    assert served.read_bytes() == before


def test_tfxs_own_command_line_runs_it_again_from_the_cache_and_publishes_nothing_anew(
    planted_pipeline: PlantedPipeline, tmp_path: pathlib.Path
) -> None:
    runner, with_flags = str(ROOT / "local_runner.py"), tmp_path / "with_flags.py"
    with_flags.write_text(
        WITH_FLAGS.format(root=repr(str(ROOT)), script=repr(runner), flags=planted_pipeline.flags)
    )
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    name = planted_pipeline.config.pipeline_name

    def tfx(*arguments: str, home: str) -> str:
        line = ["-m", "tfx.tools.cli.cli_main", *arguments, "--engine=local"]
        environ = {**os.environ, "PATH": path, "LOCAL_HOME": str(tmp_path / home)}
        return succeeded(warm_python.run(line, tmp_path, environ, timeout=warm_python.PIPELINE_SECONDS))

    for home, script, made in (
        ("as it is", runner, config.default().pipeline_name),
        ("with flags", with_flags, name),
    ):
        created = tfx("pipeline", "create", f"--pipeline_path={script}", home=home)
        assert f'Pipeline "{made}" created successfully.' in created
    served = planted_pipeline.pushed / "current" / "manifest.json"
    before = served.read_bytes()
    output = tfx("run", "create", f"--pipeline_name={name}", home="with flags")
    # The IndexPusher looks at its destination, which no cache can vouch for.
    assert steps(output, "cached") >= EXECUTED - {"IndexPusher"} | {"Tuner.blend"}
    assert "IndexPusher" in steps(output, "run")
    assert re.search(r"published +before: the same models", output)
    assert [path.name for path in (planted_pipeline.pushed / "bundles").iterdir()] == ["1"]
    assert served.read_bytes() == before
