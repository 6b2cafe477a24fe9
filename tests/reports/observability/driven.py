"""Served services that are driven until every series of the dashboard moves, and a real Prometheus that watches them.

Here: processes, what they are asked, when all of it is on record. Not here: assertions about panels, alerts, recipes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.server import Server, ServerSpec, http_answers
from cj_pipeline.reports.observability.files import PROMETHEUS, SCRAPE_INTERVAL_S, write_files
from tests.services.cj.lab import request
from tests.services.cj.test_served import Content, Process, content_service
from tests.services.lps.bad_upstream import bad_upstream
from tests.services.lps.lab import body

PATIENCE_S = 90.0
WINDOW = "5m"

ESSAYS, COMPARISONS = 6, 30
"""Of a batch that ends; there are two."""
BATCHES = 2
ORPHANS, REPEATED, MALFORMED = 2, 1, 1
BY_HAND = ORPHANS + REPEATED + MALFORMED
"""Messages on the callback topic that no LPS has published."""
LATE, EXPIRED = 4, 3
REFUSED = 1
MISSING = "no-text"
UPSTREAM = 15
"""Requests to the bad upstream, one for each of its moods."""

# Every error that a real provider gives often; all but one kind are tried again, so that batches end.
MODE = """
schema_version: 1
name: failing
description: Fails one attempt in four, as providers do.
winner: {model: hash_share, modulus: 2, a_below: 1}
latency: {model: constant, ms: 15}
tokens:
  prompt: {model: words, per_word: 0.75}
  completion: {model: words, per_word: 0.75, extra: 10}
confidence: {model: jitter, base: 4.5, jitter: 0.3}
cache: {enabled: true, hit_rate: 0.5}
errors:
  rate: 0.25
  codes_mix:
    - {code: RATE_LIMIT, reason: rate_limited, share: 4, retryable: true}
    - {code: EXTERNAL_SERVICE_ERROR, reason: overloaded, share: 3, retryable: true}
    - {code: EXTERNAL_SERVICE_ERROR, reason: truncated, share: 2}
