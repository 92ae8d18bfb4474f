"""docs/scale.md: every flag is one that the programs know, and what it says of the code is so."""

from __future__ import annotations

import json
import re

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent

import local_runner
from modules.data import dataset
from pipeline import config
from tests.docs.blocks import DOCS

TEXT = (DOCS / "scale.md").read_text(encoding="utf-8")
# Of the job servers' own command lines.
JOB_SERVERS = {"spark-master-url", "artifacts_dir"}
_RUN = re.compile(r"^python (local_runner\.py .*)$", re.MULTILINE)


def beams_flags() -> list[str]:
    (table,) = re.findall(r"^\| \| flags after `--` \|$.*?^$", TEXT, re.MULTILINE | re.DOTALL)
    return [flag for span in re.findall(r"`(--[^`]*)`", table) for flag in span.split() if "=" in flag]


@pytest.mark.parametrize("flag", beams_flags())
def test_beam_knows_the_flags_of_its_recipes(flag: str) -> None:
    name, value = flag.removeprefix("--").split("=", 1)
    if name in JOB_SERVERS:
        return
    # What Beam does not know it leaves out.
    parsed = PipelineOptions([flag]).get_all_options(drop_default=True)
    assert str(parsed[name]).removeprefix("['").removesuffix("']") == value


@pytest.mark.parametrize("command", _RUN.findall(TEXT.replace("\\\n", "")))
def test_the_commands_are_commands(command: str) -> None:
    options = local_runner.parse(command.split()[1:])
    local_runner.configure(options)
    parsed = PipelineOptions(options.beam_options).get_all_options(drop_default=True)
    assert len(parsed) == len(options.beam_options)


def test_the_configurations_of_the_page_are_valid(tmp_path) -> None:
    (shown,) = re.findall(r"`(\{.vocabularies.*?\}\})`", TEXT)
    path = tmp_path / "config.json"
    path.write_text(shown)
    assert config.load(path, config.default()).vocabularies == json.loads(shown)["vocabularies"]


def test_numbers_of_the_code_are_as_the_page_says() -> None:
    assert hasattr(BaseBeamComponent, "with_beam_pipeline_args")
    assert dataset._CACHED_BYTES == 128 << 20 and "of up to 128 MB, gzipped" in TEXT
    assert dataset._SHUFFLE_ROWS == 200_000 and "a buffer of 200,000 rows" in TEXT
