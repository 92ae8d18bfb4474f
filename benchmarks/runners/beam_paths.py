"""The same pipeline on several of Beam's runners: one machine's, or a cluster's beside the in-memory one.

Run it with `python -m benchmarks.runners.beam_paths`; `--help` lists the flags. Every path is a run of the
pipeline below a root of its own. Of each output the digest is shown, of what it says: a runner may cut files
as it likes, and protobuf may write the entries of a map, and TFDV the features, in any order.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from benchmarks import partial, table
from common.errors import DataError
from components.movielens_example_gen.fetching import fetch
from pipeline import config as configuration
from pipeline.beam_flags import NO_PACKAGE

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_WORKERS = 2
_STARTS_WITHIN, _ENDS_WITHIN = 120, 7200  # Seconds.
_BATCH = 1000  # Records.

# Not compared: a graph is written in another order each time, also by one runner. What is in its vocabularies
# is, and so is what it makes of the rows.
_GRAPHS = ("saved_model.pb", "fingerprint.pb")
_STATISTICS = "FeatureStats.pb"


_IN_MEMORY = {"in memory": ["--direct_running_mode=in_memory"]}


def paths(port: int) -> dict[str, list[str]]:
    """List Beam's flags of each path on one machine.

    Args:
      port: of the job service.
    """
    return {
        **_IN_MEMORY,
        f"{_WORKERS} processes": [
            "--direct_running_mode=multi_processing",
            f"--direct_num_workers={_WORKERS}",
        ],
        # Its workers are in the process of the step, so that they need no package of TFX.
        **{name: [*flags, NO_PACKAGE] for name, flags in cluster(f"localhost:{port}", "LOOPBACK").items()},
    }


def cluster(endpoint: str, environment: str, config: str = "") -> dict[str, list[str]]:
    """List Beam's flags of the path through a job service.

    Args:
      endpoint: of the service, `HOST:PORT`.
      environment: which workers it uses, Beam's `environment_type`.
      config: Beam's `environment_config`, such as an image or the address of a worker pool; empty for none.
    """
    flags = ["--runner=PortableRunner", f"--job_endpoint={endpoint}", f"--environment_type={environment}"]
    flags += [f"--environment_config={config}"] if config else []
    # Beam's default, 60, would end every longer job: it is also the deadline of the stream of a job's states.
    return {"job service": [*flags, f"--job_server_timeout={_ENDS_WITHIN}"]}


@contextlib.contextmanager
def job_service(folder: pathlib.Path) -> Iterator[int]:
    """Keep Beam's own job service while the block runs; yields its port.

    Raises:
      RuntimeError: it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port_file = folder / "port"
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    command += ["--port_file", str(port_file), "--staging_dir", str(folder / "staging")]
    with open(folder / "log", "w") as log:
        service = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + _STARTS_WITHIN
        while not port_file.exists():
            if service.poll() is not None or time.monotonic() > deadline:
                said = (folder / "log").read_text()
                raise RuntimeError(f"Beam's job service must start; it said: {said[-500:]}")
            time.sleep(0.1)
        yield int(port_file.read_text())
    finally:
        service.kill()
        service.wait()


def run(
    data: pathlib.Path,
    root: pathlib.Path,
    until: str,
    config: pathlib.Path,
    beam: Sequence[str],
    timeout: float = _ENDS_WITHIN,
) -> list[dict]:
    """Run the pipeline up to a step; returns what `benchmarks.partial` prints.

    Raises:
      RuntimeError: it failed.
      subprocess.TimeoutExpired: it did not end.
    """
    root.mkdir(parents=True)
    with open(root / "log", "w+") as log:
        done = subprocess.run(
            partial.command(data, root, until, config, beam),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=_ROOT,
            # Workers that Beam starts are to find the project.
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            timeout=timeout,
            check=False,
        )
    if done.returncode:
        said = (root / "log").read_text()[-2000:].strip()
        raise RuntimeError(f"the run below {root.name} must succeed; its log ends: {said}")
    return json.loads(done.stdout.splitlines()[-1])


def digests(steps: Sequence[dict]) -> dict[tuple[str, str], str]:
    """Digest every output: by step and key of the output."""
    return {
        (step["step"], key): digest(pathlib.Path(uri))
        for step in steps
        for key, uri in step["outputs"].items()
    }


