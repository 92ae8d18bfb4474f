"""What hyper-parameters are worth on a part of train: how the default preset's values were found.

Run it with `python -m benchmarks.trial ranking '{"embedding_dim": 32}'` after `make run`, whose transformed
train split it reads; README.md here says what was tried.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pathlib
import tempfile
import time
import types

from modules import features, hyperparameters
from modules.search_space import TuningConfig

_PARTS = {
    "graph": "Transform/transform_graph/*",
    "train": f"Transform/transformed_examples/*/Split-{features.TRAIN_SPLIT}",
    "candidates": f"MovieLensExampleGen/catalogue/*/Split-{features.CATALOGUE_SPLIT}",
}


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


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description="Fit to a part of train and measure on the rest of it.")
    parser.add_argument("model", choices=hyperparameters.ModelsConfig.model_fields)
    parser.add_argument("changes", nargs="*", metavar="JSON", help="of the default preset: a trial each")
    parser.add_argument("--pipeline-root", type=pathlib.Path, default=pathlib.Path("runs"), metavar="FOLDER")
    options = parser.parse_args()
    preset = getattr(hyperparameters.default(), options.model)
    try:
        artifacts = find_artifacts(options.pipeline_root)
        trials = {
            text: hyperparameters.replaced(preset, json.loads(text)) for text in options.changes or ["{}"]
        }
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error).splitlines()[0])
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from modules.tuners import held_out  # TensorFlow, which reads its environment when imported.

    measure = importlib.import_module(f"modules.tuners.{options.model}").measure
    with tempfile.TemporaryDirectory() as folder:
        fn_args = types.SimpleNamespace(
            transform_output=str(artifacts["graph"]),
            train_files=[str(artifacts["train"] / "*")],
            eval_files=[],
            candidate_files=[str(artifacts["candidates"] / "*")],
            working_dir=folder,
        )
        data = held_out.load(fn_args, TuningConfig().search(hyperparameters.default(), options.model))
        for text, config in trials.items():
            started = time.monotonic()
            figures = ", ".join(f"{name} {value:.4f}" for name, value in measure(config, data).items())
            print(f"{options.model} {text}: {figures} ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
