"""A load generator: comparison requests posted over keep-alive connections, as fast as they are answered.

    python -m benchmarks.load URL [--connections 32] [--requests 100000 | --seconds 10] [--shape comparison] [--json]

A process of its own, so that it does not share the interpreter of what it measures. Every connection has one request
on its way at a time; latency is from writing a request to the last byte of its answer. `--shape openai` posts the same
prompts as chat completions, for a peer that speaks that. The client itself costs 10 us a request on uvloop; what comes
near 100,000 a second is the client's own rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import cycle, permutations
from math import ceil
from time import perf_counter
from urllib.parse import SplitResult, urlsplit

ESSAYS = [f"essay-{number:02d}" for number in range(12)]
PROMPT_CHARS = 1_200  # with the rest of the request about 1.5 KB
CALLBACK_TOPIC = "benchmark.load.v1"
CONNECT_ATTEMPTS = 3

# Stands in a template where a request's own number goes; the last group of a UUID, so that lengths never change.
_NUMBER = b"ffffffffffff"


class Shape(Enum):
    """What is posted, and where."""

    COMPARISON = "comparison"
    OPENAI = "openai"


PATHS = {Shape.COMPARISON: "/api/v1/comparison", Shape.OPENAI: "/v1/chat/completions"}


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. statuses: answers by HTTP status; lost: requests whose connection broke before an answer.

    per_second counts every answer, accepted_per_second those with a status of 2xx. Latencies are of all answers.
    """

    url: str
    connections: int
    statuses: Mapping[str, int]
    lost: int
    seconds: float
    per_second: float
    accepted_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float


def prompt(essay_a: str, essay_b: str) -> str:
    """Stand-in essays of the length of a short prompt."""
    text = f"Which essay is better, {essay_a} or {essay_b}? "
    return text + ("The quick brown fox jumps over the lazy dog. " * 40)[: PROMPT_CHARS - len(text)]


def document(shape: Shape, run: str, essay_a: str, essay_b: str) -> dict[str, object]:
    """One request's body, its number left open."""
    if shape is Shape.OPENAI:
        messages = [{"role": "user", "content": prompt(essay_a, essay_b)}]
        return {"model": "gpt-5.1", "stream": False, "messages": messages, "user": f"{run}-{_NUMBER.decode()}"}
    return {
        "user_prompt": prompt(essay_a, essay_b),
        "callback_topic": CALLBACK_TOPIC,
        "correlation_id": f"{run}-0000-4000-8000-{_NUMBER.decode()}",
        "metadata": {"essay_a_id": essay_a, "essay_b_id": essay_b},
        "llm_config_overrides": {"provider_override": "mock"},
    }


