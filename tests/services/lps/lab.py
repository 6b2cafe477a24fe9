"""What the tests of this room share: requests to post, and a service to post them to.

Here: builders. Not here: assertions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx

from cj_pipeline.bus.memory import MemoryBus, MemorySubscription
from cj_pipeline.contracts.callback import LLMComparisonResultV1, parse_callback
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.http.app import build_app
from cj_pipeline.services.lps.providers.prompts import prompt_sha256
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest, queue_id_of
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import LpsSettings

TOPIC = "test.lps.v1"
ORIGIN = datetime(2025, 12, 1, 14, 24, 16, tzinfo=UTC)

Result = TypeVar("Result")


def correlation_id(number: int) -> UUID:
    return keyed_uuid("tests", "lps", number)


def body(number: int = 0, *, prompt: str | None = None, metadata: Any = None, **overrides: Any) -> dict[str, Any]:
    """A comparison to post. overrides: of the LLM configuration, on top of provider mock."""
    return {
        "user_prompt": f"Which essay is better, pair {number}?" if prompt is None else prompt,
        "callback_topic": TOPIC,
        "correlation_id": str(correlation_id(number)),
        "metadata": {"essay_a_id": "essay-1", "essay_b_id": "essay-2"} if metadata is None else metadata,
        "llm_config_overrides": {"provider_override": "mock", **overrides},
    }


def queued(number: int = 0, *, prompt: str | None = None, metadata: Any = None, **overrides: Any) -> QueuedRequest:
    """The same comparison, already accepted."""
    request = ComparisonRequest.model_validate(body(number, prompt=prompt, metadata=metadata, **overrides))
    assert request.llm_config_overrides is not None
    assert request.llm_config_overrides.provider_override is not None
    return QueuedRequest(
        queue_id=queue_id_of(correlation_id(number)),
        correlation_id=correlation_id(number),
        request=request,
        overrides=request.llm_config_overrides,
        provider=request.llm_config_overrides.provider_override,
        resolved_provider=Provider.MOCK,
        model_label=request.llm_config_overrides.model_override or "default",
        prompt_sha256=prompt_sha256(Provider.MOCK, request),
        requested_at=ORIGIN,
        enqueued_at=0.0,
        expires_at=14_400.0,
        size_bytes=len(request.model_dump_json()),
    )


def mode(expression: str = "default", **sections: Any) -> Mode:
    """A built-in mode with some sections replaced."""
    return Mode.model_validate(load_mode(expression).model_dump() | sections)


@dataclass
class Lab:
    """A running service, a client of it, and a reader of its callbacks."""

    service: LlmProviderService
    client: httpx.AsyncClient
    callbacks: MemorySubscription

    async def post(self, number: int = 0, **kwargs: Any) -> httpx.Response:
        return await self.client.post("/api/v1/comparison", json=body(number, **kwargs))

    async def post_text(self, text: str | bytes, content_type: str = "application/json") -> httpx.Response:
        return await self.client.post("/api/v1/comparison", content=text, headers={"Content-Type": content_type})

    async def next_bytes(self) -> bytes:
        return (await asyncio.wait_for(self.callbacks.next(), timeout=3600)).value

    async def next_result(self) -> LLMComparisonResultV1:
        event = parse_callback(await self.next_bytes())
        assert not hasattr(event, "reason"), event
        return event.data  # type: ignore[union-attr]

    async def next_json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(await self.next_bytes())
        return document

    async def no_more_callbacks(self) -> bool:
        """Whether nothing further arrives in an hour (of virtual time)."""
        try:
            await asyncio.wait_for(self.callbacks.next(), timeout=3600)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def lab(
    mode: Mode | None = None,
    *,
    bus: MemoryBus | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    **settings: Any,
) -> AsyncIterator[Lab]:
    bus = bus or MemoryBus()
    service = LlmProviderService(
        LpsSettings(**settings), mode or load_mode("default"), bus, LoopClock(ORIGIN), transport=transport
    )
    to_app = httpx.ASGITransport(build_app(service))
    async with service, httpx.AsyncClient(transport=to_app, base_url="http://lps") as client:
        yield Lab(service, client, bus.subscribe(TOPIC))


def in_lab(script: Callable[[Lab], Coroutine[Any, Any, Result]], mode: Mode | None = None, **settings: Any) -> Result:
    """Run a script against a fresh service in virtual time."""

    async def main() -> Result:
        async with lab(mode, **settings) as the_lab:
            return await script(the_lab)

    return run_virtual(main())
