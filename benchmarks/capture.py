"""This module measures how long a capture takes, and how much memory: `python -m benchmarks.capture [N]`.

It fills a topic of four partitions with N callbacks of one batch (a million by default), on a broker of its own, or on
that of KAFKA_BOOTSTRAP_SERVERS, and captures them in a fresh process. Asked for is a million within two minutes.

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
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from uuid import UUID

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.traces.capture.capture import capture
from cj_pipeline.traces.capture.reading import CaptureProgress
from cj_pipeline.traces.capture.request import CaptureRequest
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import RedactionPolicy
from tests.traces.folders import one_event

PARTITIONS = 4
ESSAYS = 500
BATCH = "3f2b8a54-0b1c-4f8e-9d53-2a7f5a4f6f11"


def template() -> bytes:
    """A callback of some 1.3 KB with places for what differs."""
    event = one_event()
    data = event["data"]
    data |= {"request_id": "REQUEST", "correlation_id": "CORRELATION", "trace_id": None}
    event |= {"event_id": "EVENT", "correlation_id": "CORRELATION"}
    data["request_metadata"] |= {"essay_a_id": "ESSAY_A", "essay_b_id": "ESSAY_B", "bos_batch_id": BATCH}
    return json.dumps(event, separators=(",", ":")).encode()


def some_id(kind: str, number: int) -> bytes:
    return str(UUID(bytes=sha256(f"{kind} {number}".encode()).digest()[:16])).encode()


def fill(servers: str, topic: str, count: int) -> int:
    """Make and fill a topic; bytes of one callback."""
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 500_000})
    pattern = template()
    value = b""
    for number in range(count):
        value = (
            pattern.replace(b"REQUEST", some_id("request", number))
            .replace(b"CORRELATION", some_id("correlation", number))
            .replace(b"EVENT", some_id("event", number))
            .replace(b"ESSAY_A", f"essay-of-pupil-{number % ESSAYS:05d}".encode())
            .replace(b"ESSAY_B", f"essay-of-pupil-{(number * 7 + 1) % ESSAYS:05d}x".encode())
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


def captured(servers: str, topic: str, count: int, redact: bool) -> dict[str, float]:
    """One capture in this process. reading: seconds until the last message."""
    early = [0.0]
    last = [0.0, 0.0]
    begin = perf_counter()

    def watch(now: CaptureProgress) -> None:
        if now.read >= count / 10 and not early[0]:
            early[0] = rss_mb()
        last[:] = [perf_counter() - begin, rss_mb()]

    redaction = Redaction(RedactionPolicy(), Pseudonyms(bytes(32))) if redact else None
    with tempfile.TemporaryDirectory() as folder:
        request = CaptureRequest("benchmark", Path(folder), Selection(bos_batch_id=BATCH), redaction, topic)
        result = capture(request, KafkaSettings(bootstrap_servers=servers), on_progress=watch)
    seconds = perf_counter() - begin
    if result.counts["taken"] != count:
        raise SystemExit(f"{result.counts['taken']} of {count} were taken")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "reading": last[0],
        "early": early[0],
        "end": last[1],
        "most": usage.ru_maxrss / 1e3,
        "cpu": usage.ru_utime + usage.ru_stime,
    }


@contextmanager
def broker() -> Iterator[str]:
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder, KafkaBroker(Path(folder)) as own:
        yield own.bootstrap_servers


def main(count: int = 1_000_000) -> None:
    with broker() as servers:
        topic = f"benchmark-{os.getpid()}"
        size = fill(servers, topic, count)
        print(f"{count:,} callbacks of {size} bytes in {PARTITIONS} partitions, {os.cpu_count()} cores.\n")
        print("| capture | seconds | of them reading | CPU | RSS at 10 % | at the end of reading | most |")
        print("|---|---|---|---|---|---|---|")
        for name in ("redacted", "as it came"):
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-m", "benchmarks.capture", "--capture", servers, topic, str(count), name],
                stdout=subprocess.PIPE,
                check=True,
            )
            found = json.loads(done.stdout)
            print(
                f"| {name} | {found['seconds']:.1f} | {found['reading']:.1f} | {found['cpu']:.1f} s "
                f"| {found['early']:.0f} MB | {found['end']:.0f} MB | {found['most']:.0f} MB |",
                flush=True,
            )
        admin = AdminClient({"bootstrap.servers": servers})
        admin.delete_topics([topic])[topic].result(30)


if __name__ == "__main__":
    if "--capture" in sys.argv:
        print(json.dumps(captured(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5] == "redacted")))
    else:
        main(*map(int, sys.argv[1:2]))
