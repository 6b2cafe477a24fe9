"""Where a case runs, each giving the same evidence: the engine alone, the service in this process, served processes.

Here: the first two, in virtual time. Not here: the third (served.py), what must come of a case (rules.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol
from unittest.mock import patch

import httpx

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Bus, Subscription
from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    RESOURCE_CONSUMPTION_TOPIC,
)
from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.engine.effects import Finalize
from cj_pipeline.engine.engine import Step
from cj_pipeline.engine.state import Batch
from cj_pipeline.engine.waves import batching
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs import batch_run
from cj_pipeline.runs.judges import ProviderJudge
from cj_pipeline.runs.record import Sample
from cj_pipeline.runs.service_metrics import parse_metrics
from cj_pipeline.runs.stack import Stack, embedded_stack
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.http.endpoints import build_app
from cj_pipeline.services.cj.intake.content import ContentReason, NoContent
from cj_pipeline.services.cj.service import CjAssessmentService
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database
from cj_pipeline.services.lps.settings import LpsSettings
from tests.services.cj.suites import cases
from tests.services.cj.suites.cases import MODEL, PROVIDER, Case
from tests.services.cj.suites.evidence import Document, Evidence, evidence_of_database, evidence_of_state

ORIGIN = datetime(2025, 12, 2, 0, 17, 14, tzinfo=UTC)
OUTPUTS = (ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC, RESOURCE_CONSUMPTION_TOPIC)

# How long a topic stays silent before it counts as read to its end; virtual seconds.
SILENCE_S = 3600.0


class Target(Protocol):
    """Somewhere to run a case."""

    @property
    def name(self) -> str:
        """For the ids of tests."""
        ...

    def run(self, case: Case) -> Evidence:
        """The case from its request to the end, and then for as long as something more could come."""
        ...


@dataclass(frozen=True)
class Engine:
    """The pure engine, driven by runs/, in front of an embedded LPS. bus: the class of what carries callbacks."""

    bus: type[MemoryBus] = MemoryBus
    name: str = "engine"

    def run(self, case: Case) -> Evidence:
        return run_virtual(self._run(case))

    async def _run(self, case: Case) -> Evidence:
        clock = LoopClock(ORIGIN)
        ends: list[datetime] = []
        # As it stands there now: a fault may be planted in its place.
        step: Callable[..., Step] = vars(batch_run)["advance"]

        def advance(*arguments: Any) -> Step:
            state, effects = step(*arguments)
            ends.extend(clock.now() for effect in effects if isinstance(effect, Finalize))
            return state, effects

        async with embedded_lps(case, self.bus()) as stack:
            mock = (await stack.client.get("/admin/mock-mode")).json()
            judge = ProviderJudge(
                stack.client,
                stack.bus.subscribe(COMPARISON_RESULT_TOPIC),
                callback_topic=COMPARISON_RESULT_TOPIC,
                overrides=LLMConfigOverrides(provider_override=Provider(PROVIDER), model_override=MODEL),
                texts={essay: case.text_of(essay) for essay in case.essays},
                budget_s=case.budget_s,
            )
            # The runner does not tell when the engine said that it is over, only what came of it.
            with patch.object(batch_run, "advance", advance):
                state, _ = await batch_run.run_batch(batch_of(case), judge)
            topic = await whole_topic(stack.bus.subscribe(COMPARISON_RESULT_TOPIC), SILENCE_S)
            lps_metrics = await metrics_of(stack.client)
        assert len(ends) <= 1, "a batch ended twice"
        return evidence_of_state(
            case,
            state,
            completed_at=ends[0] if ends else None,
            topic=topic,
            mock=mock,
            lps_metrics=lps_metrics,
        )


@dataclass(frozen=True)
class InProcess:
    """The CJ service over SQLite in memory, an embedded LPS, a bus in memory; begun by the request's event."""

    bus: type[MemoryBus] = MemoryBus
    name: str = "service"

    def run(self, case: Case) -> Evidence:
        return run_virtual(self._run(case))

    async def _run(self, case: Case) -> Evidence:
        clock, bus, database = LoopClock(ORIGIN), self.bus(), Database("sqlite://")
        try:
            async with embedded_lps(case, bus) as stack:
                mock = (await stack.client.get("/admin/mock-mode")).json()
                settings = CjSettings(**cj_settings(case, "http://lps/api/v1"))
                service = CjAssessmentService(settings, bus, database, clock, stack.client, content=Texts(case))
                async with service, app_client(service) as own:
                    await bus.publish(ASSESSMENT_REQUEST_TOPIC, case.request(clock.now()))
                    async with asyncio.timeout(case.budget_s):
                        await end_of(bus)
                    topic = await whole_topic(bus.subscribe(COMPARISON_RESULT_TOPIC), SILENCE_S)
                    published = {name: await documents(bus.subscribe(name), 1.0) for name in OUTPUTS}
                    return await evidence_of_database(
                        case,
                        database,
                        topic=topic,
                        mock=mock,
                        lps_metrics=await metrics_of(stack.client),
                        cj_metrics=await metrics_of(own),
                        published=published,
                    )
        finally:
            await database.aclose()


