"""The component under TFX's local runner: the driver's fingerprint, the cache, a stopped run."""

import shutil

import pytest

from common.errors import DataError
from components.movielens_example_gen.config import DataConfig, SplitConfig

HALF = SplitConfig(eval_share=0.5)


@pytest.mark.slow("runs a pipeline many times")
def test_runs_again_only_when_data_configuration_or_code_changed(run_pipeline, write_ml_100k, tmp_path):
    base, config = write_ml_100k(), DataConfig(split=HALF)
    assert run_pipeline(base, config) == 1
    assert run_pipeline(base, config) == 1
    (base / "notes.txt").write_text("A file that the release does not have.")
    assert run_pipeline(base, config) == 1
    with open(base / "u.data", "ab") as ratings:
        ratings.write(b"1\t1\t5\t890000000\n")
    assert run_pipeline(base, config) == 2
    with open(base / "u.item", "ab") as movies:
        movies.write(b"99|New (1999)|01-Jan-1999||u|" + b"|".join([b"0"] * 19) + b"\n")
    assert run_pipeline(base, config) == 3
    assert run_pipeline(base, DataConfig(split=SplitConfig(eval_share=0.4))) == 4
    assert run_pipeline(base, config, digest="b") == 5
    assert run_pipeline(base, config, digest="b") == 5
    for key, split in (("examples", "train"), ("examples", "eval"), ("catalogue", "catalogue")):
        [folder] = (tmp_path / "root" / "MovieLensExampleGen" / key).glob("5")
        assert list((folder / f"Split-{split}").iterdir())


def test_a_run_that_stops_leaves_its_quarantine_and_is_tried_again(run_pipeline, write_ml_100k, tmp_path):
    base = write_ml_100k(extra=b"bad\n")
    with pytest.raises(DataError, match="u.data, line 28: expected 4 columns, found 1: 'bad'"):
        run_pipeline(base, DataConfig(split=HALF))
    root = tmp_path / "root" / "MovieLensExampleGen"
    [kept] = (root / "quarantine").iterdir()
    assert kept.name.endswith("_refused") and (kept / "ratings-00000.jsonl").is_file()
    assert not list((root / "examples").iterdir())
    shutil.copy(base / "u.data", base / "u.data.orig")
    (base / "u.data").write_bytes((base / "u.data").read_bytes().removesuffix(b"bad\n"))
    assert run_pipeline(base, DataConfig(split=HALF)) == 1


def test_the_artifacts_have_the_properties_that_downstream_components_read(write_ml_100k, run_executor):
    from tfx.components.util import examples_utils
    from tfx.proto import example_gen_pb2
    from tfx.types import artifact_utils

    artifacts = run_executor(write_ml_100k(), DataConfig(split=HALF)).artifacts
    assert artifact_utils.decode_split_names(artifacts["examples"].split_names) == ["train", "eval"]
    assert artifact_utils.decode_split_names(artifacts["catalogue"].split_names) == ["catalogue"]
    for key in ("examples", "catalogue"):
        assert examples_utils.get_payload_format(artifacts[key]) == example_gen_pb2.FORMAT_TF_EXAMPLE
        assert examples_utils.get_file_format(artifacts[key]) == "tfrecords_gzip"


def test_kubeflow_accepts_the_artifact_types_name_and_finds_its_class():
    from tfx.orchestration.kubeflow.v2 import compiler_utils
    from tfx.utils import import_utils

    from components.movielens_example_gen.component import Quarantine

    assert f"title: {Quarantine.TYPE_NAME}\n" in compiler_utils.get_artifact_schema(Quarantine)
    assert import_utils.import_class_by_path(Quarantine.TYPE_NAME) is Quarantine


def test_a_missing_artifact_type_is_a_missing_attribute():
    import components

    with pytest.raises(AttributeError, match="has no attribute 'Quarantin'"):
        _ = components.Quarantin


@pytest.mark.parametrize("folder", ["films [2024]", "f*", "really?", "a\\b", "[!x]/{a,b}"])
def test_the_fingerprint_covers_files_below_a_folder_of_any_name(tmp_path, folder):
    from google.protobuf import json_format
    from tfx.components.example_gen import utils
    from tfx.proto import example_gen_pb2

    from components.movielens_example_gen.component import MovieLensExampleGen

    base = tmp_path / folder
    base.mkdir(parents=True)
    (tmp_path / "films 2").mkdir()  # What "films [2024]" means as a pattern.
    for name in ("u.data", "u.item", "u.user"):
        (base / name).write_bytes(b"rows")
        (tmp_path / "films 2" / name).write_bytes(b"other")
    node = MovieLensExampleGen(input_base=str(base), data_config=DataConfig(), source_digest="a")
    splits = json_format.Parse(node.exec_properties["input_config"], example_gen_pb2.Input()).splits
    fingerprint = utils.calculate_splits_fingerprint_span_and_version(str(base), splits)[0]
    assert fingerprint.count("num_files:1,total_bytes:4,") == 3
