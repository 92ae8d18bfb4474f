"""Google Cloud Storage on loopback: objects, generations and preconditions of its JSON API, with a memory."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import itertools
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Object:
    """One generation of an object."""

    content: bytes
    generation: int
    metadata: dict[str, str]

    def described(self, name: str) -> dict[str, Any]:
        """Return its resource, as the API writes it."""
        digest = base64.b64encode(hashlib.md5(self.content).digest()).decode()
        return {
            "name": name,
            "generation": str(self.generation),
            "metadata": self.metadata,
            "md5Hash": digest,
        }


class FakeStorage:
    """One bucket.

    Attributes:
      objects: by name.
      before: called with method and name before each call, so that another may come first.
      lose_answers: how many of the next writes are done and answered with 503.
      damage_answers: how many of the next downloads arrive empty, with the whole content's checksum.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.before: Callable[[str, str], None] = lambda method, name: None
        self.lose_answers = 0
        self.damage_answers = 0
        self._generations = itertools.count(1_000)
        self._lock = threading.Lock()

    def put(self, name: str, content: bytes, metadata: dict[str, str] | None = None) -> Object:
        """Write an object, as another publisher would."""
        made = Object(content, next(self._generations), metadata or {})
        self.objects[name] = made
        return made

    def answer(
        self, method: str, name: str, query: dict[str, str], body: tuple[dict, bytes]
    ) -> tuple[int, Any]:
        """Do what a request says; a status, and a resource or content."""
        with self._lock:
            found = self.objects.get(name)
            wanted = query.get("ifGenerationMatch")
            if wanted is not None and int(wanted) != (found.generation if found else 0):
                return 412, {"error": {"code": 412, "message": "conditionNotMet"}}
            if method == "POST":
                made = self.put(name, body[1], body[0].get("metadata"))
                return 200, made.described(name)
            if found is None:
                return 404, {"error": {"code": 404, "message": f"No such object: {name}"}}
            if method == "DELETE":
                del self.objects[name]
                return 204, None
            return 200, found if query.get("alt") == "media" else found.described(name)


@contextlib.contextmanager
def serving(fake: FakeStorage) -> Iterator[str]:
    """Serve on a free port of loopback; give what STORAGE_EMULATOR_HOST names it by."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(url.query))
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = self._parts(raw) if self.command == "POST" else ({}, b"")
            name = body[0].get("name") or urllib.parse.unquote(url.path.rpartition("/o/")[2])
            fake.before(self.command, name)
            status, answer = fake.answer(self.command, name, query, body)
            if self.command == "POST" and status == 200 and fake.lose_answers:
                fake.lose_answers -= 1
                status, answer = 503, {"error": {"code": 503, "message": "lost on its way"}}
            is_content = isinstance(answer, Object)
            text = answer.content if is_content else json.dumps(answer).encode() if answer else b""
            self.send_response(status)
            if is_content and fake.damage_answers:
                fake.damage_answers -= 1
                text = b""
            if is_content:
                self.send_header("X-Goog-Generation", str(answer.generation))
                self.send_header("X-Goog-Hash", f"md5={answer.described(name)['md5Hash']}")
            self.send_header("Content-Type", "application/octet-stream" if is_content else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _parts(self, raw: bytes) -> tuple[dict, bytes]:
            """Split an upload into its resource and its content."""
            boundary = self.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
            _, resource, content, _ = raw.split(b"--" + boundary)
            resource, content = (
                part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in (resource, content)
            )
            return json.loads(resource), content

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
