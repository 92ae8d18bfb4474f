"""The pipeline up to a step, in a process of its own: what `scale` and `beam_paths` are made of.

    python -m benchmarks.partial --data PATH --root DIR --until STEP [configuration] [-- Beam options]

What was run below the same root before comes from the cache. Prints the steps as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from runners import flags

_METADATA = "metadata.sqlite"


def command(
    data: pathlib.Path, root: pathlib.Path, until: str, config: pathlib.Path, beam: Sequence[str] = ()
) -> list[str]:
    """Return the command line of a run."""
    return [
        *(sys.executable, "-m", "benchmarks.partial", "--data", str(data), "--root", str(root)),
        *("--until", until, "--config", str(config), "--", *beam),
    ]


def main(arguments: Sequence[str]) -> None:
    """Run, and print `[{"step", "state", "seconds", "outputs": {key: uri}}]`."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partial", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with the release's files")
    parser.add_argument("--root", type=pathlib.Path, required=True, help="folder for artifacts and metadata")
    parser.add_argument("--until", required=True, metavar="STEP", help="node id of the last step")
    flags.add_configuration(parser)
    options = parser.parse_args(arguments[:split])
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import ml_metadata as mlmd
    from tfx.orchestration import metadata
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import RunOptions

    from pipeline.pipeline import create_pipeline
    from runners.running import record

    options.root.mkdir(parents=True, exist_ok=True)
    connection = metadata.sqlite_metadata_connection_config(str(options.root / _METADATA))
    pipeline = create_pipeline(
        config=flags.configure(options),
        data_root=str(options.data),
        pipeline_root=str(options.root),
        push_destination=str(options.root / "pushed"),
        metadata_connection_config=connection,
        beam_pipeline_args=list(arguments[split + 1 :]),
    )
    LocalDagRunner().run(pipeline, run_options=RunOptions(to_nodes=[options.until]))
    steps = [
        {
            "step": step.node_id,
            "state": step.state,
            "seconds": step.seconds,
            "outputs": {artifact.key: artifact.uri for artifact in step.outputs},
        }
        for step in record.latest_run(mlmd.MetadataStore(connection))
    ]
    print(json.dumps(steps))


if __name__ == "__main__":
    main(sys.argv[1:])
