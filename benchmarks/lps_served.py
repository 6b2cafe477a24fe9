"""How many comparisons does one served LPS admit and complete in a second?

    python -m benchmarks.lps_served

One `cj-pipeline lps serve` process, a load generator on 32 connections beside it, callbacks into a folder. "Admission
alone" is the rate of 202s while its worker is busy with one slow comparison. Completed: comparisons over the time from
the first POST to the last callback in its file, everything going on at once. Redis is started for its row where its
server is installed, with every write synced to disk.

Side by side: the same server in front of an ASGI app that reads the body and does nothing, which is what Python's HTTP
costs by itself, and, where LLMOCK names its command, aimock (npm @copilotkit/aimock), an LLM mock in Node, which
answers without a queue or a callback.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from benchmarks.load import CALLBACK_TOPIC, Load, Shape, load, loop_factory
from tests.services.lps.redis_server import RedisServer, redis_binary

REQUESTS = 40_000
WARM_UP = 2_000
QUEUED = 100_000
ROUNDS = 3
PREFIX = "LLM_PROVIDER_SERVICE_"
CLI = Path(sys.executable).with_name("cj-pipeline")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: list[str], url: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server for as long as the context lasts, from when it listens."""
    started = subprocess.Popen(  # noqa: S603
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(url)
        yield started
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=1)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens at {url}")


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[tuple[str, int]]:
    """(base URL, process id) of an LPS with room for everything that is thrown at it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "QUEUE_MAX_SIZE": "2000000",
        "QUEUE_MAX_MEMORY_MB": "8000",
        "PUBLISH_LLM_USAGE_EVENTS": "false",
        "LOG_LEVEL": "ERROR",
    } | settings
    command = [str(CLI), "lps", "serve", "--port", str(port), "--callbacks", str(folder)]
    with process(command, f"{url}/healthz", **{PREFIX + name: value for name, value in settings.items()}) as started:
        yield url, started.pid


def asked(url: str, number: int, shape: Shape = Shape.COMPARISON) -> Load:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(load(url, number=number, shape=shape))


class Callbacks:
    """Counts the lines of the callbacks' file, reading each once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{CALLBACK_TOPIC}.jsonl"
        self._position = self._count = 0

    def wait_for(self, number: int) -> None:
        while self._count < number:
            time.sleep(0.01)
            if self._path.exists():
                with self._path.open("rb") as file:
                    file.seek(self._position)
                    block = file.read()
                self._position += len(block)
                self._count += block.count(b"\n")


def completions(number: int, **settings: str) -> tuple[Load, float]:
    """(the load, comparisons a second from the first POST to the last callback)."""
    with tempfile.TemporaryDirectory() as name, served(Path(name), **settings) as (url, _):
        callbacks = Callbacks(Path(name))
        asked(url, WARM_UP)
        callbacks.wait_for(WARM_UP)
        started = time.monotonic()
        result = asked(url, number)
        callbacks.wait_for(WARM_UP + number)
        return result, number / (time.monotonic() - started)


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def queued_memory() -> tuple[float, float]:
    """(MB before, MB with 100,000 requests of 1.5 kB waiting)."""
    with tempfile.TemporaryDirectory() as name, served(Path(name), MOCK_LATENCY_MS="200000") as (url, pid):
        asked(url, 100)
        before = resident_mb(pid)
        asked(url, QUEUED)
        return before, resident_mb(pid)


def row(what: str, results: list[tuple[Load, float | None]]) -> None:
    admitted = median(result.accepted_per_second for result, _ in results)
    rates = [rate for _, rate in results if rate is not None]
    completed = f"{median(rates):,.0f}" if rates else "-"
    p50, p99 = median(result.p50_ms for result, _ in results), median(result.p99_ms for result, _ in results)
    print(f"| {what} | {admitted:,.0f} | {completed} | {p50:.1f} | {p99:.1f} |")


def main() -> None:
    print("| what | answered/s | completed/s | p50 ms | p99 ms |")
    print("|---|---|---|---|---|")
    port = free_port()
    empty = [sys.executable, "-m", "uvicorn", "benchmarks.empty_app:app", "--port", str(port), "--no-access-log"]
    with process([*empty, "--log-level", "error"], f"http://127.0.0.1:{port}/"):
        row(
            "uvicorn, an app that does nothing",
            [(asked(f"http://127.0.0.1:{port}", REQUESTS), None) for _ in range(ROUNDS)],
        )
    if command := os.environ.get("LLMOCK"):
        port = free_port()
        with process([*shlex.split(command), "-p", str(port)], f"http://127.0.0.1:{port}/"):
            url = f"http://127.0.0.1:{port}"
            row("aimock, chat completions", [(asked(url, REQUESTS, Shape.OPENAI), None) for _ in range(ROUNDS)])
    row("LPS, memory, admission alone", [(admission(), None) for _ in range(ROUNDS)])
    row("LPS, memory, per_request", [completions(REQUESTS) for _ in range(ROUNDS)])
    bundles = {"QUEUE_PROCESSING_MODE": "serial_bundle"}
    row("LPS, memory, serial_bundle", [completions(REQUESTS, **bundles) for _ in range(ROUNDS)])
    if (binary := redis_binary()) is not None:
        with tempfile.TemporaryDirectory() as name, RedisServer(binary, Path(name)) as redis:
            stored = {"QUEUE_BACKEND": "redis", "REDIS_URL": redis.url} | bundles
            row("LPS, Redis (synced), serial_bundle", [completions(REQUESTS // 2, **stored) for _ in range(ROUNDS)])
    before, after = queued_memory()
    print(f"\n{QUEUED:,} requests of 1.5 kB waiting: {after - before:,.0f} MB above {before:,.0f} MB.")


def admission() -> Load:
    """Answers while the one worker is busy with a single slow comparison."""
    with tempfile.TemporaryDirectory() as name, served(Path(name), MOCK_LATENCY_MS="200000") as (url, _):
        asked(url, WARM_UP)
        return asked(url, REQUESTS)


if __name__ == "__main__":
    main()
