"""How fast are callbacks captured, beside a consumer that only counts them?

    python -m benchmarks.capture [N]

Fills two topics of four partitions with N callbacks (a million by default), on a broker of its own, or on that of
KAFKA_BOOTSTRAP_SERVERS: one where all are of the batch that is captured, one where every fiftieth is. Each row is a
fresh process, so that seconds are those of a command, imports left out. The bare consumer is librdkafka's from Python,
configured as the capture's, which takes messages and counts them.

Memory is that of the process (RSS): when a tenth is read, when reading ends, and the most there was.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.traces.capture import course
from cj_pipeline.traces.capture.capture import CaptureProgress, capture
from cj_pipeline.traces.capture.request import CaptureRequest, Selection
from cj_pipeline.traces.capture.source import TopicSource
from cj_pipeline.traces.redaction.policy import RedactionPolicy
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from tests.traces.folders import one_event

PARTITIONS = 4
BATCHES = 50
ESSAYS = 500
ROUNDS = 3

Row = dict[str, Any]


def template() -> bytes:
    """A callback of some 1.3 KB with places for what differs."""
    event = one_event()
    data = event["data"]
    data |= {"request_id": "REQUEST", "correlation_id": "CORRELATION", "trace_id": None}
    event |= {"event_id": "EVENT", "correlation_id": "CORRELATION"}
    data["request_metadata"] |= {"essay_a_id": "ESSAY_A", "essay_b_id": "ESSAY_B", "bos_batch_id": "BATCH"}
    return json.dumps(event, separators=(",", ":")).encode()


def batch(number: int) -> str:
    return str(UUID(int=number + 1, version=4))


def fill(servers: str, topic: str, count: int, batches: int) -> int:
    """Make and fill a topic; bytes of one callback."""
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 500_000})
    pattern = template()
    value = b""
    for number in range(count):
        value = (
            pattern.replace(b"REQUEST", str(UUID(int=number, version=4)).encode())
            .replace(b"CORRELATION", str(UUID(int=number + (1 << 70), version=4)).encode())
            .replace(b"EVENT", str(UUID(int=number + (1 << 80), version=4)).encode())
            .replace(b"ESSAY_A", f"essay-of-pupil-{number % ESSAYS:05d}".encode())
            .replace(b"ESSAY_B", f"essay-of-pupil-{(number * 7 + 1) % ESSAYS:05d}x".encode())
            .replace(b"BATCH", batch(number % batches).encode())
        )
        while True:
            try:
                producer.produce(topic, value, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return len(value)


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def bare(servers: str, topic: str, count: int) -> Row:
    start = perf_counter()
    first, early, read = 0.0, 0.0, 0
    with TopicSource(KafkaSettings(bootstrap_servers=servers).client_config(), topic) as source:
        _, partitions = source.partitions()
        source.assign({number: found.low for number, found in source.ranges(partitions).items()})
        while read < count:
            messages = source.consume(10_000, 0.1)
            read += sum(message.error() is None for message in messages)
            first = first or (perf_counter() - start if read else 0.0)
            early = early or (rss_mb() if read >= count // 10 else 0.0)
        seconds = perf_counter() - start
        return row(seconds, seconds, first, early, count)


def captured(servers: str, topic: str, count: int, workers: int | None) -> Row:
    start = perf_counter()
    first, early, read = 0.0, 0.0, 0.0

    def watch(now: CaptureProgress) -> None:
        nonlocal first, early, read
        first = first or (perf_counter() - start if now.read else 0.0)
        early = early or (rss_mb() if now.read >= count // 10 else 0.0)
        read = perf_counter() - start

    course.PROGRESS_SECONDS = 0.01
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        request = CaptureRequest(
            "benchmark",
            Path(folder),
            Selection(bos_batch_id=batch(0)),
            Redaction(RedactionPolicy(), Pseudonyms(bytes(32))),
            topic=topic,
            workers=workers,
        )
        result = capture(request, KafkaSettings(bootstrap_servers=servers), progress=watch)
        if result.read != count or result.partial:
            raise SystemExit(f"captured {result.read} of {count}: {result.missing}")
        return row(perf_counter() - start, read, first, early, count)


def row(seconds: float, reading: float, first: float, early: float, count: int) -> Row:
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "rate": count / seconds,
        "reading": count / reading,
        "first": first,
        "early": early,
        "end": rss_mb(),
        "most": own.ru_maxrss / 1e3,
        "cpu": own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime,
    }


def in_a_fresh_process(*arguments: object) -> Row:
    """The best of some rounds: what else the machine does only ever takes time."""
    rows = []
    for _ in range(ROUNDS):
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "benchmarks.capture", *map(str, arguments)], stdout=subprocess.PIPE, check=True
        )
        rows.append(json.loads(done.stdout))
    return max(rows, key=lambda found: float(found["rate"]))


@contextmanager
def broker() -> Iterator[str]:
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder, KafkaBroker(Path(folder)) as own:
        yield own.bootstrap_servers


def main(count: int = 1_000_000) -> None:
    with broker() as servers:
        topics = {f"benchmark-all-{os.getpid()}": 1, f"benchmark-some-{os.getpid()}": BATCHES}
        sizes = [fill(servers, topic, count, batches) for topic, batches in topics.items()]
        whole, some = topics
        print(f"{count:,} callbacks of {sizes[0]} bytes in {PARTITIONS} partitions, {os.cpu_count()} cores.\n")
        print("| reading | per second | of bare | before publishing | first after | RSS at 10 % | end | most | CPU |")
        print("|---|---|---|---|---|---|---|---|---|")
        yardstick = 0.0
        for name, arguments in {
            "bare consumer": ("--bare", servers, whole, count),
            "capture, all match": ("--capture", servers, whole, count),
            "the same, one process": ("--capture", servers, whole, count, 1),
            f"capture, 1 of {BATCHES} matches": ("--capture", servers, some, count),
        }.items():
            found = in_a_fresh_process(*arguments)
            yardstick = yardstick or float(found["rate"])
            print(
                f"| {name} | {found['rate']:,.0f} | {found['rate'] / yardstick:.0%} | {found['reading']:,.0f} "
                f"| {found['first']:.2f} s | {found['early']:.0f} MB | {found['end']:.0f} MB | {found['most']:.0f} MB "
                f"| {found['cpu']:.1f} s |",
                flush=True,
            )
        admin = AdminClient({"bootstrap.servers": servers})
        for deleted in admin.delete_topics(list(topics)).values():
            deleted.result(30)


if __name__ == "__main__":
    if "--bare" in sys.argv:
        print(json.dumps(bare(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    elif "--capture" in sys.argv:
        several = None if len(sys.argv) < 6 else int(sys.argv[5])
        print(json.dumps(captured(sys.argv[2], sys.argv[3], int(sys.argv[4]), several)))
    else:
        main(*map(int, sys.argv[1:2]))
