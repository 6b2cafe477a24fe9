"""What the tests of batch endpoints share: requests, a process that can die, and a network that loses replies.

Here: builders. Not here: assertions, the endpoints (fake_batches.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prometheus_client import CollectorRegistry

from cj_pipeline.contracts.answer import Failure, ProviderAnswer
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.batches.jobs import ProviderBatches
from cj_pipeline.services.lps.providers.batches.setup import provider_batches
from cj_pipeline.services.lps.providers.manifest import load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest, queue_id_of
from tests.services.lps.lab import ORIGIN
from tests.services.lps.providers.batches.fake_batches import FAKES, FakeBatches, Judge, answered
from tests.services.lps.providers.fake_api import KEYS
from tests.services.lps.providers.stand import queued

Found = TypeVar("Found")
Outcomes = Mapping[UUID, ProviderAnswer | Failure]

BOTH = (Provider.OPENAI, Provider.ANTHROPIC)
# The call that starts a job.
SUBMIT = {Provider.OPENAI: "POST /v1/batches", Provider.ANTHROPIC: "POST /v1/messages/batches"}


def requests(provider: Provider, count: int, first: int = 0, **overrides: Any) -> list[QueuedRequest]:
    made = []
    for number in range(first, first + count):
        correlation_id = keyed_uuid("tests", "batches", number)
        one = queued(provider, prompt=f"Which is better, pair {number}?", **overrides)
        made.append(replace(one, queue_id=queue_id_of(correlation_id), correlation_id=correlation_id))
    return made


class Network(httpx.AsyncBaseTransport):
    """The way to a fake. lost: calls ("POST /v1/batches") and what happens to each of their replies in turn: `hang`
    (nobody is there to read it any more), `reset`, or `unsent`; after those it works."""

    def __init__(self, fake: FakeBatches, lost: dict[str, list[str]]) -> None:
        self._to = httpx.ASGITransport(fake.app())
        self._lost = lost

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        planned = self._lost.get(f"{request.method} {request.url.path}")
        what = planned.pop(0) if planned else ""
        if what == "unsent":
            raise httpx.ConnectError("nobody there")
        if what == "unsent and hang":
            await asyncio.Event().wait()
        response = await self._to.handle_async_request(request)
        if what == "hang":
            await asyncio.Event().wait()
        if what == "reset":
            raise httpx.ReadError("reset")
        if what.isdigit():
            return httpx.Response(int(what), text="<html>gateway</html>")
        return response


@dataclass
class Stand:
    """One provider, its batch endpoint, and the folder of open jobs, which outlives each process."""

    provider: Provider
    folder: Path
    fake: FakeBatches
    clock: LoopClock
    lost: dict[str, list[str]] = field(default_factory=dict)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def process(self, *, poll_s: float = 60.0, **settings: Any) -> ProviderBatches:
        """A new process with the same settings."""
        self.registry = CollectorRegistry()
        name = self.provider.value
        return provider_batches(
            ProviderSettings(**{f"{name}_api_key": KEYS[self.provider], **settings}),
            load_manifest(),
            ProviderMetrics(self.registry),
            self.clock,
            self.folder,
            poll_s,
            transport=Network(self.fake, self.lost),
        )

    def stored(self) -> list[str]:
        return [path.name for path in self.folder.glob("*")] if self.folder.exists() else []

    async def killed_while_answering(self, asked: Sequence[QueuedRequest], after_s: float) -> None:
        """Start a process, and end it after a while, without a word to the provider."""
        batches = self.process()
        task = asyncio.create_task(_of(batches.answer(asked)))
        await asyncio.sleep(after_s)
        assert not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _of(answer: Awaitable[Any]) -> Any:
    return await answer


def at_a_stand(
    provider: Provider,
    folder: Path,
    script: Callable[[Stand], Coroutine[Any, Any, Found]],
    *,
    judge: Judge = answered,
    takes: timedelta = timedelta(minutes=30),
    **lost: list[str],
) -> Found:
    """Run a script in virtual time. lost: what happens to the replies to the submission (`submit`) and others."""

    async def main() -> Found:
        clock = LoopClock(ORIGIN)
        fake = FAKES[provider](clock.now, judge, takes)
        stand = Stand(provider, folder / "jobs", fake, clock)
        if "submit" in lost:
            stand.lost[SUBMIT[provider]] = list(lost["submit"])
        return await script(stand)

    return run_virtual(main())
