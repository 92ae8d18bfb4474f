"""Kubeflow Pipelines' API, v2beta1, on loopback: its JSON over HTTP, with a memory."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_API = "/apis/v2beta1/"
_IDS = {"runs": "run_id", "recurringruns": "recurring_run_id", "experiments": "experiment_id"}
_LISTS = {"runs": "runs", "recurringruns": "recurringRuns", "experiments": "experiments"}


class FakeKubeflow:
    """What was created, newest last, by kind.

    Attributes:
      fault: where set, every call ends with it: a status and a message.
      delay: seconds that every call takes.
      tokens: what callers showed.
    """

    def __init__(self) -> None:
        self.stored: dict[str, list[Json]] = {kind: [] for kind in _IDS}
        self.fault: tuple[int, str] | None = None
        self.delay = 0.0
        self.tokens: set[str] = set()

    def answer(self, method: str, url: str, body: Json) -> Json:
        """Do what a request says."""
        parts = urllib.parse.urlsplit(url)
        kind, _, rest = parts.path.removeprefix(_API).partition("/")
        if method == "POST" and not rest:
            return self._create(kind, body)
        if method == "GET":
            return self._list(kind, urllib.parse.parse_qs(parts.query))
        number, _, action = rest.partition(":")
        (found,) = (each for each in self.stored[kind] if each[_IDS[kind]] == number)
        if method == "DELETE":
            self.stored[kind].remove(found)
        else:
            found["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[action]
        return {}

    def _create(self, kind: str, body: Json) -> Json:
        body[_IDS[kind]] = f"{kind}-{len(self.stored[kind]) + 1}"
        body["created_at"] = "2030-01-31T06:00:00Z"
        body.setdefault("state" if kind == "runs" else "status", "PENDING" if kind == "runs" else "ENABLED")
        self.stored[kind].append(body)
        return body

    def _list(self, kind: str, query: dict[str, list[str]]) -> Json:
        found = self.stored[kind]
        if "filter" in query:
            (predicate,) = json.loads(query["filter"][0])["predicates"]
            found = [each for each in found if each[predicate["key"]] == predicate["stringValue"]]
        size = int(query.get("page_size", ["10"])[0])
        return {_LISTS[kind]: found[::-1][:size]} if found else {}


@contextlib.contextmanager
def serving(fake: FakeKubeflow, redirect: str = "") -> Iterator[str]:
    """Serve on a free port of loopback, or send everybody to another URL; give the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            fake.tokens.add(self.headers.get("authorization", ""))
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            time.sleep(fake.delay)
            status, answer = 302 if redirect else 200, {}
            if fake.fault:
                status, answer = fake.fault[0], {"error": fake.fault[1], "code": 7, "message": fake.fault[1]}
            elif not redirect:
                answer = fake.answer(self.command, self.path, body)
            text = json.dumps(answer).encode()
            with contextlib.suppress(BrokenPipeError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                if redirect:
                    self.send_header("Location", redirect + self.path)
                self.end_headers()
                self.wfile.write(text)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