def requests(url: SplitResult, shape: Shape) -> Iterator[bytes]:
    """HTTP requests without end, encoded but for their number; correlation ids differ between runs too."""
    run = secrets.token_hex(4)
    templates = []
    for essay_a, essay_b in permutations(ESSAYS, 2):
        body = json.dumps(document(shape, run, essay_a, essay_b)).encode()
        head = (
            f"POST {url.path.rstrip('/')}{PATHS[shape]} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        before, after = (head.encode() + body).split(_NUMBER)
        templates.append(before.replace(b"%", b"%%") + b"%012x" + after.replace(b"%", b"%%"))
    return (template % number for number, template in enumerate(cycle(templates)))


def answer(data: bytes) -> tuple[int, bool] | None:
    """(status, whether the connection may be used again) of a whole HTTP/1.1 answer; None while some is missing."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    head = data[:end].lower()
    if not head.startswith(b"http/1."):
        raise ValueError("an answer that is not HTTP/1.1")
    status = int(head[9:12])
    again = b"\r\nconnection: close" not in head
    if (at := head.find(b"\r\ncontent-length:")) >= 0:
        length = int(head[at + 17 : head.find(b"\r\n", at + 17)])
        return (status, again) if len(data) >= end + length else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return (status, again) if _ends(data, end) else None
    if status == 204:
        return status, again
    raise ValueError(f"an answer with status {status} that does not say how long it is")


def _ends(data: bytes, at: int) -> bool:
    """Whether chunks from there on end with the empty one, and no trailers."""
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].split(b";")[0], 16)
        at = line + 2 + size + 2
        if size == 0:
            return len(data) >= at
    return False


class Generator:
    """What the connections share: requests to send, and a record of what came back."""

    def __init__(self, requests: Iterator[bytes], limit: int | None, until: float) -> None:
        """limit: requests in all, None for no limit; until: perf_counter seconds after which none is started."""
        self._requests = requests
        self._left = sys.maxsize if limit is None else limit
        self._until = until
        self.statuses: Counter[int] = Counter()
        self.lost = 0
        self.latencies = array("d")  # seconds

    def is_over(self, now: float) -> bool:
        """Whether no request is to be started any more."""
        return self._left == 0 or now >= self._until

    def take(self, now: float) -> bytes | None:
        """The next request; None when it is over."""
        if self.is_over(now):
            return None
        self._left -= 1
        return next(self._requests)


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its answer, the next request."""

    def __init__(self, generator: Generator) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered = 0
        self._generator = generator
        self._received = b""
        self._sent = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send(perf_counter())

    def _send(self, now: float) -> None:
        request = self._generator.take(now)
        self._waiting = request is not None
        if request is None:
            self._transport.close()
            return
        self._sent = now
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        try:
            found = answer(self._received)
        except ValueError as error:
            if not self.over.done():
                self.over.set_exception(error)
            self._transport.abort()
            return
        if found is None:
            return
        now = perf_counter()
        status, again = found
        self._generator.statuses[status] += 1
        self._generator.latencies.append(now - self._sent)
        self._received = b""
        self.answered += 1
        if again:
            self._send(now)
        else:
            self._waiting = False
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._generator.lost += self._waiting
        if not self.over.done():
            self.over.set_result(None)


async def keep_connected(host: str, port: int, generator: Generator) -> None:
    """One connection after another until nothing is left to send. Raises OSError when none can be made.

    A server that hangs up without an answer several times in a row is taken to be none.
    """
    loop = asyncio.get_running_loop()
    silent = 0
    while not generator.is_over(perf_counter()):
        _, connection = await loop.create_connection(lambda: Connection(generator), host, port)
        await connection.over
        silent = 0 if connection.answered else silent + 1
        if silent == CONNECT_ATTEMPTS:
            raise ConnectionError(f"{host}:{port} hung up on {silent} connections in a row without an answer")


async def load(
    base_url: str,
    *,
    connections: int = 32,
    number: int | None = None,
    seconds: float = float("inf"),
    shape: Shape = Shape.COMPARISON,
) -> Load:
    """Post until so many requests are sent or so many seconds are over, and wait for the answers on their way.

    base_url: http only; its path, if any, goes before the shape's.
    Raises ValueError for another scheme or an answer that is not HTTP/1.1, OSError when nobody listens or answers.
    """
    url = urlsplit(base_url)
    if url.scheme != "http" or url.hostname is None:
        raise ValueError("not an http:// address. Name one, as http://127.0.0.1:8000")
    start = perf_counter()
    generator = Generator(requests(url, shape), number, start + seconds)
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(keep_connected(url.hostname, url.port or 80, generator))
    took = perf_counter() - start
    if not generator.latencies:
        raise ConnectionError("no request was answered")
    latencies_ms = sorted(1e3 * latency for latency in generator.latencies)
    accepted = sum(count for status, count in generator.statuses.items() if 200 <= status < 300)
    return Load(
        url=base_url,
        connections=connections,
        statuses={str(status): count for status, count in sorted(generator.statuses.items())},
        lost=generator.lost,
        seconds=took,
        per_second=len(latencies_ms) / took,
        accepted_per_second=accepted / took,
        p50_ms=_quantile(latencies_ms, 0.5),
        p99_ms=_quantile(latencies_ms, 0.99),
        max_ms=_quantile(latencies_ms, 1.0),
    )


def _quantile(ordered: list[float], share: float) -> float:
    """By the nearest rank."""
    return ordered[ceil(share * len(ordered)) - 1]


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where there is one: it halves what the client itself costs."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description="Post comparisons as fast as they are answered."
    )
    parser.add_argument("url", help="base URL of the service, as http://127.0.0.1:8000")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, help="how many to send (default: 100000 unless --seconds is given)")
    parser.add_argument("--seconds", type=float, help="how long to send")
    parser.add_argument(
        "--shape", type=Shape, choices=list(Shape), default=Shape.COMPARISON, metavar="{comparison,openai}"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table row")
    given = parser.parse_args()
    if given.connections < 1:
        parser.error("--connections: at least 1")
    if given.requests is None and given.seconds is None:
        given.requests = 100_000
    return given


def main() -> None:
    given = arguments()
    seconds = float("inf") if given.seconds is None else given.seconds
    asked = load(given.url, connections=given.connections, number=given.requests, seconds=seconds, shape=given.shape)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            done = runner.run(asked)
    except* (OSError, ValueError) as group:
        sys.exit(f"{given.url}: {group.exceptions[0]}")
    if given.json:
        print(json.dumps(asdict(done)))
        return
    statuses = ", ".join(f"{status}: {count:,}" for status, count in done.statuses.items())
    print("| answers per second | of them 2xx | p50 ms | p99 ms | max ms | statuses | lost |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {done.per_second:,.0f} | {done.accepted_per_second:,.0f} | {done.p50_ms:.2f} | {done.p99_ms:.2f} "
        f"| {done.max_ms:.2f} | {statuses} | {done.lost} |"
    )


if __name__ == "__main__":
    main()
