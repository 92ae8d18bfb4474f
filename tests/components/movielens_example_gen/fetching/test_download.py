"""HTTP against a local server that keeps, breaks or refuses connections by a script."""

import hashlib
import http.server
import io
import logging
import pathlib
import sys
import threading
from collections.abc import Iterator

import pytest
import requests
import urllib3

from common.errors import DataError
from common.progress import progress
from components.movielens_example_gen.fetching import download

CONTENT = bytes(range(256)) * 4000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT, with Range; `script` holds the action for each request, `seen` the requested ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[str] = []
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/ml-1m.zip"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        requested = self.headers.get("Range", "")
        self.server.seen.append(requested)
        action = self.server.script.pop(0) if self.server.script else "serve"
        if action.isdigit():
            self.send_error(int(action))
            return
        content = CONTENT[::-1] if action == "altered" else CONTENT
        start = (
            int(requested.removeprefix("bytes=").removesuffix("-"))
            if requested and action != "no range"
            else 0
        )
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + 300_000 if action == "cut" else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _download(server: Server, folder: pathlib.Path, expected: str | None = SHA256) -> pathlib.Path:
    download.download(server.url, folder / "ml-1m.zip", len(CONTENT), expected, pause=0)
    return folder / "ml-1m.zip"


def test_fetches_and_says_so(server, tmp_path, caplog):
    caplog.set_level(logging.INFO, progress.name)
    assert _download(server, tmp_path).read_bytes() == CONTENT
    assert server.seen == [""]
    assert caplog.messages == ["Fetching ml-1m.zip of 1.0 MB"]
    assert [path.name for path in tmp_path.iterdir()] == ["ml-1m.zip"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_draws_a_bar_on_a_terminal(server, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, progress.name)
    monkeypatch.setattr(sys, "stderr", _Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    server.script = ["cut", "serve"]
    _download(server, tmp_path)
    shown = sys.stderr.getvalue()
    assert "ml-1m.zip" in shown and "1.0/1.0 MB" in shown
    assert not caplog.messages


def test_resumes_after_each_cut(server, tmp_path, caplog):
    caplog.set_level(logging.INFO, progress.name)
    server.script = ["cut", "cut", "503", "serve"]
    assert _download(server, tmp_path).read_bytes() == CONTENT
    assert server.seen == ["", "bytes=300000-", "bytes=600000-", "bytes=600000-"]
    assert caplog.messages[-1] == "Fetching ml-1m.zip of 1.0 MB, from 0.6 MB on"


def test_what_came_before_a_cut_stays_where_urllib3_insists_on_whole_blocks(server, tmp_path, monkeypatch):
    """Planted: what urllib3 2 does, which reads on until a block is full, and raises where it cannot."""
    begin, read = urllib3.HTTPResponse.__init__, urllib3.HTTPResponse.read

    def insist(self, *arguments, **named):
        begin(self, *arguments, **{"enforce_content_length": True, **named})

    def read_whole(self, amt=None, **named):
        data = read(self, amt, **named)
        if self.enforce_content_length and self.length_remaining and len(data) < amt:
            raise urllib3.exceptions.ProtocolError("Connection broken")
        return data

    monkeypatch.setattr(urllib3.HTTPResponse, "__init__", insist)
    monkeypatch.setattr(urllib3.HTTPResponse, "read", read_whole)
    server.script = ["cut", "cut", "serve"]
    assert _download(server, tmp_path).read_bytes() == CONTENT
    assert server.seen == ["", "bytes=300000-", "bytes=600000-"]


def test_a_later_call_takes_up_what_an_earlier_one_left(server, tmp_path):
    server.script = ["cut", *["503"] * 5]
    with pytest.raises(download.Unreachable, match="the server answers 503"):
        _download(server, tmp_path)
    assert (tmp_path / "ml-1m.zip.part").stat().st_size == 300_000
    assert _download(server, tmp_path).read_bytes() == CONTENT
    assert server.seen[-1] == "bytes=300000-"


def test_starts_over_where_the_server_knows_no_ranges(server, tmp_path):
    server.script = ["cut", "no range"]
    assert _download(server, tmp_path).read_bytes() == CONTENT


def test_416_for_a_whole_part_means_done(server, tmp_path):
    (tmp_path / "ml-1m.zip.part").write_bytes(CONTENT)
    assert _download(server, tmp_path).read_bytes() == CONTENT
    assert server.seen == [f"bytes={len(CONTENT)}-"]


def test_416_for_a_part_that_is_too_long_starts_over(server, tmp_path):
    (tmp_path / "ml-1m.zip.part").write_bytes(CONTENT + b"more")
    assert _download(server, tmp_path).read_bytes() == CONTENT
    assert server.seen == [f"bytes={len(CONTENT) + 4}-", ""]


def test_a_part_of_another_file_is_deleted_after_its_checksum_fails(server, tmp_path):
    (tmp_path / "ml-1m.zip.part").write_bytes(b"something else")
    assert _download(server, tmp_path).read_bytes() == CONTENT
    assert server.seen == ["bytes=14-", ""]


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.script = ["altered"]
    with pytest.raises(DataError, match=f"must have the checksum {SHA256}; received sha256:"):
        _download(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_404_is_said_at_once(server, tmp_path):
    server.script = ["404"]
    with pytest.raises(DataError, match="answers 404 Not Found.*--data") as caught:
        _download(server, tmp_path)
    assert not isinstance(caught.value, download.Unreachable) and len(server.seen) == 1


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x", "HTTP://127.0.0.1:1/x", "//elsewhere/x"])
def test_a_redirect_from_tls_to_none_is_not_followed(tmp_path, monkeypatch, location):
    requested = []

    def send(self, request, **_):
        requested.append(request.url)
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 302, request.url, request
        answer.headers["Location"] = location if request.url.startswith("https://films") else "http://far/x"
        answer.raw = urllib3.HTTPResponse(io.BytesIO(), preload_content=False)
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    words = r"must not be redirected to .*, because without TLS anybody may have changed the file"
    with pytest.raises(DataError, match=words):
        download.download("https://films/ml-1m.zip", tmp_path / "a.zip", None, None, pause=0)
    assert all(url.startswith("https://") for url in requested)
    with pytest.raises(DataError, match=words):
        download.published_md5("https://films/ml-1m.zip")
    assert all(url.startswith("https://") for url in requested)


def test_a_redirect_without_tls_is_followed(server, tmp_path, monkeypatch):
    serve = _Handler.do_GET

    def redirect(handler):
        if handler.path == "/ml-1m.zip":
            handler.send_response(302)
            handler.send_header("Location", "/moved.zip")
            handler.end_headers()
        else:
            serve(handler)

    monkeypatch.setattr(_Handler, "do_GET", redirect)
    assert _download(server, tmp_path).read_bytes() == CONTENT


def test_no_connection_is_unreachable_after_a_second_try(tmp_path):
    with Server() as stopped:
        pass
    with pytest.raises(download.Unreachable, match="cannot be fetched: no connection"):
        download.download(stopped.url, tmp_path / "a.zip", None, None, pause=0)


def test_without_a_known_checksum_the_stated_length_must_arrive(server, tmp_path):
    server.script = ["cut"]
    assert _download(server, tmp_path, expected=None).read_bytes() == CONTENT


def test_reads_the_md5_beside_an_archive(server, monkeypatch):
    digest = hashlib.md5(CONTENT).hexdigest()
    pages = {".md5": f"{digest.upper()}  ml-1m.zip\n".encode()}
    monkeypatch.setattr(_Handler, "do_GET", lambda self: _answer(self, pages))
    assert download.published_md5(server.url) == f"md5:{digest}"
    pages.clear()
    assert download.published_md5(server.url) is None


def _answer(handler: _Handler, pages: dict[str, bytes]) -> None:
    body = next((page for suffix, page in pages.items() if handler.path.endswith(suffix)), None)
    if body is None:
        handler.send_error(404)
        return
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_checksums_name_their_algorithm(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert download.checksum(tmp_path / "a", "md5") == "md5:900150983cd24fb0d6963f7d28e17f72"
