"""The default gates on made-up data in other shapes: 10 titles to 5,000, one user to 2,000.

ml-100k, with 1,664 titles and 943 users, is in tests/e2e/test_default_run.py.
"""

from __future__ import annotations

import io
import pathlib

import ml_metadata as mlmd
import pytest
from rich.console import Console
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline, RunOptions

from benchmarks.runners import beam_paths
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.pipeline import create_pipeline
from runners.reporting import tables
from runners.reporting.summary import read_summary
from runners.running import record
from tests.helpers import planted_series
from tests.helpers.beam import eager

# The least that these data need; each pass costs the more the more titles there are.
SHORT_SEQUENCES = {"sequence": {"epochs": 1}}

pytestmark = pytest.mark.slow("each test runs Transform and trains a model")


def run(
    folder: pathlib.Path, config: Config, last: list[str], **shape: int
) -> tuple[Pipeline, list[record.Step]]:
    """Run the pipeline on made-up data up to some steps; returns it, and what was recorded.

    Args:
      folder: an empty one.
      config: the data have the format of its release.
      last: ids of the steps.
      shape: of the data, see planted_series.write.
    """
    data = planted_series.write(folder / "data", config.data.release, **shape)
    connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite"))
    pipeline = create_pipeline(
        config=config,
        data_root=str(data),
        pipeline_root=str(folder),
        push_destination="nowhere",
        metadata_connection_config=connection,
        beam_pipeline_args=list(eager.FLAGS),
    )
    LocalDagRunner().run(pipeline, RunOptions(to_nodes=last))
    return pipeline, record.latest_run(mlmd.MetadataStore(connection))


def judge(
    folder: pathlib.Path, release: str, models: dict[str, dict], preset: str = "default", **shape: int
) -> str:
    """Run the pipeline up to the Evaluators of some models; returns the summary, in one line.

    Args:
      folder: an empty one.
      release: whose format the data have.
      models: hyper-parameters that replace the preset's, by model.
      preset: of the configuration.
      shape: of the data, see planted_series.write.
    """
    changes = {"data": {"release": release}, "models": models}
    config = configuration.with_changes(configuration.PRESETS[preset](), changes)
    _, recorded = run(folder, config, [f"Evaluator.{model}" for model in models], **shape)
    stream = io.StringIO()
    tables.show(Console(file=stream, width=200), read_summary(recorded), 0, folder)
    return " ".join(stream.getvalue().split())


def test_of_10_titles_the_best_one_tells_models_apart_and_a_model_that_deserves_it_is_blessed(
    tmp_path: pathlib.Path,
) -> None:
    shown = judge(tmp_path, "ml-10m", {"retrieval": {}}, films=10, users=60)
    assert "retrieval: blessed" in shown
    assert "top_1_categorical_accuracy_unseen beat item-item" in shown
    # The release knows no genders.
    assert "user_gender=F, user_gender=M (no rows)" in shown


def test_of_80_titles_models_that_beat_their_baselines_are_blessed(tmp_path: pathlib.Path) -> None:
    models: dict[str, dict] = {
        "retrieval": {"epochs": 8, **SHORT_SEQUENCES},
        "ranking": {"sweeps": 60, "burn_in": 20},
    }
    shown = judge(tmp_path, "ml-1m", models)
    assert "retrieval: blessed" in shown
    assert "ranking: blessed" in shown
    assert "top_5_categorical_accuracy_unseen" in shown
    assert "top_k" not in shown


def test_of_5_000_titles_and_2_000_users_a_model_that_deserves_it_is_blessed(tmp_path: pathlib.Path) -> None:
    models: dict[str, dict] = {"retrieval": {"epochs": 1, **SHORT_SEQUENCES}}
    shown = judge(tmp_path, "ml-latest-small", models, films=5_000, users=2_000, most=8)
    assert "5,000" in shown and "of 2,000 users" in shown
    assert "retrieval: blessed" in shown
    # The catalogue is too large for the item-item model.
    assert "top_100_categorical_accuracy_unseen beat popularity" in shown and "item-item" not in shown


def test_in_the_format_of_ml_32m_a_model_that_deserves_it_is_blessed(tmp_path: pathlib.Path) -> None:
    shown = judge(tmp_path, "ml-32m", {"ranking": {"sweeps": 30, "burn_in": 10}}, films=40, users=60)
    assert "ranking: blessed" in shown
    assert "of 60 users" in shown


def test_releases_in_the_format_of_ml_32m_give_the_same_examples_to_the_same_steps(
    tmp_path: pathlib.Path,
) -> None:
    given = {}
    for release in ("ml-32m", "ml-20m", "ml-25m", "ml-latest"):
        config = configuration.with_changes(configuration.default(), {"data": {"release": release}})
        pipeline, recorded = run(tmp_path / release, config, ["MovieLensExampleGen"], films=40, users=60)
        (data,) = (step for step in recorded if step.node_id == "MovieLensExampleGen")
        digests = {output.key: beam_paths.digest(pathlib.Path(output.uri)) for output in data.outputs}
        parameters = {node.id: dict(node.exec_properties) for node in pipeline.components}
        # These two name the release, the second one where it publishes.
        del parameters["MovieLensExampleGen"], parameters["IndexPusher"]["pipeline_name"]
        given[release] = digests, str(parameters)
    assert set(given["ml-32m"][0]) == {"examples", "catalogue", "quarantine"}
    for release, received in given.items():
        assert received == given["ml-32m"], release


def test_the_tutorial_preset_compares_with_chance_on_any_data(tmp_path: pathlib.Path) -> None:
    shown = judge(tmp_path, "custom", {"retrieval": {}}, preset="tutorial", films=40, users=60)
    assert "top_1_categorical_accuracy_unseen not be beaten by random order" in shown
    assert "retrieval: blessed" in shown
    assert "of 60 users" in shown


def test_of_one_user_a_model_that_may_be_good_is_not_blessed_in_words(tmp_path: pathlib.Path) -> None:
    shown = judge(tmp_path, "custom", {"ranking": {"sweeps": 2, "burn_in": 1}}, films=80, users=1)
    reason = shown.split("ranking: not blessed: ")[1].split(" Time: ")[0]
    assert reason.startswith("rmse must beat biases, ")
    assert reason.endswith("its 95% interval too few users")
    assert "user_gender=F, visit=first (no rows); " in shown
    assert "visit=sitting (too few users to compare)" in shown
