"""The one worker: takes requests from the queue, has them answered one after another, and sends the callbacks.

Here: turns, retries, and the promise of exactly one callback per accepted request. Not here: which requests share a
bundle (bundling.py), what is in a callback (callbacks.py).

A bundle's callbacks leave together when its last request is answered, as production's do. A request that fails never
takes its neighbours with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from cj_pipeline.bus.protocol import Bus
from cj_pipeline.clock import LoopClock
from cj_pipeline.contracts.enums import Provider, QueueProcessingMode
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.lps.bundling import select_bundle
from cj_pipeline.lps.callbacks import Outcome, callback_bytes
from cj_pipeline.lps.metrics import LpsMetrics
from cj_pipeline.lps.provider import Failure, LlmProvider, ProviderAnswer, ProviderError
from cj_pipeline.lps.queue import RequestQueue
from cj_pipeline.lps.queued_request import QueuedRequest
from cj_pipeline.lps.settings import LpsSettings

_log = logging.getLogger(__name__)


class Worker:
    """Answers whatever `queue` holds. providers: by the name that requests use."""

    def __init__(
        self,
        settings: LpsSettings,
        queue: RequestQueue,
        providers: Mapping[Provider, LlmProvider],
        bus: Bus,
        clock: LoopClock,
        metrics: LpsMetrics,
    ) -> None:
        self._mode = settings.queue_processing_mode
        self._bundle_cap = settings.serial_bundle_max_requests_per_call
        self._attempts = settings.queue_max_retries + 1
        self._queue = queue
        self._providers = providers
        self._bus = bus
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._queue.wait_for_item()
            lead = self._queue.take()
            if self._mode is QueueProcessingMode.SERIAL_BUNDLE:
                await self._answer_bundle(lead)
            else:
                await self._call_back(lead, await self._take_turn(lead))

    async def _answer_bundle(self, lead: QueuedRequest) -> None:
        bundle = select_bundle(lead, self._queue.waiting(), self._bundle_cap)
        if bundle.set_aside is not None:
            self._queue.put_back(bundle.set_aside)
        outcomes = [await self._take_turn(request) for request in bundle.members]
        self._metrics.bundled(lead.resolved_provider, lead.model_label, len(bundle.members))
        for request, outcome in zip(bundle.members, outcomes, strict=True):
            await self._call_back(request, outcome)

    async def _take_turn(self, request: QueuedRequest) -> Outcome:
        started = self._clock.monotonic()
        outcome = await self._answer(request)
        self._metrics.processed(
            request.resolved_provider,
            result=_result(outcome),
            waited_s=started - request.enqueued_at,
            took_s=self._clock.monotonic() - started,
        )
        return outcome

    async def _answer(self, request: QueuedRequest) -> Outcome:
        """The answer, or why there is none after the attempts that could help."""
        provider = self._providers[request.provider]
        attempt = 0
        while True:
            try:
                return await provider.answer(request, attempt)
            except ProviderError as error:
                attempt += 1
                if attempt == self._attempts or not error.failure.worth_retrying:
                    return error.failure
            except Exception as error:
                _log.exception("comparison %s: the provider broke", request.correlation_id)
                return _unexpected(error)

    async def _call_back(self, request: QueuedRequest, outcome: Outcome) -> None:
        answered = False
        try:
            try:
                message = callback_bytes(request, outcome, self._mode, self._clock.now())
            except Exception as error:
                _log.exception("comparison %s: the answer does not fit a callback", request.correlation_id)
                outcome = _unexpected(error)
                message = callback_bytes(request, outcome, self._mode, self._clock.now())
            await self._bus.publish(request.request.callback_topic, message, key=str(request.correlation_id).encode())
            answered = True
            self._metrics.called_back(result=_result(outcome))
        except Exception:
            # Without an outbox this verdict is lost. The queue forgets the request, so posting it again asks again.
            _log.exception("comparison %s: its callback could not be published", request.correlation_id)
        finally:
            self._queue.finish(request, answered=answered)


def _result(outcome: Outcome) -> str:
    return "success" if isinstance(outcome, ProviderAnswer) else "failure"


def _unexpected(error: Exception) -> Failure:
    # The type alone: an exception's text may quote the essay that caused it.
    return Failure(ErrorCode.PROCESSING_ERROR, f"The comparison could not be processed ({type(error).__name__}).")