def digest(folder: pathlib.Path) -> str:
    """Digest what files say: records of Examples regardless of their order and of how they are cut."""
    said: list[bytes] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _GRAPHS):
        name = path.relative_to(folder)
        if path.suffix == ".gz":
            said += (b"%b\0%b" % (bytes(name.parent), record) for record in _records(path))
        else:
            content = _statistics(path) if path.name == _STATISTICS else path.read_bytes()
            said.append(b"%b\0%b" % (bytes(name), content))
    whole = hashlib.sha256()
    for item in sorted(said):
        whole.update(hashlib.sha256(item).digest())
    return whole.hexdigest()


def _records(path: pathlib.Path) -> Iterator[bytes]:
    import tensorflow as tf

    # Read in batches, for a dataset's next element takes longer than to parse it.
    for records in tf.data.TFRecordDataset(str(path), "GZIP").batch(_BATCH).as_numpy_iterator():
        for record in records:
            yield tf.train.Example.FromString(record).SerializeToString(deterministic=True)


def _statistics(path: pathlib.Path) -> bytes:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
    for dataset in statistics.datasets:
        dataset.features.sort(key=lambda feature: tuple(feature.path.step))
        for numbers in (one.num_stats for one in dataset.features if one.HasField("num_stats")):
            # The last bit of a sum depends on the order of its parts, which differs from run to run; rounded,
            # a mean that lies half-way would still differ.
            numbers.ClearField("mean")
            numbers.ClearField("std_dev")
    return statistics.SerializeToString(deterministic=True)


def rows(found: dict[str, dict[tuple[str, str], str]]) -> list[list[str]]:
    """Lay out the digests' beginnings: a row for each output, a column for each path, then whether same.

    >>> rows({"a": {("Transform", "graph"): "12" * 32}, "b": {("Transform", "graph"): "13" * 32}})
    [['Transform', 'graph', '1212121212', '1313131313', 'no']]
    """
    first = next(iter(found.values()))
    laid = []
    for step, key in first:
        of_paths = [by_output.get((step, key), "") for by_output in found.values()]
        same = "yes" if len(set(of_paths)) == 1 else "no"
        laid.append([step, key, *(text[:10] for text in of_paths), same])
    return laid


def main(arguments: Sequence[str]) -> int:
    """Run each path, and print digests and seconds; returns 1 where a digest differs, 2 where a run fails."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.runners.beam_paths", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=pathlib.Path, metavar="PATH", help="as local_runner.py's")
    parser.add_argument("--until", default="Transform", help="the last step (default: %(default)s)")
    parser.add_argument("--config", type=pathlib.Path, metavar="FILE", help="as local_runner.py's")
    own = parser.add_argument_group("a cluster's job service, compared with the in-memory runner")
    own.add_argument("--job-endpoint", metavar="HOST:PORT", help="(default: Beam's own, on this machine)")
    own.add_argument("--environment-type", metavar="TEXT", help="of its workers (default: LOOPBACK)")
    own.add_argument("--environment-config", default="", metavar="TEXT", help="an image, or a pool's address")
    own.add_argument(
        "--root",
        type=pathlib.Path,
        metavar="FOLDER",
        help="a new folder for the runs, which all workers can read (default: a temporary one)",
    )
    options = parser.parse_args(arguments)
    if options.root and options.root.exists():
        parser.error(f"--root must be a new folder; {options.root} exists")
    for flag in ("environment_type", "environment_config"):
        if getattr(options, flag) and not options.job_endpoint:
            name = flag.replace("_", "-")
            parser.error(f"--{name} is of the workers of a --job-endpoint; name that too")
    try:
        found, seconds = _digested(options)
    except (DataError, OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    laid = rows(found)
    header = ("step", "output", *found, "same")
    print(table.markdown(header, [*laid, ["seconds", "", *seconds, ""]]))
    return int(any(row[-1] == "no" for row in laid))


def _digested(options: argparse.Namespace) -> tuple[dict[str, dict[tuple[str, str], str]], list[str]]:
    """Run each path: digests of its outputs, and seconds."""
    if options.root:
        options.root.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        folder = options.root or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = options.config or folder / "config.json"
        if not options.config:
            config.write_text("{}")
        try:
            data_config = configuration.load(config, configuration.default()).data
        except ValueError as error:
            raise DataError(str(error)) from error
        data = fetch.resolve_data(data_config, options.data)
        if options.job_endpoint:
            workers = options.environment_type or "LOOPBACK", options.environment_config
            compared = {**_IN_MEMORY, **cluster(options.job_endpoint, *workers)}
        else:
            compared = paths(stack.enter_context(job_service(folder / "service")))
        found, seconds = {}, []
        for name, beam in compared.items():
            began = time.monotonic()
            steps = run(data, folder / name.replace(" ", "-"), options.until, config, beam)
            seconds.append(f"{time.monotonic() - began:.1f}")
            found[name] = digests(steps)
    return found, seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
