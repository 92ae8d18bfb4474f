"""docs/gates.md names every metric that a gate may have; all configurations that pages show are valid."""

from __future__ import annotations

import pathlib
import re

import pytest

from modules import features
from modules.evaluation import evaluator_metrics
from pipeline import config, gates
from tests.docs.blocks import DOCS, blocks

TEXT = (DOCS / "gates.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["configuration.md", "gates.md", "getting-started.md"])
def test_every_configuration_is_valid(page: str, tmp_path: pathlib.Path) -> None:
    shown = blocks(page, "json")
    assert shown
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        assert config.load(path, config.default()) != config.default()


def test_every_metric_and_slice_is_named() -> None:
    (table,) = re.findall(r"^\| metric \| of .*?^$", TEXT, re.MULTILINE | re.DOTALL)
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    depths = re.findall(r"K = ([\d, ]+)", table)[0].strip(", ")
    assert depths == ", ".join(map(str, features.TOP_KS))
    expanded = {name.replace("_K_", f"_{k}_") for name in named for k in features.TOP_KS}
    assert expanded == {*evaluator_metrics.RETRIEVAL_METRICS, *evaluator_metrics.RATING_METRICS}
    sliced = TEXT.split("## Metrics")[1].split(":")[0]
    assert set(re.findall(r"`(\w+)`", sliced)) - {"gates"} == set(gates.SLICES)
