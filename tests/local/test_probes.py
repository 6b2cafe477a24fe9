"""A probe says that a part is ready when it can do its work, and in a sentence what it lacks when it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.probes import CJ, CODE_SERVER, LPS, WEBSERVER, Health, probe, within


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """HOST:PORT of a server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


STOPPING = json.dumps({"status": "unhealthy", "message": "The service is stopping."})


@pytest.mark.parametrize("part", [LPS, CJ])
def test_a_service_that_says_it_is_not_ready_lives_all_the_same(part: str) -> None:
    with answering(503, STOPPING) as address:
        assert probe(part, address) == Health(part, False, "The service is stopping.")
        assert probe(part, address, live=True).good


@pytest.mark.parametrize("part", [LPS, CJ, WEBSERVER, CODE_SERVER])
@pytest.mark.parametrize("live", [False, True])
def test_a_part_that_is_away_neither_lives_nor_is_ready(part: str, live: bool) -> None:
    found = probe(part, f"127.0.0.1:{free_port()}", live=live)
    assert not found.good
    assert "answer" in found.detail


def test_an_address_that_is_none_is_told() -> None:
    assert not probe(CJ, "foo:bar").good
    assert not probe(WEBSERVER, "::1:3000").good


@pytest.mark.parametrize("part", [LPS, CJ, WEBSERVER])
def test_another_program_at_the_port_is_no_part(part: str) -> None:
    with answering(200, "<html>welcome</html>") as address:
        found = probe(part, address)
    assert (found.good, f"What listens at {address} is no" in found.detail) == (False, True)


def workspace(location: dict[str, str] | None, status: str = "LOADED") -> dict[str, Any]:
    entry = {"name": "cj_pipeline", "loadStatus": status, "locationOrLoadError": location}
    return {
        "runsOrError": {"__typename": "Runs"},
        "workspaceOrError": {"__typename": "Workspace", "locationEntries": [entry]},
    }


LOADED = {"__typename": "RepositoryLocation"}
BROKEN = {"__typename": "PythonError", "message": "ImportError: no cj_pipelin\nStack: ..."}


@pytest.mark.parametrize(
    ("answer", "good", "told"),
    [
        ({"data": workspace(LOADED)}, True, "The storage answers, and the code is loaded."),
        ({"data": workspace(BROKEN)}, False, "cj_pipeline is not loaded: ImportError: no cj_pipelin"),
        ({"data": workspace(None, "LOADING")}, False, "cj_pipeline is not loaded: LOADING"),
        (
            {"data": {**workspace(LOADED), "runsOrError": {"__typename": "PythonError", "message": "refused"}}},
            False,
            "The storage cannot be read: refused",
        ),
        (
            {"data": {**workspace(LOADED), "workspaceOrError": {"__typename": "Workspace", "locationEntries": []}}},
            False,
            "The workspace names no code location.",
        ),
        ({"data": None, "errors": [{"message": "refused\nmore"}]}, False, "cannot answer: refused"),
        ([], False, "cannot answer: no data"),
    ],
)  # fmt: skip
def test_a_webserver_is_ready_when_storage_and_code_are_there(answer: Any, good: bool, told: str) -> None:
    with answering(200, json.dumps(answer)) as address:
        found = probe(WEBSERVER, address)
        assert found.good is good
        assert found.detail.endswith(told)
        assert probe(WEBSERVER, address, live=True).good


@pytest.mark.parametrize(("status", "good"), [("SERVING", True), ("NOT_SERVING", False), (None, False)])
def test_a_code_server_is_ready_when_it_says_that_it_serves(status: str | None, good: bool) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    if status is not None:  # else it is another program's gRPC server
        servicer.set("DagsterApi", health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert probe(CODE_SERVER, f"127.0.0.1:{port}").good is good
    finally:
        server.stop(None).wait()


def test_a_part_that_never_ends_its_answer_is_not_waited_for() -> None:
    never = Event()
    assert within(LPS, 0.05, "What listens", lambda: Health(LPS, never.wait(), "")) == Health(
        LPS, False, "What listens has not answered within 0.05 s."
    )
    never.set()
    assert within(LPS, 60.0, "What listens", lambda: Health(LPS, True, "well")) == Health(LPS, True, "well")


def test_an_error_of_a_probe_is_raised_where_it_is_waited_for() -> None:
    def ask() -> Health:
        raise CjPipelineError("install Dagster")

    with pytest.raises(CjPipelineError, match="install Dagster"):
        within(CODE_SERVER, 60.0, "What listens", ask)


@pytest.mark.parametrize("part", [LPS, CJ, WEBSERVER])
def test_no_proxy_is_asked_for_what_is_on_this_machine(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with answering(200, json.dumps({"message": "here"})) as address:
        assert probe(part, address, live=True).good
        assert "Nothing answers" not in probe(part, address).detail


@pytest.mark.parametrize(
    ("part", "body"), [(WEBSERVER, '{"errors": ["x"]}'), (LPS, "[" * 100_000), (CJ, "[" * 100_000)]
)
def test_what_a_stranger_answers_is_no_defect(part: str, body: str) -> None:
    with answering(200, body) as address:
        assert not probe(part, address).good


def test_a_probe_that_gives_up_by_itself_is_not_called_slow() -> None:
    def ask() -> Health:
        raise TimeoutError("of the probe")

    with pytest.raises(TimeoutError, match="of the probe"):
        within(LPS, 60.0, "What listens", ask)
