"""How long does one served LPS take to admit 5,000 comparisons, and to call all of them back?

    python -m benchmarks.lps_served

One `cj-pipeline lps serve` process, 16 connections in this one, requests of 1.5 kB, callbacks into a folder. "Admission
alone": its worker is busy with one slow comparison. Redis is started for its row where its server is installed, with
every write synced to disk. Wanted: 5,000 admissions within 2 s.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from tests.services.lps.lab import TOPIC, body
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.services.lps.served import Served

REQUESTS = 5_000
CONNECTIONS = 16
ROUNDS = 3
PROMPT = "The quick brown fox jumps over the lazy dog. " * 28
SETTINGS = {"queue_max_size": 2_000_000, "queue_max_memory_mb": 8_000, "log_level": "ERROR"}


@contextmanager
def served(**settings: object) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder, Served(Path(folder), **(SETTINGS | settings)) as process:
        post(process, range(-500, 0))  # warm
        yield process


def post(process: Served, numbers: range) -> None:
    """Post comparisons over keep-alive connections; each must be accepted."""
    address = urlsplit(process.url)
    bodies = [json.dumps(body(number, prompt=PROMPT)) for number in numbers]

    def over_one_connection(first: int) -> None:
        connection = HTTPConnection(address.hostname or "", address.port)
        for text in bodies[first::CONNECTIONS]:
            connection.request("POST", "/api/v1/comparison", text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status != 202:
                raise SystemExit(f"a comparison was answered with {response.status}")
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(over_one_connection, range(CONNECTIONS)))


def cpu_s(process: Served) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lines(process: Served) -> int:
    path = process.folder / f"{TOPIC}.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def row(what: str, *, completed: bool, **settings: object) -> None:
    admitted, called_back, cpu = [], [], []
    with served(**settings) as process:
        for round_number in range(ROUNDS):
            cpu_before, lines_before, start = cpu_s(process), lines(process), time.monotonic()
            post(process, range(round_number * REQUESTS, (round_number + 1) * REQUESTS))
            admitted.append(time.monotonic() - start)
            while completed and lines(process) < lines_before + REQUESTS:
                time.sleep(0.05)
            called_back.append(time.monotonic() - start)
            cpu.append(cpu_s(process) - cpu_before)
    until_last = f"{median(called_back):.2f}" if completed else "-"
    print(f"| {what} | {median(admitted):.2f} | {until_last} | {median(cpu):.2f} |")


def main() -> None:
    print(f"| {REQUESTS:,} comparisons | admitted, s | called back, s | CPU of the service, s |")
    print("|---|---|---|---|")
    row("memory, admission alone", completed=False, mock_latency_ms=600_000)
    row("memory, per_request", completed=True)
    row("memory, serial_bundle", completed=True, queue_processing_mode="serial_bundle")
    if (binary := redis_binary()) is not None:
        with tempfile.TemporaryDirectory() as folder, RedisServer(binary, Path(folder)) as redis:
            stored = {"queue_backend": "redis", "redis_url": redis.url}
            row("Redis (synced), serial_bundle", completed=True, queue_processing_mode="serial_bundle", **stored)


if __name__ == "__main__":
    main()
