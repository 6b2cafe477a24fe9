"""Live runs in front of a deployed LPS: a process of its own, reached by URL, its callbacks read off a shared topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.record import RunRecord, Sample
from cj_pipeline.runs.remote import (
    CALLBACK_TOPIC,
    Deployed,
    Deployment,
    DistinctMessages,
    NoCallbacks,
    RetryingTransport,
    ServiceUnreachable,
    counted_since,
    metrics_of,
)
from cj_pipeline.runs.scenario_run import ask_live, run_live
from cj_pipeline.runs.service_metrics import since
from cj_pipeline.runs.virtual_time import run_virtual
from tests.cli.terminal import terminal_of
from tests.services.lps.served import Served
from tests.sides import LOWER5, SCENARIOS, trace

INSTANT = "eng5_lower5_gpt51_low+instant"
SETTINGS = {"use_mock_llm": True, "mock_mode": INSTANT, "queue_processing_mode": "serial_bundle"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("remote"), **SETTINGS) as service:
        yield service


def deployment(service: Served) -> Deployment:
    return Deployment(service.url, lambda: FolderBus(service.folder))


def run(label: str, where: Deployment | None = None, mode: Mode | None = None) -> RunRecord:
    found = trace(LOWER5)
    events = [line.event for line in found.callbacks.events]
    return run_live(found.scenario, events, mode or load_mode(INSTANT), deployment=where, label=label)


def winners(record: RunRecord) -> list[tuple[str, str]]:
    return sorted((str(callback.correlation_id), str(callback.winner)) for callback in record.pooled_callbacks)


def test_a_deployed_lps_gives_the_winners_of_the_embedded_one(served: Served) -> None:
    remote, embedded = run("same", deployment(served)), run("same")
    # 10 pairs, and ten repeats of them.
    assert len(remote.pooled_callbacks) == 110
    assert winners(remote) == winners(embedded)
    assert {c.request_metadata["bos_batch_id"] for c in remote.callbacks} == {f"live-{LOWER5}-same-000"}


def test_its_metrics_are_those_of_the_run_and_not_of_the_services_life(served: Served) -> None:
    counted = []
    for label in ("first", "second"):
        samples = run(label, deployment(served)).document.service_metrics
        counted.append(sum(s.value for s in samples if s.name == "llm_provider_comparison_callbacks_total"))
    assert counted == [110, 110]


def test_what_the_topic_held_and_what_others_publish_is_passed_over(served: Served, tmp_path: Path) -> None:
    bus = FolderBus(served.folder)
    strangers = (b"not JSON", b'{"event_type": "Another"}', trace(SCENARIOS[0]).callbacks.events[0].raw)

    async def disturb() -> None:
        for stranger in strangers:
            await bus.publish(CALLBACK_TOPIC, stranger)

    class Disturbed(FolderBus):
        """Somebody else publishes between the moment at which the run looks where the topic ends, and its batch."""

        async def end(self, topic: str) -> dict[int, int]:
            found = dict(await super().end(topic))
            await disturb()
            return found

    remote = run("noise", Deployment(served.url, lambda: Disturbed(served.folder)))
    assert winners(remote) == winners(run("noise"))


def test_another_mode_is_refused_and_the_option_advised_where_there_is_one(served: Served) -> None:
    said = (
        rf"{served.url}: mock_mode: the service runs 'eng5_lower5_gpt51_low\+instant', and this run means 'default'\. "
    )
    with pytest.raises(BadInput, match=rf"^{said}Serve it by `cj-pipeline lps serve --mode default`\.$"):
        run("mode", deployment(served), load_mode("default"))
    with pytest.raises(BadInput, match=r"--mode default`, or run with --mode eng5_lower5_gpt51_low\+instant\."):
        run("mode", replace(deployment(served), takes_mode=True), load_mode("default"))


@pytest.mark.parametrize("mode", [INSTANT, "default"])
def test_another_strategy_is_refused_before_anything_is_asked_and_together_with_another_mode(
    served: Served, mode: str
) -> None:
    found = trace(LOWER5)
    service = found.scenario.service.model_copy(update={"queue_processing_mode": QueueProcessingMode.PER_REQUEST})
    scenario = found.scenario.model_copy(update={"service": service})
    events = [line.event for line in found.callbacks.events]
    strategy = "works its queue as 'serial_bundle', and the scenario means 'per_request'"
    with pytest.raises(BadInput, match=strategy) as refused:
        run_live(scenario, events, load_mode(mode), deployment=deployment(served), label="strategy")
    assert ("lps serve --mode default`. Serve it with" in str(refused.value)) == (mode == "default")


def test_a_service_that_would_ask_real_providers_is_refused(tmp_path: Path) -> None:
    settings = {**SETTINGS, "use_mock_llm": False}
    with Served(tmp_path, **settings) as service, pytest.raises(BadInput, match="would ask real providers"):
        run("money", deployment(service))


def test_callbacks_of_parity_are_not_on_the_topic_that_a_cj_service_reads(served: Served) -> None:
    run("own-topic", deployment(served))
    holding = [path.name for path in served.folder.iterdir() if "own-topic" in path.read_text(encoding="utf-8")]
    assert holding == [f"{CALLBACK_TOPIC}.jsonl"]


def test_the_wrong_bus_or_a_label_that_was_used_is_told(served: Served, tmp_path: Path) -> None:
    found = trace(LOWER5)
    hasty = found.scenario.model_copy(
        update={"live": found.scenario.live.model_copy(update={"callback_budget_s": 0.5, "repeats": None})}
    )
    events = [line.event for line in found.callbacks.events]
    elsewhere = Deployment(served.url, lambda: FolderBus(tmp_path / "elsewhere"))
    for where in (elsewhere, deployment(served)):  # the second one has been answered, and is not answered again
        with pytest.raises(NoCallbacks, match=r"within 0.5 s no callback came on 'cj_pipeline\.parity"):
            ask_live(hasty, events, load_mode(INSTANT), deployment=where, label="used")


def test_nobody_at_the_url_is_a_sentence() -> None:
    with pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:1: no LPS answers there \(ConnectError\)"):
        run("away", Deployment("http://127.0.0.1:1", MemoryBus))


def test_the_command_line_runs_in_front_of_it(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = terminal_of(monkeypatch, capsys)
    where = ("--lps", served.url, "--bus", served.folder)
    told = terminal("parity", LOWER5, "--mode", "+instant", *where, "--label", "cli", "--json")
    assert told.code in {0, 1}  # answers in 0 ms are another latency, which is for parity to say
    assert {check["check"] for check in told.document["checks"]} >= {"winner_share", "latency_mean"}
    assert "or run with --mode" in terminal("live", LOWER5, *where).err
    assert "go with --lps" in terminal("live", LOWER5, "--bus", served.folder).err
    assert "not both" in terminal("live", LOWER5, *where, "--kafka", "127.0.0.1:9").err
    assert "is no URL" in terminal("live", LOWER5, "--lps", "localhost:8080").err
    assert "--label: 'No Label'" in terminal("live", LOWER5, *where, "--label", "No Label").err


def test_a_callback_that_is_published_again_is_taken_once_and_another_answer_twice() -> None:
    async def scene() -> list[bytes]:
        bus = MemoryBus()
        for value in (b"a", b"a", b"b", b"a", b"a2"):
            await bus.publish("topic", value)
        once = DistinctMessages(bus.subscribe("topic"))
        return [(await once.next()).value for _ in range(3)]

    assert asyncio.run(scene()) == [b"a", b"b", b"a2"]


@pytest.mark.parametrize(("patience_s", "status", "asked"), [(10.0, 202, 3), (0.0, 503, 1)])
def test_a_service_that_restarts_is_waited_for(patience_s: float, status: int, asked: int) -> None:
    answers = iter([503, 429, 202])
    posts: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        posts.append(request.content)
        return httpx.Response(next(answers))

    async def scene() -> int:
        transport = RetryingTransport(httpx.MockTransport(answer), patience_s)
        async with httpx.AsyncClient(transport=transport, base_url="http://lps") as client:
            return (await client.post("/api/v1/comparison", content=b"{}")).status_code

    assert asyncio.run(scene()) == status
    assert posts == [b"{}"] * asked


def test_counters_are_what_was_added_and_gauges_what_they_show() -> None:
    def samples(calls: float, depth: float) -> list[Sample]:
        return [
            Sample(name="calls_total", labels={"status": "ok"}, value=calls),
            Sample(name="depth", labels={}, value=depth),
        ]

    def values(before: list[Sample], after: list[Sample]) -> list[float]:
        return [sample.value for sample in since(before, after)]

    assert values(samples(10, 4), samples(13, 2)) == [3, 2]
    assert values([], samples(13, 2)) == [13, 2]
    # Started anew in between: what it counts now is all from after the start.
    assert values(samples(10, 4), samples(3, 2)) == [3, 2]


@pytest.mark.parametrize("answer", [(404, "Not found: /metrics"), (200, "<html>a gateway</html> {")])
def test_what_gives_no_metrics_is_told_in_a_sentence(answer: tuple[int, str]) -> None:
    async def ask() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(answer[0], text=answer[1]))
        async with httpx.AsyncClient(transport=transport, base_url="http://lps/api") as client:
            await metrics_of(client)

    with pytest.raises(ServiceUnreachable, match="http://lps/metrics gave no metrics"):
        asyncio.run(ask())


def test_a_bus_that_never_answers_is_waited_for_a_minute_and_told() -> None:
    class Silent(MemoryBus):
        def __str__(self) -> str:
            return "Kafka at nowhere:9092"

        async def end(self, topic: str) -> dict[int, int]:
            await asyncio.Event().wait()
            return {}

    async def listen() -> None:
        async with httpx.AsyncClient() as client:
            await Deployed(client, Silent(), ()).listen("topic")

    with pytest.raises(ServiceUnreachable, match="Kafka at nowhere:9092 does not answer within 60 s"):
        run_virtual(listen())


def test_metrics_are_read_once_the_service_has_counted_and_not_waited_for_without_end() -> None:
    asked: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(asyncio.get_running_loop().time())
        counted = min(10, 3 * len(asked))
        return httpx.Response(200, text=f'llm_provider_comparison_callbacks_total{{result="success"}} {counted}\n')

    async def script(callbacks: int) -> float:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://lps") as client:
            (sample,) = await counted_since(client, (), callbacks)
            return sample.value

    assert run_virtual(script(7)) == 9
    assert len(asked) == 3
    asked.clear()
    assert run_virtual(script(11)) == 10
    assert asked[-1] == pytest.approx(5.0, abs=0.2)
