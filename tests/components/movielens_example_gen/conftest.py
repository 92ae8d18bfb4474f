"""Made-up data in the releases' own formats, and the executor run on it with real artifacts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Callable, Sequence

import pytest

from components.movielens_example_gen.config import DataConfig

FIRST_SECOND = 874_724_710


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one run of the executor wrote.

    Attributes:
      counts: the quarantine's custom properties.
      bad: the quarantined rows.
      root: folder of the three artifacts; artifacts: by output key.
    """

    counts: dict[str, int]
    bad: list[dict]
    root: pathlib.Path
    artifacts: dict

    def folder(self, split: str) -> pathlib.Path:
        """Folder of a split's Examples."""
        return self.root / ("catalogue" if split == "catalogue" else "examples") / f"Split-{split}"

    def files(self, split: str) -> list[list[dict[str, list]]]:
        """Rows of each of a split's files, each as a dictionary of lists, text decoded."""
        return [read_examples(file) for file in sorted(self.folder(split).iterdir())]

    @functools.cached_property
    def rows(self) -> dict[str, list[dict[str, list]]]:
        """Every split's rows."""
        return {split: list(itertools.chain(*self.files(split))) for split in ("train", "eval", "catalogue")}


@pytest.fixture
def write_ml_100k(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write made-up rows in ml-100k's format.

    The user with number u rates the films m for which u + m is odd; every title is "Film m (1990+m)".
    """

    def write(
        users: int = 6,
        films: int = 9,
        extra: bytes = b"",
        extra_item: bytes = b"",
        extra_user: bytes = b"",
        folder: str = "data",
    ) -> pathlib.Path:
        base = tmp_path / folder
        base.mkdir()
        pairs = [(u, m) for u in range(1, users + 1) for m in range(1, films + 1) if (u + m) % 2]
        (base / "u.data").write_bytes(
            b"".join(
                b"%d\t%d\t%d\t%d\n" % (u, m, 1 + (u * m) % 5, FIRST_SECOND + 1000 * i)
                for i, (u, m) in enumerate(pairs)
            )
            + extra
        )
        flags = b"|".join([b"0"] * 5 + [b"1"] + [b"0"] * 13)
        (base / "u.item").write_bytes(
            b"".join(
                b"%d|Film %d (%d)|01-Jan-%d||http://example.org|%s\n" % (m, m, 1990 + m, 1990 + m, flags)
                for m in range(1, films + 1)
            )
            + extra_item
        )
        (base / "u.user").write_bytes(
            b"".join(
                b"%d|%d|%s|writer|00000\n" % (u, 20 + u, b"MF"[u % 2 :][:1]) for u in range(1, users + 1)
            )
            + extra_user
        )
        return base

    return write


@pytest.fixture
def run_executor(tmp_path: pathlib.Path) -> Callable[..., Outcome]:
    """Run the executor, as TFX does, and read back what it wrote."""
    from tests.helpers.beam import eager  # Beam, whose import takes a second.

    def run(
        base: pathlib.Path,
        config: DataConfig,
        name: str = "out",
        beam_args: Sequence[str] = eager.FLAGS,
        **parameters: int,
    ):
        from tfx.types import standard_artifacts

        from components.movielens_example_gen import component, executor

        root = tmp_path / name
        types = {
            "examples": standard_artifacts.Examples,
            "catalogue": standard_artifacts.Examples,
            "quarantine": component.Quarantine,
        }
        output_dict = {}
        for key, artifact_type in types.items():
            artifact = artifact_type()
            artifact.uri = str(root / key)
            output_dict[key] = [artifact]
        context = executor.Executor.Context(
            tmp_dir=str(root / "tmp"), unique_id="1", beam_pipeline_args=list(beam_args)
        )
        executor.Executor(context).Do(
            {},
            output_dict,
            {"input_base": str(base), "data_config": config.model_dump_json(), **parameters},
        )
        artifacts = {key: value[0] for key, value in output_dict.items()}
        counts = {
            key: value.int_value
            for key, value in artifacts["quarantine"].mlmd_artifact.custom_properties.items()
        }
        bad = [
            json.loads(line)
            for path in sorted((root / "quarantine").glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        return Outcome(counts, bad, root, artifacts)

    return run


@pytest.fixture
def run_pipeline(tmp_path):
    """Run a pipeline of this component alone; returns how many executions wrote Examples so far."""
    from tfx.orchestration import metadata, pipeline
    from tfx.orchestration.local import local_dag_runner

    from components.movielens_example_gen.component import MovieLensExampleGen
    from pipeline.beam_flags import with_runner

    def run(base: pathlib.Path, config: DataConfig, digest: str = "a") -> int:
        node = MovieLensExampleGen(input_base=str(base), data_config=config, source_digest=digest)
        local_dag_runner.LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="data",
                pipeline_root=str(tmp_path / "root"),
                components=[node],
                beam_pipeline_args=with_runner([]),
                enable_cache=True,
                metadata_connection_config=metadata.sqlite_metadata_connection_config(str(tmp_path / "db")),
            )
        )
        return len(list((tmp_path / "root" / "MovieLensExampleGen" / "examples").iterdir()))

    return run


def read_examples(file: pathlib.Path) -> list[dict[str, list]]:
    """Parse every tf.train.Example of a file."""
    import tensorflow as tf

    rows = []
    for record in tf.data.TFRecordDataset(str(file), compression_type="GZIP").as_numpy_iterator():
        row = {}
        for name, feature in tf.train.Example.FromString(record).features.feature.items():
            values = getattr(feature, feature.WhichOneof("kind")).value
            row[name] = [value.decode() if isinstance(value, bytes) else value for value in values]
        rows.append(row)
    return rows
