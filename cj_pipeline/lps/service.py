"""One LLM Provider Service: queue, worker, providers and metrics, put together.

Here: who is connected to whom, admission, starting and stopping. Not here: HTTP (app.py), answering (worker.py).

A service runs while it is entered: `async with LlmProviderService(...) as service`. It keeps time by its clock and its
loop only, so on a virtual-time loop it behaves the same and takes no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Self
from uuid import uuid4

from cj_pipeline.bus.protocol import Bus
from cj_pipeline.clock import LoopClock
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.lps.metrics import LpsMetrics
from cj_pipeline.lps.mock import MockProvider
from cj_pipeline.lps.mode import Mode
from cj_pipeline.lps.mode_files import load_mode
from cj_pipeline.lps.provider import LlmProvider
from cj_pipeline.lps.queue import QueueFull, RequestQueue
from cj_pipeline.lps.queued_request import QueuedRequest, prompt_sha256_of, queue_id_of
from cj_pipeline.lps.refusals import FlatRefusal, NestedRefusal, queue_is_full
from cj_pipeline.lps.settings import LpsSettings
from cj_pipeline.lps.worker import Worker


class LlmProviderService:
    """The service behind the HTTP app. mode: how the mock answers; it counts, `settings.mock_mode` does not."""

    def __init__(self, settings: LpsSettings, mode: Mode, bus: Bus, clock: LoopClock) -> None:
        self.settings = settings
        self.mode = mode
        self.clock = clock
        self.queue = RequestQueue(settings.queue_max_size)
        self.metrics = LpsMetrics(settings.queue_processing_mode, self.queue.depth)
        self.providers = _providers(settings, MockProvider(mode, settings.mock_provider_seed))
        self._worker = Worker(settings, self.queue, self.providers, bus, clock, self.metrics)
        self._task: asyncio.Task[None] | None = None
        self._entered = False

    @classmethod
    def from_settings(cls, settings: LpsSettings, bus: Bus, clock: LoopClock) -> Self:
        """A service whose mode is `settings.mock_mode`. Raises UnknownMode, BadInput."""
        return cls(settings, load_mode(settings.mock_mode), bus, clock)

    async def __aenter__(self) -> Self:
        if self._entered:
            # What was in flight when it stopped would count as being answered for ever.
            raise RuntimeError("a service runs once; make a new one")
        self._entered = True
        self._task = asyncio.create_task(self._worker.run(), name="lps-worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the worker. What still waits is lost: this queue lives in memory."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()  # a worker that ended by itself did so with an error

    @property
    def running(self) -> bool:
        """Whether accepted requests get answered."""
        return self._task is not None and not self._task.done()

    def submit(self, request: ComparisonRequest) -> QueuedRequest:
        """Accept a request, or a repetition of one that is still known, which is not queued twice.

        Raises Refusal: no provider named, provider not registered, correlation id in use for another request,
        queue full, service not running.
        """
        correlation_id = request.correlation_id or uuid4()
        overrides = request.llm_config_overrides
        if overrides is None or overrides.provider_override is None:
            raise FlatRefusal(
                400,
                "Provider configuration required",
                details="llm_config_overrides.provider_override must name a provider.",
                correlation_id=correlation_id,
            )
        provider = self.providers.get(overrides.provider_override)
        if provider is None:
            raise NestedRefusal(
                400,
                ErrorCode.CONFIGURATION_ERROR,
                f"Provider '{overrides.provider_override}' is not registered.",
                correlation_id=correlation_id,
                details={
                    "config_key": "provider_override",
                    "registered_providers": [name.value for name in self.providers],
                },
            )
        if not self.running:
            raise FlatRefusal(503, "Service is not running", correlation_id=correlation_id)
        queued = QueuedRequest(
            queue_id=queue_id_of(correlation_id),
            correlation_id=correlation_id,
            request=request,
            overrides=overrides,
            provider=overrides.provider_override,
            resolved_provider=provider.name,
            prompt_sha256=prompt_sha256_of(request.user_prompt),
            requested_at=self.clock.now(),
            enqueued_at=self.clock.monotonic(),
        )
        self._enqueue(queued)
        self.metrics.accepted(queued.resolved_provider, queued.model_label)
        return queued

    def _enqueue(self, queued: QueuedRequest) -> None:
        fingerprint = sha256(queued.request.model_dump_json().encode()).digest()
        known = self.queue.fingerprint_of(queued.correlation_id)
        if known is not None:
            if known != fingerprint:
                # A 202 would swallow the second request: consumers know callbacks by this id, and the first has it.
                raise FlatRefusal(
                    409,
                    "Correlation id already in use",
                    details="Another request was posted under this correlation_id; give each its own.",
                    correlation_id=queued.correlation_id,
                )
            return
        try:
            self.queue.put(queued, fingerprint)
        except QueueFull as full:
            raise queue_is_full(full.size, full.max_size, queued.correlation_id) from None


def _providers(settings: LpsSettings, mock: MockProvider) -> Mapping[Provider, LlmProvider]:
    """Who answers for whom."""
    if settings.use_mock_llm:
        return dict.fromkeys(Provider, mock)
    return {Provider.MOCK: mock} if settings.allow_mock_provider else {}