ENGINE = Engine()
IN_PROCESS = InProcess()


@cache
def ran(target: Engine | InProcess, name: str) -> Evidence:
    """A case by its name, once a session."""
    return target.run({case.name: case for case in vars(cases).values() if isinstance(case, Case)}[name])


class Texts:
    """A content service in memory that has the case's essays."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._stored = case.stored()

    async def fetch(self, storage_id: str) -> str:
        if storage_id not in self._stored:
            raise NoContent(storage_id, ContentReason.SERVICE_ERROR)
        return self._case.text_of(self._stored[storage_id])

    async def store(self, text: str) -> str:
        raise AssertionError("a suite registers no anchors")


def batch_of(case: Case) -> Batch:
    """The batch that the service would make of the case's request."""
    settings = EngineSettings(**case.engine)
    return Batch(
        bos_batch_id=case.bos_batch_id,
        cj_batch_id=1,
        items=tuple(sorted(case.essays)),
        settings=settings,
        seed=settings.pair_generation_seed,
        max_pairs_requested=case.max_comparisons,
        resolved_batching_mode=batching.effective_mode(
            settings,
            batching.requested_mode(case.hint, None),
            provider_override=None,
            default_provider=Provider(PROVIDER),
        ),
    )


def cj_settings(case: Case, lps_url: str) -> dict[str, Any]:
    """Settings of a CJ service for a case."""
    return {
        "default_llm_provider": PROVIDER,
        "default_llm_model": MODEL,
        "llm_provider_service_url": lps_url,
        **case.engine,
    }


def lps_settings(case: Case) -> dict[str, Any]:
    """Settings of an LPS for a case."""
    return {"use_mock_llm": True, "mock_mode": case.mode, "publish_llm_usage_events": False, **case.lps}


@asynccontextmanager
async def embedded_lps(case: Case, bus: Bus) -> AsyncIterator[Stack]:
    settings = LpsSettings(**lps_settings(case))
    async with embedded_stack(settings, load_mode(case.mode), bus=bus, origin=ORIGIN) as stack:
        yield stack


@asynccontextmanager
async def app_client(service: CjAssessmentService) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://cj") as client:
        yield client


async def end_of(bus: Bus) -> None:
    """Until a batch is over, well or not."""
    ends = [asyncio.create_task(bus.subscribe(topic).next()) for topic in (CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC)]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ends:
            task.cancel()
        await asyncio.wait(ends)


async def metrics_of(client: httpx.AsyncClient) -> tuple[Sample, ...]:
    """What a service says on /metrics."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return parse_metrics(answer.text)


async def messages(subscription: Subscription, silence_s: float) -> list[bytes]:
    """Everything on a topic, until it has been silent for so long."""
    found: list[bytes] = []
    while True:
        try:
            async with asyncio.timeout(silence_s):
                found.append((await subscription.next()).value)
        except TimeoutError:
            return found


async def documents(subscription: Subscription, silence_s: float) -> Sequence[Document]:
    """The same, as JSON."""
    return [json.loads(message) for message in await messages(subscription, silence_s)]


async def whole_topic(subscription: Subscription, silence_s: float) -> tuple[CallbackEvent, ...]:
    """Every callback of a topic."""
    return tuple(map(callback, await messages(subscription, silence_s)))


def callback(message: bytes) -> CallbackEvent:
    event = parse_callback(message)
    assert not isinstance(event, Rejection), event
    return event
