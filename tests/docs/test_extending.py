"""docs/extending.md: its changes apply to the tree as it is, and each does what it is for."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.docs.blocks import DOCS, blocks

ROOT = DOCS.parent
# What each change makes true, in the order of the page.
FEATURE = """
from pipeline import config
changes = {"models": {"retrieval": {"query_features": ["timestamp_period"]}}}
assert config.with_changes(config.default(), changes).models.retrieval.query_features
"""
MODEL = """
import pathlib
from pipeline import config, source_digest
made = config.tuned(config.default())
assert made.models.newcomers.epochs == 4 and config.tutorial().models.newcomers
assert made.gates.bounds("newcomers", made.data) == ()
assert made.tuning.search(made.models, "newcomers").space
assert source_digest.source_digest("modules.newcomers")
assert source_digest.source_digest("modules.tuners.newcomers")
compile(pathlib.Path("pipeline/pipeline.py").read_text(), "pipeline.py", "exec")
"""
GATE = """
from pipeline import config
made = config.default()
assert "coverage" in [gate.metric for gate in made.gates.bounds("retrieval", made.data)]
"""
RELEASE = """
from pipeline import config
made = config.with_changes(config.default(), {"data": {"release": "ml-40m"}})
assert made.data.spec.url.endswith("ml-40m.zip") and "-ml-40m-" in made.pipeline_name
"""
CHANGES = list(zip(blocks("extending.md", "diff"), (FEATURE, MODEL, GATE, RELEASE), strict=True))
_FILE = re.compile(r"^--- (?:a/|/dev/null )(\S+)\n(.*?)(?=^--- |\Z)", re.MULTILINE | re.DOTALL)


def apply(diff: str, root: pathlib.Path) -> None:
    """Change files below a folder; a hunk's old lines must be in its file, and once."""
    for path, body in _FILE.findall(diff):
        file = root / path
        for hunk in body.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            if not old:
                assert not file.exists()
                file.write_text(new)
                continue
            text = file.read_text()
            assert text.count(old) == 1, f"{path} must have once:\n{old}"
            file.write_text(text.replace(old, new))


@pytest.mark.parametrize(("diff", "shown"), CHANGES, ids=["feature", "model", "gate", "release"])
def test_the_changes_apply_and_do_what_they_are_for(diff: str, shown: str, tmp_path: pathlib.Path) -> None:
    for package in ("common", "components", "modules", "pipeline", "serving", "tests/modules"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def run() -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", shown], cwd=tmp_path, capture_output=True, text=True)

    assert run().returncode != 0  # Not yet so.
    apply(diff, tmp_path)
    done = run()
    assert done.returncode == 0, done.stderr
