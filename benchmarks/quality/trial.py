"""Evaluate hyper-parameters on a part of train: the default preset's values were found so.

Run it with `python -m benchmarks.quality.trial ranking '{"embedding_dim": 32}'`; benchmarks/README.md says
what was tried. Without `--protocol` it reads the transformed train split of `make run`; with it, it has the
components make histories, vocabularies and models anew from a part of train, and asks the models as they
would be served.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pathlib
import shutil
import tempfile
import time
import types
from collections.abc import Mapping

import numpy as np

from benchmarks import protocol, splits
from benchmarks.splits import LEAVE_ONE_OUT, RANDOM, TIME
from common.errors import DataError
from components.movielens_example_gen.config import GIVEN, DataConfig, SplitConfig
from modules import features, hyperparameters
from modules.hyperparameters import TrainingConfig
from modules.search_space import TuningConfig
from pipeline import config as configuration

_PARTS = {
    "graph": "Transform/transform_graph/*",
    "train": f"Transform/transformed_examples/*/Split-{features.TRAIN_SPLIT}",
    "candidates": f"MovieLensExampleGen/catalogue/*/Split-{features.CATALOGUE_SPLIT}",
}
_SEED = splits.SEEDS[0]


def find_artifacts(pipeline_root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Find what the latest run below a folder wrote.

    Raises:
      FileNotFoundError: there was no run.
    """
    found = {}
    for part, pattern in _PARTS.items():
        folders = sorted(pipeline_root.glob(pattern), key=lambda folder: folder.stat().st_mtime)
        if not folders:
            raise FileNotFoundError(f"{pipeline_root} holds no {pattern}. Run the pipeline first: make run")
        found[part] = folders[-1]
    return found


def divide_train(source: pathlib.Path, target: pathlib.Path, name: str) -> DataConfig:
    """Write the train part of a protocol of the quality benchmark as data of its own, divided once more.

    Args:
      source: folder of ml-100k.
      target: folder to be made, for the ExampleGen.
      name: RANDOM: four fifths of the train rows of seed 42 are trained on, by another permutation, and a
        query knows those. TIME: those before four fifths of the train rows were past; a query knows all that
        is earlier. LEAVE_ONE_OUT: each user's last train row is held out; a query knows all that is earlier.
    Returns:
      How the ExampleGen is to read it. No held-out row of the protocol is in it.
    """
    ratings = protocol.read(source)
    if name != TIME:
        if name == RANDOM:
            train, _ = protocol.random_split(len(ratings), _SEED)
            fitted, held_out = protocol.random_split(len(train), _SEED + 1)
        else:
            train, _ = splits.leave_one_out(ratings)
            fitted, held_out = splits.leave_one_out(ratings.take(train))
        protocol.write_split(source, target, (train[fitted], train[held_out]))
        return DataConfig(release=protocol.ML_100K.name, split=SplitConfig(method=GIVEN))
    train, _ = splits.time_cut(ratings.times)
    whole = target.with_name(f"{target.name}-rows")
    protocol.write_split(source, whole, (train, np.array([], int)))
    target.mkdir()
    for path in (*whole.glob("train/*"), *whole.glob("u.*")):
        shutil.move(path, target / path.name)
    eval_share = round(1 - protocol.TRAIN_SHARE, 9)
    return DataConfig(
        release=protocol.ML_100K.name, split=SplitConfig(method=TIME, eval_share=eval_share, rolling=True)
    )


def _as_served(
    data: pathlib.Path | None, name: str, model: str, trials: Mapping[str, TrainingConfig]
) -> None:
    from benchmarks import figures
    from benchmarks.quality import served  # TensorFlow, which reads its environment when imported.

    with tempfile.TemporaryDirectory(prefix="marquee-trial-") as folder:
        config = divide_train(protocol.find_data(data), pathlib.Path(folder, "data"), name)
        root = pathlib.Path(folder, "artifacts")
        root.mkdir()
        nodes = {str(number): trial for number, trial in enumerate(trials.values())}
        wanted = {node: served.Trained(model, trial) for node, trial in nodes.items()}
        seconds = served.train(pathlib.Path(folder, "data"), root, [config], wanted, _SEED)
        for text, node in zip(trials, nodes, strict=True):
            columns = served.columns(root, node)
            for visit, (rows, measured) in figures.by_group(columns, figures.visits(columns)).items():
                _tell(model, f"{text} {visit}, {rows:,} rows", measured._asdict(), seconds[node])


def _after_a_run(
    artifacts: Mapping[str, pathlib.Path], model: str, trials: Mapping[str, TrainingConfig]
) -> None:
    from modules.tuners import held_out  # TensorFlow, which reads its environment when imported.

    measure = importlib.import_module(f"modules.tuners.{model}").measure
    with tempfile.TemporaryDirectory() as folder:
        fn_args = types.SimpleNamespace(
            transform_output=str(artifacts["graph"]),
            train_files=[str(artifacts["train"] / "*")],
            eval_files=[],
            candidate_files=[str(artifacts["candidates"] / "*")],
            working_dir=folder,
            custom_config={},
        )
        data = held_out.load(fn_args, TuningConfig().search(hyperparameters.default(), model))
        for text, config in trials.items():
            started = time.monotonic()
            _tell(model, text, measure(config, data), time.monotonic() - started)


def _tell(model: str, text: str, figures: Mapping[str, float | None], seconds: float) -> None:
    words = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
    print(f"{model} {text}: {words} ({seconds:.0f} s)", flush=True)


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description="Fit to a part of train and measure on the rest of it.")
    parser.add_argument("model", choices=hyperparameters.ModelsConfig.model_fields)
    parser.add_argument("changes", nargs="*", metavar="JSON", help="of the default preset: a trial each")
    parser.add_argument("--pipeline-root", type=pathlib.Path, default=pathlib.Path("runs"), metavar="FOLDER")
    parser.add_argument(
        "--protocol", choices=(RANDOM, TIME, LEAVE_ONE_OUT), help="whose train part is divided once more"
    )
    protocol.add_data_flag(parser)
    options = parser.parse_intermixed_args()  # Trials may follow a flag.
    preset = configuration.default()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        trials = {}
        for text in options.changes or ["{}"]:
            changes = {"models": {options.model: json.loads(text)}}
            trials[text] = getattr(configuration.with_changes(preset, changes).models, options.model)
        artifacts = {} if options.protocol else find_artifacts(options.pipeline_root)
    except (FileNotFoundError, ValueError) as error:
        parser.error(" ".join(str(error).split()))
    if not options.protocol:
        return _after_a_run(artifacts, options.model, trials)
    try:
        _as_served(options.data, options.protocol, options.model, trials)
    except DataError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
