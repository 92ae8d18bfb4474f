"""Data of a user's own: whose champion a run of local_runner.py meets, and which model it begins at."""

from __future__ import annotations

import json
import pathlib

import pytest

from tests.helpers.processes import warm_python

pytestmark = pytest.mark.slow("processes with TFX")

# The real command, with a small pipeline instead of the real one.
COMMAND = """
import sys, types
import local_runner

def create_pipeline(config, data_root, pipeline_root, metadata_connection_config, **_):
    from tests.runners.pipelines import judged_pipeline
    return judged_pipeline.create(
        config.pipeline_name, data_root, pipeline_root, metadata_connection_config
    )

sys.modules["pipeline.pipeline"] = types.SimpleNamespace(create_pipeline=create_pipeline)
sys.exit(local_runner.main(sys.argv[1:]))
"""
SETTINGS = {
    "release in a folder": {"data": {"release": "ml-latest-small"}},
    "release custom": {"data": {"release": "custom"}},
    "split given": {"data": {"release": "custom", "split": {"method": "given"}}},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_two_folders_do_not_meet_each_others_models_and_one_folder_does(
    settings: dict, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(settings))

    def run(folder: str, rows: str) -> str:
        """Run on a folder with these rows; returns the rows of the champion, and those of the model."""
        for path in (folder, f"{folder}/train", f"{folder}/eval"):
            (tmp_path / path).mkdir(exist_ok=True)
            for name in ("ratings.csv", "movies.csv"):
                (tmp_path / path / name).write_text(rows)
        paths = {"--config": "config.json", "--data": folder, "--pipeline-root": "runs"}
        flags = [word for flag, path in paths.items() for word in (flag, str(tmp_path / path))]
        done = warm_python.run(["-c", COMMAND, *flags])
        assert done.returncode == 0, done.stdout + done.stderr
        return (tmp_path / "runs" / "met").read_text()

    assert run("films", "f") == "none, f"
    assert run("books", "b") == "none, b"
    # Rows that are added to a folder leave it its line of models.
    assert run("films", "ff") == "f, fff"
    assert run("books/../books", "bb") == "b, bbb"
