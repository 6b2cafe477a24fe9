"""The service as people run it: a process on a port, signals, a log, callbacks in files."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.mock.mode.files import load_mode
from tests.servers import needs
from tests.services.lps.lab import Lab, body, correlation_id, in_lab
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.services.lps.served import Served, refused, ticks

MODE = "eng5_anchor_gpt51_low"
# Half of all attempts fail, and there are two: a quarter of the callbacks are errors, and a quarter took a retry.
ANSWERS: dict[str, Any] = {
    "mock_provider_seed": 7,
    "mock_latency_ms": 10,
    "mock_latency_jitter_ms": 50,
    "mock_error_rate": 0.5,
    "mock_error_codes": "500",
    "queue_max_retries": 1,
    "queue_retry_backoff_seconds": 0.01,
    "llm_max_concurrent_requests": 16,
}
PROMPT = "Once upon a time there was an essay that nobody may quote."
COMPARISON = "/api/v1/comparison"
JSON_HEADERS = b"POST /api/v1/comparison HTTP/1.1\r\nHost: lps\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One process for all tests that do not stop it."""
    keys = {"anthropic_api_key": "key-of-anthropic", "admin_api_key": "key-of-admin", "log_level": "DEBUG"}
    with Served(tmp_path_factory.mktemp("served"), mock_mode=MODE, **ANSWERS, **keys) as process:
        yield process


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that is away in one of the tests, and back at its end."""
    binary = redis_binary()
    assert binary is not None
    with RedisServer(binary, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def pair(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    """Two processes on one Redis, answering one request each at a time, in 50 ms."""
    folder = tmp_path_factory.mktemp("pair")
    settings = {"queue_backend": "redis", "redis_url": redis.url, "mock_latency_ms": 50}
    first, second = (Served(folder, name, **settings) for name in ("first", "second"))
    with first, second:
        yield first, second


def post(served: Served, number: int, **kwargs: Any) -> httpx.Response:
    return httpx.post(served.url + COMPARISON, json=body(number, **kwargs), timeout=10)


def posted(served: Served, numbers: range) -> list[str]:
    """The queue ids of so many accepted requests."""
    with httpx.Client(base_url=served.url, timeout=10) as client:
        responses = [client.post(COMPARISON, json=body(number)) for number in numbers]
    assert [response.status_code for response in responses] == [202] * len(numbers)
    return [response.json()["queue_id"] for response in responses]


def events(lines: list[bytes]) -> list[CallbackEvent]:
    parsed = [parse_callback(line) for line in lines]
    assert all(isinstance(event, CallbackEvent) for event in parsed)
    return parsed  # type: ignore[return-value]


def raw(served: Served, *parts: bytes) -> bytes:
    """Everything that the server says to these bytes, sent on one connection, until it closes it."""
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        said = b""
        while block := connection.recv(65_536):
            said += block
        return said


def statuses(said: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


def metric(served: Served, line: str) -> float:
    text = httpx.get(f"{served.url}/metrics", timeout=10).text
    return sum(float(found) for found in re.findall(rf"^{re.escape(line)}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def test_it_says_where_it_listens(served: Served) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d{4,5}", served.url)
    health = httpx.get(f"{served.url}/healthz")
    assert (health.status_code, health.json()["status"]) == (200, "healthy")
    assert health.json()["mock_mode_name"] == MODE


def answer_in(event: CallbackEvent) -> dict[str, object]:
    """What must not depend on where and when the service runs."""
    data = event.data.model_dump(mode="json", exclude={"requested_at", "completed_at", "error_detail"})
    error = event.data.error_detail
    told = None if error is None else error.model_dump(mode="json", exclude={"timestamp"})
    return data | {"event_id": str(event.event_id), "error": told}


def test_a_served_and_an_embedded_service_answer_alike(served: Served) -> None:
    async def embedded(lab: Lab) -> list[bytes]:
        for number in range(24):
            await lab.post(number)
        return [await lab.next_bytes() for _ in range(24)]

    posted(served, range(24))
    expected = {
        event.correlation_id: answer_in(event) for event in events(in_lab(embedded, load_mode(MODE), **ANSWERS))
    }
    ids = {correlation_id(number) for number in range(24)}
    for _ in ticks(10.0):
        told = [event for event in events(served.callbacks()) if event.correlation_id in ids]
        if len(told) == 24:
            break
    assert {event.correlation_id: answer_in(event) for event in told} == expected
    outcomes = [event.data.winner for event in told]
    assert len(set(outcomes)) == 3  # A, B, and errors
    assert len({event.data.response_time_ms for event in told if event.data.succeeded}) > 10


def test_health_metrics_and_the_document_are_served(served: Served) -> None:
    with httpx.Client(base_url=served.url) as client:
        assert client.get("/healthz").json()["dependencies"]["queue"]["backend"] == "memory"
        metrics = client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "llm_provider_queue_depth" in metrics.text
        document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert COMPARISON in document["paths"]


def test_one_connection_carries_many_requests(served: Served) -> None:
    one = json.dumps(body(100)).encode()
    request = JSON_HEADERS + b"Content-Length: %d\r\n" % len(one)
    # Sent at once, answered in order.
    said = raw(served, (request + b"\r\n" + one) * 2 + request + b"Connection: close\r\n\r\n" + one)
    assert statuses(said) == [202, 202, 202]


def test_a_chunked_body_is_a_body(served: Served) -> None:
    text = json.dumps(body(101)).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (text[:10], text[10:11], text[11:]))
    headers = JSON_HEADERS + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    said = raw(served, headers, chunks, b"0\r\n\r\n")
    assert statuses(said) == [202]


def test_a_body_of_over_a_mebibyte_is_refused(served: Served) -> None:
    response = post(served, 102, prompt="x" * 2**20)
    assert (response.status_code, response.json()["error"]) == (413, "Request too large")
    # Told its length, it does not wait for the body.
    announced = raw(served, JSON_HEADERS + b"Content-Length: 99999999999\r\nConnection: close\r\n\r\n")
    assert statuses(announced) == [413]
    # Not told, it does not wait for the end.
    chunk = b"%x\r\n%s\r\n" % (2**18, b" " * 2**18)
    headers = JSON_HEADERS + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert statuses(raw(served, headers, *[chunk] * 4, b"1\r\n \r\n")) == [413]


def test_a_head_of_over_64_kilobytes_is_refused_and_its_connection_closed(served: Served) -> None:
    assert statuses(raw(served, JSON_HEADERS + b"X-Long: " + b"a" * 70_000)) == [400]
    assert httpx.get(f"{served.url}/healthz").status_code == 200


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # how TLS begins
        JSON_HEADERS + b"Content-Length: many\r\n\r\n",
        JSON_HEADERS + b"Transfer-Encoding: chunked\r\n\r\nnot a length\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_harms_nobody(served: Served, bytes_sent: bytes) -> None:
    said = raw(served, bytes_sent)
    assert statuses(said) == [400]
    assert httpx.get(f"{served.url}/healthz").status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_request_is_forgotten(served: Served) -> None:
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(JSON_HEADERS + b"Content-Length: 500\r\n\r\n{")
    assert post(served, 103).status_code == 202


def test_the_log_is_json_a_line_with_ids_and_without_essays_and_keys(served: Served) -> None:
    for number in range(200, 216):
        post(served, number, prompt=PROMPT, metadata={"essay_a_id": "Erika Mustermann", "cj_batch_id": "batch-9"})
    httpx.post(served.url + COMPARISON, json={"user_prompt": PROMPT}, timeout=10)
    httpx.post(f"{served.url}/api/v1/providers/mock/test", headers={"X-Admin-Api-Key": "key-of-admin"}, timeout=10)
    ids = {str(correlation_id(number)) for number in range(200, 216)}
    for _ in ticks(10.0):
        about = [line for line in served.log_lines() if line.get("correlation_id") in ids]
        if any(line["level"] == "WARNING" for line in about):  # a quarter of 16 fail twice
            break
    assert {"timestamp", "level", "logger", "event", "service"} <= set.intersection(*map(set, served.log_lines()))
    assert {line["cj_batch_id"] for line in about} == {"batch-9"}
    for secret in ("Once upon", "nobody may quote", "Mustermann", "key-of-anthropic", "key-of-admin"):
        assert secret not in served.log


@pytest.mark.parametrize("backend", ["memory", needs("redis")])
def test_waves_that_are_posted_one_by_one_are_answered_in_as_many_bundles(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = {} if backend == "memory" else {"redis_url": request.getfixturevalue("own_redis").url}
    # Long enough for any machine: a full bundle leaves at once.
    settings = {"queue_processing_mode": "serial_bundle", "serial_bundle_linger_ms": 20_000, **where}
    with Served(tmp_path, **settings) as served:
        for number in range(10):
            wave = {"essay_a_id": "a", "essay_b_id": "b", "preferred_bundle_size": 2}
            assert post(served, number, metadata=wave).status_code == 202
        served.wait_for_callbacks(10)
        assert metric(served, "llm_provider_serial_bundle_calls_total") == 5
        assert httpx.get(f"{served.url}/healthz").json()["dependencies"]["queue"]["backend"] == backend


def test_sigterm_answers_what_was_accepted_and_takes_nothing_more(tmp_path: Path) -> None:
    # The drain lasts as long as an answer: on a busy machine .8 s were over before the last question below was asked.
    with Served(tmp_path, mock_latency_ms=3000, llm_max_concurrent_requests=8) as served:
        queue_ids = posted(served, range(8))
        served.terminate()
        for _ in ticks(5.0):
            if (late := post(served, 8)).status_code != 202:
                break
        assert (late.status_code, late.json()["error"]) == (503, "Service is not running")
        # Meanwhile health tells balancers to go elsewhere, and results can still be asked for.
        assert httpx.get(f"{served.url}/healthz").status_code == 503
        assert httpx.get(f"{served.url}/api/v1/status/{queue_ids[7]}").json()["status"] in {"queued", "processing"}
        assert served.wait() == 0
        told = events(served.callbacks())
        assert [event.data.succeeded for event in told if event.correlation_id != correlation_id(8)] == [True] * 8
        assert {event.correlation_id for event in told} >= {correlation_id(number) for number in range(8)}
        assert len({event.correlation_id for event in told}) == len(told)
        assert [line["event"] for line in served.log_lines()][-2:] == ["draining", "stopped"]


def test_what_a_drain_has_no_time_for_is_told_so_once(tmp_path: Path) -> None:
    with Served(tmp_path, mock_latency_ms=60_000, shutdown_drain_seconds=0.3) as served:
        posted(served, range(3))
        address = urlsplit(served.url)
        # A connection that says nothing does not hold up the end.
        with socket.create_connection((address.hostname, address.port)) as idle:
            served.terminate()
            assert served.wait(20.0) == 0
            assert idle.recv(1) == b""
        told = events(served.callbacks())
        assert {event.correlation_id for event in told} == {correlation_id(number) for number in range(3)}
        assert [event.data.error_detail and event.data.error_detail.error_code for event in told] == [
            "SERVICE_UNAVAILABLE"
        ] * 3


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with Served(tmp_path, mock_latency_ms=60_000, shutdown_drain_seconds=60) as served:
        posted(served, range(2))
        served.terminate()
        for _ in ticks(5.0):
            if "draining" in served.log:
                break
        assert not served.ended
        served.send(signal.SIGINT)
        assert served.wait(20.0) == 0
        assert served.callbacks() == []
        assert [line["event"] for line in served.log_lines()][-2:] == ["stopping at once", "stopped"]


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = refused(tmp_path, "--host", "127.0.0.1", "--port", port)
    assert (code, told) == (2, f"error: Cannot listen on 127.0.0.1:{port}: Address already in use.\n")


def test_a_redis_that_is_away_at_the_start_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://:geheim@127.0.0.1:{nobody.getsockname()[1]}/0"
        code, told = refused(tmp_path, "--port", 0, "--queue", "redis", redis_url=url)
    assert code == 2
    assert told == (
        "error: The queue's store cannot be reached: Redis cannot be reached (ConnectionError). "
        "Is LLM_PROVIDER_SERVICE_REDIS_URL right?\n"
    )


def test_two_processes_share_the_work_of_one_queue(pair: tuple[Served, Served]) -> None:
    first, second = pair
    queue_ids = posted(first, range(300, 320))
    first.wait_for_callbacks(20)
    ids = {correlation_id(number) for number in range(300, 320)}
    assert len([event for event in events(first.callbacks()) if event.correlation_id in ids]) == 20
    shares = [metric(one, "llm_provider_comparison_callbacks_total") for one in pair]
    assert sum(shares) == 20
    assert min(shares) >= 5
    status = httpx.get(f"{second.url}/api/v1/status/{queue_ids[0]}").json()
    assert (status["status"], status["callback_published"]) == ("completed", True)


def test_while_redis_is_away_nothing_is_accepted_and_afterwards_all_is_well(
    pair: tuple[Served, Served], redis: RedisServer
) -> None:
    first, second = pair
    before = len(first.callbacks())
    redis.kill()
    away = post(first, 400)
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert away.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    health = httpx.get(f"{second.url}/healthz", timeout=10)
    assert (health.status_code, health.json()["dependencies"]["redis"]["status"]) == (503, "unhealthy")
    redis.start()
    for _ in ticks(10.0):
        if post(first, 400).status_code == 202 and httpx.get(f"{second.url}/healthz", timeout=10).status_code == 200:
            break
    told = events(first.wait_for_callbacks(before + 1))[before:]
    assert [event.correlation_id for event in told] == [correlation_id(400)]
    assert httpx.get(f"{first.url}/healthz", timeout=10).status_code == 200
    assert "Traceback" not in first.log + second.log
