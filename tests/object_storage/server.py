"""This module runs an S3-compatible server (moto) on loopback, which can be told to misbehave.

One request is answered at a time: moto itself compares and replaces an object in two steps.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any

import httpx

from tests.house import REPOSITORY

BUCKET = "lake"
START_S = 120.0
FAULT_PATH = "/_fault"

WORDS = {"error": ("500 Internal Server Error", "InternalError"), "forbidden": ("403 Forbidden", "AccessDenied")}

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True, slots=True)
class ObjectServer:
    """A running server. environment: what a process needs to reach it."""

    endpoint: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            # Else botocore reads the files of the person whose machine this is.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @contextmanager
    def fault(self, kind: str) -> Iterator[None]:
        """Misbehave for a while. kind: `error`, `forbidden`, `silent` (no answer), `drip` (a byte now and then)."""
        httpx.post(f"{self.endpoint}{FAULT_PATH}", content=kind).raise_for_status()
        try:
            yield
        finally:
            httpx.post(f"{self.endpoint}{FAULT_PATH}", content="").raise_for_status()


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Start a server on a free port, with one empty bucket."""
    command = [sys.executable, "-m", "tests.object_storage.server"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            endpoint = f"http://127.0.0.1:{port}"
            httpx.put(f"{endpoint}/{BUCKET}", timeout=START_S).raise_for_status()
            yield ObjectServer(endpoint)
        finally:
            process.kill()


class Misbehaving:
    """A WSGI application in front of moto."""

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner
        self._kind = ""
        self._well_again = Event()
        self._lock = Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == FAULT_PATH:
            self._well_again.set()
            self._kind = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)).decode()
            self._well_again = Event()
            start_response("200 OK", [("Content-Length", "0")])
            return [b""]
        kind, well_again = self._kind, self._well_again
        if kind in WORDS:
            status, code = WORDS[kind]
            body = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
            start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        if kind == "silent":
            well_again.wait()
        with self._lock:
            answered = [b"".join(self._inner(environ, start_response))]
        return self._dripping(answered[0], well_again) if kind == "drip" else answered

    @staticmethod
    def _dripping(body: bytes, well_again: Event) -> Iterator[bytes]:
        for place in range(len(body)):
            yield body[place : place + 1]
            well_again.wait(0.5)


def main() -> None:
    from moto.server import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, Misbehaving(create_backend_app("s3")), threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
