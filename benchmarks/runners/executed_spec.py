"""The job for Vertex AI executed here, container by container, and its bundle held against a local run's.

    python -m benchmarks.runners.executed_spec [--data PATH] [--config FILE] [--folder DIR] [--workers N]

Every step is a process by the command and arguments that the specification says, drivers included, on
MovieLens 100K unless the configuration says otherwise. tests/kubeflow/stand_ins/spec_executor.py is the
service here.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks.table import markdown
from components.movielens_example_gen.fetching import fetch
from runners import flags
from runners.kubeflow import environment
from serving import manifest
from tests.kubeflow.stand_ins import dockerfile
from tests.kubeflow.stand_ins.spec_executor import Service, Step

# Whose recommendations are compared, and what rounding may change: two titles of almost one score may change
# places.
_USERS = [str(user).encode() for user in range(1, 101)]
_TITLES, _STARS = 0.01, 1e-3
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    """Execute, run, compare, and print a table; return 1 where a step failed or the bundles differ."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.runners.executed_spec", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=pathlib.Path, metavar="PATH", help="as local_runner.py's")
    parser.add_argument(
        "--folder", type=pathlib.Path, metavar="DIR", help="for all files (default: a temporary)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="steps at one time (default: 1)")
    flags.add_configuration(parser)
    options = parser.parse_args()
    if options.folder:
        return _measure(options, options.folder.resolve())
    with tempfile.TemporaryDirectory() as folder:
        return _measure(options, pathlib.Path(folder))


def _measure(options: argparse.Namespace, folder: pathlib.Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    steps = _execute(options, folder)
    seconds = time.monotonic() - started
    rows = [
        (step.name, step.state, " ".join(map(str, step.exit_codes)), f"{step.seconds:.1f}") for step in steps
    ]
    print(markdown(("step", "state", "exit codes", "seconds"), [*rows, ("all", "", "", f"{seconds:.1f}")]))
    failed = [step for step in steps if step.state == "failed"]
    for step in failed:
        print(f"\n{step.name}: {step.log}")
    if failed:
        return 1
    _run_locally(options, folder)
    return _compare(folder / "pushed", folder / "local" / _pushed(options))


def _pushed(options: argparse.Namespace) -> str:
    return "pushed" if options.preset == flags.DEFAULT_PRESET else f"pushed-{options.preset}"


def _execute(options: argparse.Namespace, folder: pathlib.Path) -> list[Step]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from runners.kubeflow.settings import Settings

    config = flags.configure(options)
    data = fetch.resolve_data(config.data, options.data)
    settings = Settings(
        image="this-machine",
        pipeline_root="gs://stands-for/a-folder",
        data_root=str(data),
        push_destination=str(folder / "pushed"),
    ).model_copy(update={"pipeline_root": str(folder / "root")})
    with environment.quiet():
        from runners.kubeflow import compiling  # TFX, which says much while it is imported.

        job, _ = compiling.compile_job(config, settings, folder / "job.json")
    image = dockerfile.stages((_ROOT / "Dockerfile").read_text())["steps"].environment()
    image = {name: value for name, value in image.items() if "/opt/venv" not in value}
    service = Service(
        {**image, "PYTHONPATH": str(_ROOT)},
        workers=options.workers,
        show=lambda step: print(
            f"{step.name} {step.state} {step.seconds:.1f} s", file=sys.stderr, flush=True
        ),
    )
    return service.run(job, "benchmark", {})


def _run_locally(options: argparse.Namespace, folder: pathlib.Path) -> None:
    command = [sys.executable, str(_ROOT / "local_runner.py"), "--pipeline-root", str(folder / "local")]
    for name in ("data", "config", "release", "preset"):
        if value := getattr(options, name):
            command += [f"--{name}", str(value)]
    if options.strategy:
        command += ["--strategy", options.strategy]
    for name in ("tune", "batch_recommendations"):
        if getattr(options, name):
            command.append("--" + name.replace("_", "-"))
    subprocess.run(command, check=True, stdout=sys.stderr)


def _compare(executed: pathlib.Path, local: pathlib.Path) -> int:
    """Print which files of two bundles are the same, and by how much they answer differently.

    Returns:
      1 where one has files that the other has not, or answers differ by more than rounding.
    """
    bundles = [manifest.read(str(root / "current")) for root in (executed, local)]
    theirs, ours = (bundle["files"] for bundle in bundles)
    same = [path for path in ours if theirs.get(path, {}).get("sha256") == ours[path]["sha256"]]
    differing = sorted(set(ours) & set(theirs) - set(same))
    alone = sorted(set(ours) ^ set(theirs))
    sources = [
        name for name, digest in bundles[1]["sources"].items() if bundles[0]["sources"].get(name) == digest
    ]
    print(
        f"\nFiles of the bundle: {len(same)} the same to the bit, {len(differing)} not, "
        f"{len(alone)} in one alone."
    )
    print(f"Not the same: {', '.join(differing) or 'none'}")
    print(f"In one alone: {', '.join(alone) or 'none'}")
    print(f"Of what it was made: {', '.join(sources)} the same, of {', '.join(bundles[1]['sources'])}.")
    from tests.kubeflow.bundles import difference  # TensorFlow, which the steps are to have for themselves.

    received = difference(executed / "current", local / "current", _USERS)
    print(
        f"Recommended to {len(_USERS)} users: {received.titles:.2%} of the titles differ, predicted ratings "
        f"by at most {received.stars:.1e} stars."
    )
    return int(bool(alone) or received.titles > _TITLES or received.stars > _STARS)


if __name__ == "__main__":
    sys.exit(main())
