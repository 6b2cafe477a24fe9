"""This module puts the service together: admission, queue, workers, publisher, providers and metrics.

A service runs while it is entered: `async with LlmProviderService(...) as service`. It keeps time by its clock and its
loop only, so on a virtual-time loop it behaves the same and takes no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Self
from uuid import UUID

import httpx

from cj_pipeline.bus.protocol import Bus
from cj_pipeline.contracts.answer import Failure
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.enums import Provider, QueueBackend
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import REASON, Reason
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.mock.settings import with_settings
from cj_pipeline.services.lps.http.admission import Admission
from cj_pipeline.services.lps.http.refusals import FlatRefusal, not_running, queue_is_full, store_is_away
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.providers.batches.jobs import ProviderBatches
from cj_pipeline.services.lps.providers.batches.setup import provider_batches
from cj_pipeline.services.lps.providers.manifest import Manifest, check_time_limits, load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.mock import MockProvider
from cj_pipeline.services.lps.providers.provider import LlmProvider
from cj_pipeline.services.lps.providers.registry import registered_providers
from cj_pipeline.services.lps.providers.stats import ProviderStats
from cj_pipeline.services.lps.queue.memory import MemoryQueue
from cj_pipeline.services.lps.queue.queue import (
    CorrelationIdInUse,
    Known,
    QueueDepth,
    QueueFull,
    QueueUnavailable,
    RequestQueue,
)
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.queue.trace_context import TraceContext
from cj_pipeline.services.lps.settings import LpsSettings
from cj_pipeline.services.lps.work.batch_window import time_to_live_s
from cj_pipeline.services.lps.work.publisher import Publisher
from cj_pipeline.services.lps.work.usage_events import UsageEvents
from cj_pipeline.services.lps.work.worker import Workers

# What is answered when the drain ends still has to reach the bus.
_LAST_CALLBACKS_S = 5.0
_SHUTTING_DOWN = Failure(
    ErrorCode.SERVICE_UNAVAILABLE,
    "The service was shut down before the request's turn came.",
    {REASON: Reason.SHUT_DOWN.value},
)


class LlmProviderService:
    """The service behind the HTTP app.

    mode: how the mock answers; it counts, `settings.mock_mode` does not. transport: instead of the network, for the
    real providers. any_model: whether the mock takes models that the manifest does not know, for recordings of models
    that nobody serves any more.
    """

    def __init__(
        self,
        settings: LpsSettings,
        mode: Mode,
        bus: Bus,
        clock: LoopClock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        any_model: bool = False,
    ) -> None:
        self.settings = settings
        self.mode = with_settings(mode, settings)
        self.clock = clock
        self.manifest: Manifest = load_manifest(settings.model_manifest_path)
        check_time_limits(self.manifest, settings.queue_processing_timeout_seconds, settings.model_manifest_path)
        self.metrics = LpsMetrics(settings.queue_processing_mode)
        provider_metrics = ProviderMetrics(self.metrics.registry, self.manifest)
        self.real_providers = registered_providers(settings, self.manifest, provider_metrics, transport=transport)
        self.providers = _providers(settings, self.mode, self.real_providers)
        self.stats = ProviderStats(clock)
        self._admission = Admission(
            self.manifest,
            self.providers,
            settings.default_models(),
            lambda now: time_to_live_s(settings, now),
            switched_off=settings.switched_off,
            mock_takes_any_model=any_model,
            callback_topics=settings.callback_topics,
        )
        self.queue = _queue(settings, clock, self._admission)
        self.publisher = Publisher(self.queue, bus, self.metrics)
        self._usage = UsageEvents(bus, clock, self.metrics) if settings.publish_llm_usage_events else None
        self.batches = _batches(settings, self.manifest, provider_metrics, clock, transport)
        self._workers = Workers(
            settings,
            self.queue,
            self.providers,
            clock,
            self.metrics,
            provider_metrics,
            self.stats,
            self._usage,
            self.batches,
        )
        self._senders: list[asyncio.Task[None]] = []
        self._entered = False
        self._accepting = False

    async def __aenter__(self) -> Self:
        if self._entered:
            # What was in flight when it stopped would count as being answered for ever.
            raise RuntimeError("a service runs once; make a new one")
        self._entered = True
        await self.queue.open()
        self._senders = [asyncio.create_task(self.publisher.run(), name="lps-publisher")]
        if self._usage is not None:
            self._senders.append(asyncio.create_task(self._usage.run(), name="lps-usage"))
        for task in self._senders:
            task.add_done_callback(self._on_senders_end)
        if self.batches is not None:
            self.batches.look_back()
        self._workers.start()
        self._accepting = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop at once. What a queue in memory still holds is lost; `drain` comes first where that matters."""
        self._accepting = False
        try:
            await self._workers.stop()
        finally:
            for task in self._senders:
                task.cancel()
            if self._senders:
                await asyncio.wait(self._senders)
            await self.queue.close()
            for provider in self.real_providers.values():
                await provider.aclose()
            if self.batches is not None:
                await self.batches.aclose()

    @property
    def running(self) -> bool:
        """Whether requests are accepted and get answered."""
        return self._accepting and self._workers.running

    async def submit(self, request: ComparisonRequest, sent_trace: TraceContext | None = None) -> QueuedRequest:
        """Accept a request, or a repetition of one that is still known, which is not queued twice.

        sent_trace: the trace that the client is in.

        Raises Refusal: what admission does not accept, correlation id in use for another request, queue full, its store
        away, service not running.
        """
        if not self.running:
            raise not_running(request.correlation_id)
        body = request.model_dump_json().encode()
        queued = self._admission.admit(request, self.clock, len(body), sent_trace)
        correlation_id = queued.correlation_id
        try:
            await self.queue.put(queued, sha256(body).digest())
        except CorrelationIdInUse:
            # A 202 would swallow the second request: consumers know callbacks by this id, and the first has it.
            raise FlatRefusal(
                409,
                "Correlation id already in use",
                details="Another request was posted under this correlation_id; give each its own.",
                correlation_id=correlation_id,
            ) from None
        except QueueFull as full:
            raise queue_is_full(full.size, full.max_size, full.reason, correlation_id) from None
        except QueueUnavailable:
            raise store_is_away(correlation_id) from None
        self._workers.request_arrived()
        self.metrics.accepted(queued.provider, queued.model_label)
        return queued

    def count_refused(self, request: ComparisonRequest | None) -> None:
        """Count a request that was not accepted. request: None when it could not be read."""
        overrides = None if request is None else request.llm_config_overrides
        if overrides is None or overrides.provider_override is None:
            self.metrics.refused()
            return
        self.metrics.refused(overrides.provider_override, self._admission.model_label(overrides.model_override))

    @property
    def mode_name(self) -> str | None:
        """How the mock answers, as the HTTP surface shows it; None for the default mode."""
        return None if self.mode.expression == "default" else self.mode.expression

    def trial(self, request: ComparisonRequest, correlation_id: UUID) -> QueuedRequest:
        """A request as a provider is shown it, without queueing it."""
        return self._admission.revive(request, correlation_id, self.clock.now(), self.clock.monotonic(), 0)

    async def lookup(self, queue_id: UUID) -> Known | None:
        """What is known of an accepted request. Raises Refusal when the store is away."""
        try:
            return await self.queue.lookup(queue_id)
        except QueueUnavailable:
            raise store_is_away(None) from None

    async def depth(self) -> QueueDepth | None:
        """How full the queue is; None when its store is away."""
        try:
            return await self.queue.depth()
        except QueueUnavailable:
            return None

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more, and finish what was accepted, for so long at most.

        What a queue in memory still holds then gets an error callback; a durable one keeps it for the next process.
        """
        self._accepting = False
        if self.queue.outlives_process:
            self._workers.take_no_more()
            finished = self._nothing_in_hand
        else:
            finished = self._nothing_left
        if not await _within(timeout_s, finished) and not self.queue.outlives_process:
            await self._workers.stop()
            await self._workers.turn_away(self.queue.claim_unanswered(), _SHUTTING_DOWN)
        # The bus gets a moment for what is in the outbox; what it does not take stays where the queue keeps it.
        await _within(_LAST_CALLBACKS_S, finished)
        if self._usage is not None:
            await self._usage.flush()

    def _on_senders_end(self, _: asyncio.Task[None]) -> None:
        self._accepting = False

    async def _nothing_in_hand(self) -> bool:
        return self._workers.idle and not self.publisher.busy

    async def _nothing_left(self) -> bool:
        return (await self.queue.depth()).total == 0


async def _within(timeout_s: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Wait until a condition holds; False when it does not in time."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not await condition():
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _providers(
    settings: LpsSettings, mode: Mode, real: Mapping[Provider, LlmProvider]
) -> Mapping[Provider, LlmProvider]:
    """Who answers for whom."""
    mock = MockProvider(mode, settings.mock_provider_seed)
    if settings.use_mock_llm:
        return {name: mock for name in Provider if name not in settings.switched_off}
    return {**real, Provider.MOCK: mock} if settings.allow_mock_provider else dict(real)


def _batches(
    settings: LpsSettings,
    manifest: Manifest,
    metrics: ProviderMetrics,
    clock: LoopClock,
    transport: httpx.AsyncBaseTransport | None,
) -> ProviderBatches | None:
    """The providers' batch endpoints, where jobs go to them."""
    folder = settings.batch_api_jobs_path
    if settings.use_mock_llm or not settings.asks_batch_endpoints or folder is None:
        return None
    return provider_batches(
        settings, manifest, metrics, clock, folder, settings.batch_api_poll_seconds, transport=transport
    )


def _queue(settings: LpsSettings, clock: LoopClock, admission: Admission) -> RequestQueue:
    match settings.queue_backend:
        case QueueBackend.MEMORY:
            return MemoryQueue(settings.queue_limits())
        case QueueBackend.REDIS:
            # Here and not above: importing the client takes 0.1 s, which an embedded stack has no use for.
            from cj_pipeline.services.lps.queue.redis.queue import RedisQueue

            url = settings.redis_url.get_secret_value()
            return RedisQueue(url, settings.queue_limits(), clock, admission.revive)
