"""A live run in front of a served LPS on Kafka, whose broker dies and comes back in the middle of it."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.server import Server, ServerSpec, http_answers
from cj_pipeline.mock.mode.files import MODES_FOLDER, load_mode
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.runs.remote import CALLBACK_TOPIC, Deployment
from cj_pipeline.runs.scenario_run import run_live
from tests.kafka import values_of
from tests.sides import LOWER5, trace

CLI = Path(sys.executable).with_name("cj-pipeline")
PATIENCE_S = 60.0


@pytest.fixture
def mode(tmp_path: Path) -> str:
    """The fitted mode of the scenario at a fiftieth of its latencies: 110 comparisons of 30 ms."""
    fitted = (MODES_FOLDER / "eng5_lower5_gpt51_low.yaml").read_text(encoding="utf-8")
    quick = fitted.replace("latency: {", "latency: {scale: 0.02, ", 1)
    assert quick != fitted
    file = tmp_path / "quick.yaml"
    file.write_text(quick, encoding="utf-8")
    return str(file)


@contextmanager
def lps(folder: Path, kafka: str, mode: str) -> Iterator[str]:
    """`cj-pipeline lps serve` on Kafka; its URL."""
    port = free_port()
    dropped = ("KAFKA_", "LLM_PROVIDER_SERVICE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    spec = ServerSpec(
        name="lps",
        address=f"http://127.0.0.1:{port}",
        log=folder / "lps.log",
        command=lambda: [str(CLI), "lps", "serve", "--port", str(port), "--mode", mode, "--kafka", kafka],
        answers=lambda: http_answers(port, f"http://127.0.0.1:{port}/healthz"),
        environment=environment | {"LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE": "serial_bundle"},
        folder=folder,
        stop_signal=signal.SIGKILL,
    )
    with Server(spec):
        yield spec.address


def published(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:  # noqa: S310
        lines = answer.read().decode().splitlines()
    wanted = "llm_provider_comparison_callbacks_total{"
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))


def run(mode: str, deployment: Deployment | None = None) -> RunRecord:
    found = trace(LOWER5)
    events = [line.event for line in found.callbacks.events]
    return run_live(found.scenario, events, load_mode(mode), deployment=deployment, label="broker_killed")


def winners(record: RunRecord) -> list[tuple[str, str]]:
    return sorted((str(callback.correlation_id), str(callback.winner)) for callback in record.pooled_callbacks)


def test_a_live_run_outlives_its_broker_with_every_callback_once(
    own_kafka: KafkaBroker, mode: str, tmp_path: Path
) -> None:
    kafka = own_kafka.bootstrap_servers
    settings = KafkaSettings(bootstrap_servers=kafka)
    with lps(tmp_path, kafka, mode) as url, ThreadPoolExecutor(1) as thread:
        running = thread.submit(run, mode, Deployment(url, lambda: KafkaBus(settings)))
        deadline = time.monotonic() + PATIENCE_S
        while published(url) < 20 and not running.done():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        own_kafka.kill()
        assert not running.done()
        assert published(url) < 110
        own_kafka.start()
        remote = running.result(PATIENCE_S)
    ids = [callback.request_id for callback in remote.pooled_callbacks]
    assert len(ids) == len(set(ids)) == 110
    assert winners(remote) == winners(run(mode))
    on_topic = [parse_callback(value) for value in values_of(kafka, CALLBACK_TOPIC)]
    assert {event.data.request_id for event in on_topic if isinstance(event, CallbackEvent)} == set(ids)
