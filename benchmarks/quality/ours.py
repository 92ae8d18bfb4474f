"""Our models and their lists on a split: trained by the pipeline's components, asked as in service."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks import protocol
from benchmarks.quality import lists, served, variants
from benchmarks.quality.data import Data
from benchmarks.quality.results import Result, Store
from benchmarks.quality.variants import ServedList, Variant
from benchmarks.splits import ROLLING, STATIC, TIME, Split
from components.movielens_example_gen.config import GIVEN, DataConfig, SplitConfig
from components.movielens_example_gen.sources.releases import Release
from pipeline.source_digest import source_digest
from runners.terminal.status import Terminal


def measure(data: Data, split: Split, ablations: bool, store: Store, screen: Terminal) -> list[Result]:
    """Measure our models and lists on a split, but those whose figures are in the store."""
    models = {**variants.OURS, **(variants.ABLATIONS if ablations else {})}
    listed = {**variants.LISTS, **(variants.LIST_ABLATIONS if ablations else {})}
    configs = _configs(data.release, split)
    settings = {name: _settings(variant, configs) for name, variant in models.items()}
    settings |= {
        name: {
            "models": [settings[model] for model in (of.retrieval, of.ranking)],
            "rating_weight": of.rating_weight,
            "code": source_digest("modules.tuners.blend"),
            "composite": source_digest("components.index_pusher.executor"),
        }
        for name, of in listed.items()
    }
    keys = {name: data.keys(split, name, values) for name, values in settings.items()}
    missing = {name for name in keys if not all(map(store.find, keys[name].values()))}
    if missing:
        wanted_lists = {name: of for name, of in listed.items() if name in missing}
        ordering = {name for of in wanted_lists.values() for name in (of.retrieval, of.ranking)}
        wanted = {name: of for name, of in models.items() if name in missing | ordering}
        with (
            screen.step(f"{split.protocol} {split.name}: {len(missing)} of ours"),
            tempfile.TemporaryDirectory(prefix="marquee-benchmark-") as folder,
        ):
            source, root = data.folder, pathlib.Path(folder, "artifacts")
            if split.protocol != TIME:
                source = pathlib.Path(folder, "data")
                protocol.write_split(data.folder, source, (split.train, split.held_out), data.release)
            root.mkdir()
            measured = _measured(source, root, configs, wanted, wanted_lists, split.seed)
            for name, view, seconds, columns in measured:
                groups = data.measured(split, columns)
                store.add(Result(key=keys[name][view], seconds=seconds, groups=groups))
    return [result for name in keys for result in filter(None, map(store.find, keys[name].values()))]


def _measured(
    source: pathlib.Path,
    root: pathlib.Path,
    configs: Mapping[str, DataConfig],
    models: Mapping[str, Variant],
    listed: Mapping[str, ServedList],
    seed: int,
) -> Iterator[tuple[str, str, float, dict[str, np.ndarray]]]:
    """Train models, and ask them and their lists about every row of eval.

    Yields:
      Name, view, seconds of training, and columns as `Data.measured` takes them.
    """
    nodes = {name: str(number) for number, name in enumerate(models)}
    trained = {nodes[name]: variant.trained() for name, variant in models.items()}
    ends = {name: (nodes[of.retrieval], nodes[of.ranking]) for name, of in listed.items()}
    blended = {frozenset(ends[name]) for name, of in listed.items() if of.rating_weight is None}
    seconds = served.train(source, root, [*configs.values()], trained, seed, [*blended])
    for number, view in enumerate(configs):
        for name, node in nodes.items():
            yield name, view, seconds[node], served.columns(root, node, number)
        for name, of in listed.items():
            retrieval, ranking = ends[name]
            weight = of.rating_weight
            columns = lists.columns(
                served.model_folder(root, retrieval),
                served.model_folder(root, ranking),
                served.rating_weight(root, frozenset(ends[name])) if weight is None else weight,
                served.eval_split(root, number),
            )
            yield name, view, sum(seconds[node] for node in set(ends[name])), columns


def _configs(release: Release, split: Split) -> dict[str, DataConfig]:
    # By view, first the one whose examples are trained on; their train rows are the same.
    if split.protocol == TIME:
        ways = {
            view: SplitConfig(
                method=TIME, eval_share=round(1 - protocol.TRAIN_SHARE, 9), rolling=view == ROLLING
            )
            for view in (ROLLING, STATIC)
        }
    else:
        # A history is of strictly earlier train rows. On LEAVE_ONE_OUT that is ROLLING.
        ways = {split.views[0]: SplitConfig(method=GIVEN)}
    return {view: DataConfig(release=release.name, split=way) for view, way in ways.items()}


def _settings(variant: Variant, configs: Mapping[str, DataConfig]) -> dict[str, Any]:
    model, hyperparameters = variant.trained()
    return {
        "model": model,
        "hyperparameters": hyperparameters.model_dump(mode="json", exclude={"seed"}),
        "data": [config.model_dump(mode="json") for config in configs.values()],
        "code": source_digest(f"modules.{model}"),
        "example_gen": source_digest("components.movielens_example_gen.component"),
    }
