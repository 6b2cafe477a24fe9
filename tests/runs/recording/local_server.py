"""This module serves the fake judge on loopback, for tests that ask it from another process."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.runs.recording.fake_judge import reply


@dataclass
class Server:
    """An OpenAI-compatible server. hangs_at: the call, from 1, that waits until `release` is set."""

    url: str = ""
    hangs_at: int = 0
    prompts: list[str] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> Counter[str]:
        return Counter(self.prompts)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.prompts.append(body["messages"][-1]["content"])
        if len(self.prompts) == self.hangs_at:
            self.hanging.set()
            assert self.release.wait(60)
        return reply(body)


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of the loopback interface, in a thread."""
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            answer = served.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            content = json.dumps(answer).encode()
            try:
                self.send_response(200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # whoever asked was killed
                self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        served.url = f"http://127.0.0.1:{http.server_port}/v1"
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        served.release.set()
        http.shutdown()
