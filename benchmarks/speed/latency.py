"""How quickly a pushed bundle answers and loads, and how large its parts are.

Run it with `python -m benchmarks.speed.latency`; `--help` lists the flags. The requests are the warm-up
requests that the bundle carries, which were made of real ratings. Every process is fresh and isolated, as a
server's.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import bundles, table
from benchmarks.speed import latency_probe
from serving import manifest

_WARMUP = pathlib.Path("assets.extra") / "tf_serving_warmup_requests"
_LOADS = 3


def requests(bundle: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the largest warm-up requests of `recommend` and `ranking`.

    Returns:
      Arrays by input name, a row for each request; `exclude_title` of the width that a device takes.
    Raises:
      ValueError: the bundle carries none.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    columns: dict[str, np.ndarray] = {}
    for model in ("recommend", "ranking"):
        path = bundle / model / _WARMUP
        if not path.is_file():
            raise ValueError(f"{path} must hold warm-up requests; push the bundle again.")
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            if "user_id" not in log.inputs:
                continue
            made = {name: tf.make_ndarray(proto) for name, proto in log.inputs.items()}
            columns.update({name: values for name, values in made.items() if values.ndim})
    size = len(columns["user_id"])
    columns["exclude_title"] = np.full((size, 100), b"", object)
    return columns


def sizes(bundle: pathlib.Path) -> dict[str, int]:
    """Bytes by part: a folder at the top of the bundle, each TFLite file, and what lies beside them."""
    found: dict[str, int] = {}
    for path in sorted(bundle.rglob("*")):
        if path.is_file():
            relative = path.relative_to(bundle)
            part = str(relative) if relative.parts[0] == "tflite" else relative.parts[0]
            found[part] = found.get(part, 0) + path.stat().st_size
    return found


def loads(bundle: pathlib.Path) -> dict[str, list[dict[str, float]]]:
    """Time fresh processes that load a part, seconds; each part `_LOADS` times."""
    found = {}
    models = manifest.read(str(bundle))["models"]
    for path in sorted([*bundle.glob("*/saved_model.pb"), *bundle.glob("tflite/*.tflite")]):
        part = path.parent if path.name == "saved_model.pb" else path
        scann = ["scann"] if models.get(part.name, {}).get("scann") else []
        times = [_probe("load", str(part), *scann) for _ in range(_LOADS)]
        found[str(part.relative_to(bundle))] = times
    return found


def _probe(*arguments: str) -> dict:
    command = [sys.executable, "-I", latency_probe.__file__, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} must succeed; it said:\n{process.stderr[-2000:]}")
    return json.loads(process.stdout)


def latency_rows(times: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Percentiles by kind of request, with the requests in a call.

    >>> latency_rows({"recommend, 64": [1.0, 2.0, 3.0]})
    [['recommend', '64', '3', '2.00', '2.98', '0.031']]
    """
    rows = []
    for name, milliseconds in times.items():
        part, size = name.rsplit(", ", 1)
        half, most = np.percentile(milliseconds, [50, 99])
        each = half / int(size)
        rows.append([part, size, str(len(milliseconds)), f"{half:.2f}", f"{most:.2f}", f"{each:.3f}"])
    return rows


def load_rows(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> list[list[str]]:
    """Seconds of imports and of loading, by part."""
    return [
        [part, *(table.spread([run[name] for run in runs], 2) for name in ("import", "load"))]
        for part, runs in measured.items()
    ]


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description="Time a pushed bundle, and weigh it.")
    bundles.add_flag(parser)
    bundle = bundles.find(parser, parser.parse_args().bundle)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "requests.npz")
        plain = {n: v.astype(np.bytes_) if v.dtype.kind == "O" else v for n, v in requests(bundle).items()}
        np.savez(path, **plain)
        times = {**_probe("recommend", str(bundle), path), **_probe("tflite", str(bundle), path)}
    header = ["milliseconds", "rows in a call", "calls", "p50", "p99", "p50 of a row"]
    print(f"k = {latency_probe.K} of the composites; a TFLite search returns its whole depth.\n")
    print(table.markdown(header, latency_rows(times)), flush=True)
    print("\n" + table.markdown(["seconds, fresh process", "imports", "load"], load_rows(loads(bundle))))
    parts = sizes(bundle)
    weights = [[name, f"{size / 1e6:.2f}"] for name, size in parts.items()]
    print("\n" + table.markdown(["part", "MB"], [*weights, ["together", f"{sum(parts.values()) / 1e6:.2f}"]]))


if __name__ == "__main__":
    main()