"""
SLOW = MODE.partition("errors:")[0].replace("ms: 15", "ms: 6000").replace("name: failing", "name: slow")


class Texts(Content):
    """Has every text but one."""

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        if self.path.endswith(f"/{MISSING}"):
            self.send_error(404)
        else:
            super().do_GET()


class Prometheus:
    """A running Prometheus, asked over its HTTP API. at: the time of its queries, in seconds; None for now."""

    def __init__(self, url: str, at: int | None = None) -> None:
        self.url = url
        self.at = at

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query. Raises ValueError in Prometheus's words for one that is broken."""
        asked = {"query": expr} if self.at is None else {"query": expr, "time": str(self.at)}
        answer = httpx.get(f"{self.url}/api/v1/query", params=asked, timeout=30, trust_env=False).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer['error']}: {expr}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def values(self, expr: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the value of each sample by the values of these labels."""
        return {
            tuple(sample["metric"].get(label, "") for label in labels): float(sample["value"][1])
            for sample in self.query(expr)
        }

    def firing(self) -> set[tuple[str, str]]:
        """Return (alert, state) of what is pending or firing."""
        answer = httpx.get(f"{self.url}/api/v1/alerts", timeout=30, trust_env=False).json()
        return {(alert["labels"]["alertname"], alert["state"]) for alert in answer["data"]["alerts"]}


@dataclass(frozen=True)
class Driven:
    """What was driven. folder: has the logs `lps.log` and `cj.log`, and the bus below `bus/`."""

    folder: Path
    prometheus: Prometheus


@contextmanager
def upstream() -> Iterator[str]:
    """The base URL of a server like OpenAI's that is away at first, and then misbehaves in every way once."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    serving = bad_upstream(away_s=3.0, hangs_s=4.0)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(PATIENCE_S).url
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def lps(folder: Path, bus: Path, name: str, mode: str, **settings: object) -> Process:
    """An LPS whose mock has this mode, with its own log."""
    home = folder / name
    home.mkdir()
    (home / "mode.yaml").write_text(mode)
    environment = {"mock_mode": home / "mode.yaml", "queue_retry_backoff_seconds": 0.05, **settings}
    return Process(
        home,
        *("lps", "serve", "--port", "0", "--host", "127.0.0.1", "--callbacks", str(bus)),
        **{f"LLM_PROVIDER_SERVICE_{key.upper()}": str(value) for key, value in environment.items()},
    )


@contextmanager
def prometheus_over(folder: Path, targets: Mapping[str, list[str]]) -> Iterator[Prometheus]:
    """A Prometheus with the files that `stack observe` writes; only its clock runs faster."""
    write_files(folder, targets)
    config = folder / PROMETHEUS
    fast = config.read_text().replace(f"{SCRAPE_INTERVAL_S}s", "500ms")
    assert fast.count("500ms") == 2
    config.write_text(fast)
    with served(config, folder) as url:
        yield Prometheus(url)


@contextmanager
def served(config: Path, folder: Path) -> Iterator[str]:
    """The URL of a Prometheus with a configuration and the data in `data/` of a folder."""
    port = free_port()
    program = shutil.which("prometheus")
    assert program is not None
    url = f"http://127.0.0.1:{port}"
    spec = ServerSpec(
        name="prometheus",
        address=url,
        log=folder / "prometheus.log",
        command=lambda: [
            *(program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        answers=lambda: http_answers(port, f"{url}/-/ready"),
    )
    with Server(spec):
        yield url


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def until(what: str, settled: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not settled():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.05)


def publish(bus: Path, topic: str, *messages: bytes) -> None:
    async def script() -> None:
        folder_bus = FolderBus(bus)
        for message in messages:
            await folder_bus.publish(topic, message)

    asyncio.run(script())


def post(url: str, number: int, **overrides: Any) -> int:
    """The status of a comparison posted to an LPS; its number is unlike that of all others."""
    asked = body(number, prompt=f"Which essay is better, pair {number}.", **overrides)
    asked["callback_topic"] = COMPARISON_RESULT_TOPIC
    asked["metadata"] |= {"bos_batch_id": "posted-by-hand"}
    return httpx.post(f"{url}/api/v1/comparison", json=asked, timeout=30, trust_env=False).status_code


def drive(bus: Path, good: str, late: str) -> None:
    """Ask for everything, and return once all of it has ended."""
    callbacks = bus / f"{COMPARISON_RESULT_TOPIC}.jsonl"
    # Their callbacks are orphans as well: the CJ service has not asked for them.
    for number in range(UPSTREAM):
        overrides = {"provider_override": "openai", "model_override": "gpt-4.1-mini-2025-04-14"}
        assert post(good, number, **overrides) == 202
    assert post(good, 100, model_override="x" * 1000) in (400, 422)
    for number in range(LATE):
        assert post(late, 200 + number) == 202
    # One essay has no text, and is left out; the second batch has no prompt.
    first, second = json.loads(request(ESSAYS + 1)), json.loads(request(ESSAYS, number=2))
    first["data"]["essays_for_cj"][ESSAYS]["text_storage_id"] = MISSING
    second["data"]["student_prompt_ref"] = {"references": {}}
    publish(bus, ASSESSMENT_REQUEST_TOPIC, *(json.dumps(event).encode() for event in (first, second)))
    until("both batches", lambda: len(lines_of(bus / f"{CJ_COMPLETED_TOPIC}.jsonl")) == BATCHES)
    ours = [line for line in lines_of(callbacks) if '"bos-1"' in line]
    orphans = []
    for number in range(ORPHANS):
        document = json.loads(ours[0])
        document["data"]["correlation_id"] = str(keyed_uuid("nobody", number))
        document["source_service"] = "another_lps"
        orphans.append(json.dumps(document).encode())
    publish(bus, COMPARISON_RESULT_TOPIC, *orphans, ours[0].encode(), b'{"event_type": "nonsense"}')
    posted = UPSTREAM + LATE
    until("the posts by hand", lambda: sum("posted-by-hand" in line for line in lines_of(callbacks)) == posted)


@contextmanager
def driven(folder: Path) -> Iterator[Driven]:
    """Everything driven and on record, in a folder of its own."""
    bus = folder / "bus"
    bus.mkdir()
    with ExitStack() as stack:
        texts, base_url = stack.enter_context(content_service(Texts)), stack.enter_context(upstream())

        def ends(process: Process) -> Process:
            stack.callback(process.end, signal.SIGKILL)
            return process

        good = ends(
            lps(
                *(folder, bus, "lps", MODE),
                queue_processing_mode="serial_bundle",
                llm_max_concurrent_requests=2,
                openai_base_url=base_url,
                openai_api_key="k",
                llm_total_timeout_seconds=2,
                llm_circuit_breaker_recovery_timeout=0.3,
            )
        )
        # One at a time, and none may wait for longer than two seconds.
        late = ends(lps(folder, bus, "late", SLOW, queue_request_ttl_hours=2 / 3600))
        cj = ends(
            Process(
                folder,
                *("cj", "serve", "--port", "0", "--host", "127.0.0.1", "--bus", str(bus)),
                *("--lps", f"{good.url}/api/v1", "--database", f"sqlite:///{folder}/cj.db"),
                CJ_ASSESSMENT_SERVICE_CONTENT_SERVICE_URL=texts,
                CJ_ASSESSMENT_SERVICE_DEFAULT_LLM_PROVIDER="mock",
                CJ_ASSESSMENT_SERVICE_ENABLE_LLM_BATCHING_METADATA_HINTS="true",
            )
        )
        targets = {"lps": [good.url, late.url], "cj": [cj.url]}
        places = {job: [url.removeprefix("http://") for url in urls] for job, urls in targets.items()}
        prometheus = stack.enter_context(prometheus_over(folder / "observability", places))
        until("the first scrapes", lambda: prometheus.values("sum(up)") == {(): 3.0})
        drive(bus, good.url, late.url)
        on_topic = len(lines_of(bus / f"{COMPARISON_RESULT_TOPIC}.jsonl"))
        wait_for(prometheus, "sum(llm_provider_comparison_callbacks_total)", on_topic - BY_HAND)
        wait_for(prometheus, "sum(cj_callbacks_processed_total)", on_topic)
        yield Driven(folder, prometheus)


def wait_for(prometheus: Prometheus, expr: str, value: float) -> None:
    until(f"{expr} = {value:g}", lambda: prometheus.values(expr) == {(): value})
