"""CuratedSchema: an edited schema is read again, an unedited one is not."""

from __future__ import annotations

import pathlib

from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.curated_schema.component import CuratedSchema


def test_an_edited_schema_is_read_again_an_unedited_one_is_not(
    tmp_path: pathlib.Path,
) -> None:
    # A clone may lie below a folder of any name.
    schema = tmp_path / "clone [1]*?" / "ratings.pbtxt"
    schema.parent.mkdir()

    def run(text: str) -> list[str]:
        schema.write_text(text)
        connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
        node = CuratedSchema(schema_file=schema)
        LocalDagRunner().run(
            pipeline.Pipeline("p", str(tmp_path / "root"), connection, components=[node], enable_cache=True)
        )
        return sorted(path.read_text() for path in (tmp_path / "root").rglob("schema.pbtxt"))

    first, second = 'feature { name: "a" type: INT }\n', 'feature { name: "a" type: FLOAT }\n'
    assert run(first) == [first]
    assert run(first) == [first]
    assert run(second) == sorted([first, second])
