"""`cj-pipeline cj serve` beside `cj-pipeline lps serve`: processes, files, HTTP; one of them killed on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cj_pipeline.contracts.cj_events import ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from tests.services.cj.lab import request

CLI = Path(sys.executable).with_name("cj-pipeline")
PREFIXES = ("CJ_ASSESSMENT_SERVICE_", "LLM_PROVIDER_SERVICE_", "CJ_PIPELINE_")
PATIENCE_S = 60.0


class Content(BaseHTTPRequestHandler):
    """GET gives the last part of the path back, as the text."""

    def do_GET(self) -> None:
        text = f"The words of {self.path.rpartition('/')[2]}.".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def content_service(handler: type[BaseHTTPRequestHandler] = Content) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Process:
    """A served process; its URL is the line that it prints."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
        with (folder / f"{arguments[0]}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [CLI, *arguments],
                env=inherited | environment,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()

    @property
    def url(self) -> str:
        found = re.fullmatch(r"listening on (http://\S+)\n", self.line)
        assert found, self.line
        return found.group(1)

    def end(self, name: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(name)
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def until(path: Path, count: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while len(lines(path)) < count:
        assert time.monotonic() < deadline, f"{path.name}: {len(lines(path))} lines"
        time.sleep(0.02)
    return lines(path)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str], list[str]]]:
    """A bus folder, the CJ service's environment and its arguments, beside a content service and a running LPS."""
    bus = tmp_path / "bus"
    with content_service() as texts:
        lps = Process(
            tmp_path,
            *("lps", "serve", "--port", "0", "--host", "127.0.0.1", "--callbacks", str(bus)),
            LLM_PROVIDER_SERVICE_USE_MOCK_LLM="true",
            LLM_PROVIDER_SERVICE_MOCK_LATENCY_MS="20",
        )
        environment = {
            "CJ_ASSESSMENT_SERVICE_CONTENT_SERVICE_URL": texts,
            "CJ_ASSESSMENT_SERVICE_SUBMISSION_LEASE_SECONDS": "0.5",
            "CJ_ASSESSMENT_SERVICE_DEFAULT_LLM_PROVIDER": "mock",
        }
        arguments = ["cj", "serve", "--port", "0", "--host", "127.0.0.1", "--bus", str(bus)]
        arguments += ["--lps", f"{lps.url}/api/v1", "--database", f"sqlite:///{tmp_path}/cj.db"]
        try:
            yield bus, environment, arguments
        finally:
            lps.end(signal.SIGKILL)


def test_a_batch_survives_the_process_that_was_killed_over_it(
    stack: tuple[Path, dict[str, str], list[str]], tmp_path: Path
) -> None:
    bus, environment, arguments = stack
    bus.mkdir(exist_ok=True)
    (bus / f"{ASSESSMENT_REQUEST_TOPIC}.jsonl").write_bytes(request(6) + b"\n")
    first = Process(tmp_path, *arguments, **environment)
    try:
        until(bus / "huleedu.llm_provider.comparison_result.v1.jsonl", 5)
    finally:
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = Process(tmp_path, *arguments, **environment)
    try:
        (thin,) = until(bus / f"{CJ_COMPLETED_TOPIC}.jsonl", 1)
        with urllib.request.urlopen(f"{second.url}/healthz", timeout=10) as answer:  # noqa: S310
            assert json.load(answer)["status"] == "healthy"
        with urllib.request.urlopen(f"{second.url}/metrics", timeout=10) as answer:  # noqa: S310
            assert b'cj_batch_state{state="COMPLETED"} 1.0' in answer.read()
    finally:
        assert second.end(signal.SIGTERM) == 0
    assert json.loads(thin)["data"]["status"] == "completed_successfully"
    (rich,) = lines(bus / f"{ASSESSMENT_RESULT_TOPIC}.jsonl")
    assert json.loads(rich)["data"]["assessment_metadata"]["comparison_count"] == 30
    for line in lines(tmp_path / "cj.log"):
        assert json.loads(line)["service"] == "cj_assessment_service"
