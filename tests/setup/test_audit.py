"""`make audit`: every locked package is looked up, and what docs/security.md lists is not reported again."""

from __future__ import annotations

import http.server
import json
import pathlib
import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bootstrap import audit

ROOT = pathlib.Path(audit.ROOT)
PYARROW = {"id": "PYSEC-2023-238", "aliases": ["CVE-2023-47248", "GHSA-5wvp-7f3h-6wmm"]}
NEW = {"id": "PYSEC-2099-1", "aliases": ["CVE-2099-1"]}
TIMES = {"modified": "2024-01-01T00:00:00Z", "published": "2024-01-01T00:00:00Z"}


class Database(http.server.ThreadingHTTPServer):
    """OSV's, with what is planted for pyarrow alone; notes the packages of the queries."""

    planted: dict[str, Any]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.queried: list[tuple[str, str]] = []

    @property
    def flag(self) -> tuple[str, str]:
        return "--service-url", f"http://127.0.0.1:{self.server_port}/"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Database

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        queried = [(query["package"]["name"], query["version"]) for query in queries]
        self.server.queried += queried
        found = {"vulns": [{"id": self.server.planted["id"], "modified": TIMES["modified"]}]}
        self._send({"results": [found if name == "pyarrow" else {} for name, _ in queried]})

    def do_GET(self) -> None:
        self._send({**self.server.planted, **TIMES, "summary": "planted", "affected": []})

    def _send(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    uv = next(found for path in (audit.UV, "uv") if (found := shutil.which(path)))
    monkeypatch.setattr(audit, "UV", uv)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_NO_CACHE", "1")  # else an advisory is read from the test before
    with Database() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_every_locked_package_is_looked_up(database: Database) -> None:
    database.planted = PYARROW
    audit.main(database.flag)
    wanted = {
        (match[1], match[2])
        for path in ROOT.glob("requirements/*.lock")
        for match in re.finditer(r"^([a-z0-9-]+)\S*==(\S+) ", path.read_text(), re.MULTILINE)
    }
    assert len(wanted) > 200
    assert set(database.queried) == wanted


def test_an_advisory_that_the_page_lists_is_passed_over_by_any_of_its_names(
    database: Database, capfd: pytest.CaptureFixture
) -> None:
    database.planted = PYARROW
    assert audit.main(database.flag) == 0
    assert PYARROW["id"] not in capfd.readouterr().out


def test_an_advisory_that_the_page_does_not_list_is_an_error(
    database: Database, capfd: pytest.CaptureFixture
) -> None:
    database.planted = NEW
    assert audit.main(database.flag) == 1
    assert NEW["id"] in capfd.readouterr().out


def test_no_answer_is_an_error_that_names_the_server(
    capfd: pytest.CaptureFixture, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")  # Which wait for seconds.
    database.planted = PYARROW
    flag = database.flag
    database.shutdown()
    database.server_close()
    assert audit.main(flag) == 2
    assert flag[1] in capfd.readouterr().err


def test_the_page_is_about_what_is_locked() -> None:
    page = pathlib.Path(audit.PAGE).read_text()
    rows = re.findall(r"^\| ([a-z][\w-]*) (\d\S*) \| (.*?) \|", page, re.MULTILINE)
    assert rows
    assert {(name, version) for name, version, _ in rows} <= set(audit.locked())
    assert sorted(found for _, _, ids in rows for found in ids.split(", ")) == sorted(audit.known())


def test_no_model_file_of_keras_is_loaded() -> None:
    loads = re.compile(r"\b(load_model|load_weights|get_file|h5py)\b|\.(keras|h5)[\"']")
    sources = [*ROOT.glob("*.py")]
    for package in (
        "retraining",
        "runners",
        "serving",
        "pipeline",
        "components",
        "modules",
        "common",
        "benchmarks",
    ):
        sources += (ROOT / package).rglob("*.py")
    assert len(sources) > 100
    assert [str(path) for path in sources if loads.search(path.read_text())] == []
