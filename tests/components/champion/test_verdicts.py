"""Champions looked for among files, as containers do it."""

from __future__ import annotations

import logging
import pathlib

import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from tfx.types import standard_artifacts

from common.progress import progress
from components.champion import verdicts
from components.champion.executor import BASELINE_URI, CHALLENGER, NO_CHAMPION, VERDICTS, Executor
from components.champion.selection import Choice
from modules import features


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "verdicts" / "ranking")


def model(root: pathlib.Path, name: str) -> str:
    path = root / name / features.SERVING_DIR / "saved_model.pb"
    path.parent.mkdir(parents=True)
    path.touch()
    return str(root / name)


def test_without_a_verdict_there_is_no_champion(folder: str) -> None:
    assert verdicts.champion(folder, "anything") == Choice(None)


def test_verdicts_that_cannot_be_listed_are_not_taken_for_none(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object) -> None:
        raise BeamIOError("Match operation failed", {folder: "503 Service Unavailable"})

    monkeypatch.setattr(FileSystems, "match", deny)
    with pytest.raises(BeamIOError, match="503"):
        verdicts.champion(folder, "challenger")


def test_the_champion_is_the_model_blessed_last_other_than_the_challenger(
    folder: str, tmp_path: pathlib.Path
) -> None:
    first, second, third = (model(tmp_path, name) for name in ("1", "2", "3"))
    for uri, blessed in ((first, True), (second, True), (third, False)):
        verdicts.record(folder, uri, blessed)
    assert verdicts.champion(folder, third) == Choice(second)
    assert verdicts.champion(folder, second) == Choice(first)
    # Not blessed since: it is no champion any more.
    verdicts.record(folder, second, False)
    assert verdicts.champion(folder, third) == Choice(first)


def test_a_champion_that_was_deleted_gives_way_to_the_one_before(folder: str, tmp_path: pathlib.Path) -> None:
    there, deleted = model(tmp_path, "1"), str(tmp_path / "deleted")
    verdicts.record(folder, there, True)
    verdicts.record(folder, deleted, True)
    assert verdicts.champion(folder, "challenger") == Choice(there, missing=(deleted,))


def test_one_models_verdicts_are_none_of_anothers(folder: str, tmp_path: pathlib.Path) -> None:
    verdicts.record(folder, model(tmp_path, "ranking-model"), True)
    assert verdicts.champion(folder.replace("ranking", "retrieval"), "challenger") == Choice(None)


def test_a_file_that_is_no_verdict_is_named(folder: str) -> None:
    verdicts.record(folder, "a", True)
    (path,) = pathlib.Path(folder).iterdir()
    path.write_text('{"blessed": true}')
    with pytest.raises(ValueError, match=f"{path} must be a verdict .* Restore it, or delete it"):
        verdicts.champion(folder, "challenger")


@pytest.mark.parametrize("judged", [False, True])
def test_the_step_writes_a_uri_or_none_and_names_missing_models(
    folder: str, tmp_path: pathlib.Path, judged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, progress.name)
    champion = model(tmp_path, "champion")
    if judged:
        verdicts.record(folder, champion, True)
    verdicts.record(folder, str(tmp_path / "deleted"), True)
    challenger, answer = standard_artifacts.Model(), standard_artifacts.String()
    challenger.uri, answer.uri = str(tmp_path / "challenger"), str(tmp_path / "answer")
    Executor().Do({CHALLENGER: [challenger]}, {BASELINE_URI: [answer]}, {VERDICTS: folder})
    assert pathlib.Path(answer.uri).read_text() == (champion if judged else NO_CHAMPION)
    assert f"A model was blessed, and its files are missing: {tmp_path / 'deleted'}" in caplog.messages
