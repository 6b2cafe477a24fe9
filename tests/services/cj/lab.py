"""What the service's tests share: a whole deployment in one process and in virtual time.

A world is what outlives the service: the bus, the database, the content service, and an LPS whose mock answers.
Services come and go in it, one after the other or side by side.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import Table, select

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    RESOURCE_CONSUMPTION_TOPIC,
)
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.services.cj.intake.content import ContentReason, NoContent
from cj_pipeline.services.cj.service import CjAssessmentService
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database
from cj_pipeline.services.lps.http.app import build_app
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import LpsSettings

ORIGIN = datetime(2025, 12, 1, 8, 0, tzinfo=UTC)
LPS_URL = "http://lps/api/v1"
OUTPUTS = (ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC, RESOURCE_CONSUMPTION_TOPIC)


def settings(**given: Any) -> CjSettings:
    """A mock that answers in virtual time, and a seed, so that every run is the same."""
    return CjSettings(
        **{
            "llm_provider_service_url": LPS_URL,
            "default_llm_provider": "mock",
            "default_llm_model": "mock-model",
            "pair_generation_seed": 7,
            **given,
        }
    )


def request(essays: int = 5, *, number: int = 1, event: int = 1, metadata: Any = None, **data: Any) -> bytes:
    """A request for a batch of so many essays. event: told apart from a repetition of the same one."""
    document = {
        "event_id": str(keyed_uuid("request-event", number, event)),
        "event_type": ASSESSMENT_REQUEST_TOPIC,
        "event_timestamp": ORIGIN.isoformat(),
        "source_service": "essay_lifecycle_service",
        "correlation_id": str(keyed_uuid("request", number)),
        "metadata": metadata,
        "data": {
            "entity_id": f"bos-{number}",
            "essays_for_cj": [
                {"essay_id": f"essay-{index:02d}", "text_storage_id": f"text-{index:02d}"} for index in range(essays)
            ],
            "language": "en",
            "course_code": "ENG5",
            "user_id": "teacher-1",
            "org_id": "school-1",
            **data,
        },
    }
    return json.dumps(document).encode()


class Texts:
    """A content service in memory. down: every text is missing; missing: these are."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.missing: set[str] = set()
        self.down = False

    async def fetch(self, storage_id: str) -> str:
        if self.down or storage_id in self.missing:
            raise NoContent(storage_id, ContentReason.SERVICE_ERROR)
        return self.kept.get(storage_id, f"The words of {keyed_uuid('words', storage_id).hex}.")

    async def store(self, text: str) -> str:
        storage_id = f"stored-{len(self.kept)}"
        self.kept[storage_id] = text
        return storage_id


class LpsDoor(httpx.AsyncBaseTransport):
    """The way to the LPS. It counts posts by correlation id, and can be shut."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.posts: Counter[str] = Counter()
        self.bodies: dict[str, dict[str, Any]] = {}
        self.answer: Callable[[str], httpx.Response | None] = lambda correlation_id: None
        self.shut = False

    async def handle_async_request(self, asked: httpx.Request) -> httpx.Response:
        if self.shut:
            raise httpx.ConnectError("nobody listens")
        document = json.loads(await asked.aread())
        correlation_id = document["correlation_id"]
        self.posts[correlation_id] += 1
        self.bodies[correlation_id] = document
        instead = self.answer(correlation_id)
        return await self._transport.handle_async_request(asked) if instead is None else instead


@dataclass
class World:
    """What outlives a service."""

    bus: MemoryBus
    database: Database
    lps: LpsDoor
    client: httpx.AsyncClient
    clock: LoopClock
    settings: CjSettings
    texts: Texts = field(default_factory=Texts)

    def service(self, database: Database | None = None, **options: Any) -> CjAssessmentService:
        return CjAssessmentService(
            self.settings, self.bus, database or self.database, self.clock, self.client, content=self.texts, **options
        )

    async def ask(self, *requests: bytes) -> None:
        for message in requests:
            await self.bus.publish(ASSESSMENT_REQUEST_TOPIC, message)

    async def next_event(self, topic: str, offset: int = 0, *, patience_s: float = 6 * 3600.0) -> dict[str, Any]:
        """An event of a topic, by its place in it. Raises TimeoutError."""
        async with asyncio.timeout(patience_s):
            message = await self.bus.message(topic, offset)
        document: dict[str, Any] = json.loads(message.value)
        return document

    def events(self, topic: str) -> list[dict[str, Any]]:
        """What was published to a topic so far."""
        return [json.loads(message.value) for message in self.bus._logs[topic]]

    def published(self) -> dict[str, int]:
        """How many events there are by topic."""
        return {topic: len(self.events(topic)) for topic in OUTPUTS}

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        async with self.database.transaction() as transaction:
            order = list(table.primary_key.columns)
            return [dict(row._mapping) for row in await transaction.all(select(table).order_by(*order))]


@asynccontextmanager
async def world(
    mode: str | Mode = "default",
    *,
    database: Database | None = None,
    url: str = "sqlite://",
    lps: dict[str, Any] | None = None,
    bus: MemoryBus | None = None,
    **given: Any,
) -> AsyncIterator[World]:
    """A world in which an LPS runs, which takes 0.2 s for an answer. given: of the CJ service's settings."""
    clock = LoopClock(ORIGIN)
    bus = bus or MemoryBus()
    answers = LlmProviderService(
        LpsSettings(**{"use_mock_llm": True, "publish_llm_usage_events": False, "mock_latency_ms": 200, **(lps or {})}),
        load_mode(mode) if isinstance(mode, str) else mode,
        bus,
        clock,
    )
    store = database or Database(url)
    door = LpsDoor(httpx.ASGITransport(build_app(answers)))
    async with answers, httpx.AsyncClient(transport=door) as client:
        try:
            await store.create_schema(clock)
            yield World(bus, store, door, client, clock, settings(**given))
        finally:
            await store.aclose()
