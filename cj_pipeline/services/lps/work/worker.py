"""This module holds the workers: they claim requests, have them answered, and leave the callbacks in the outbox.

Each accepted request gets exactly one callback.

A bundle's requests are answered one after another and its callbacks leave together when the last is answered, as
production's do. A request that fails never takes its neighbours with it; one that is worth another attempt goes back
to the queue, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from traceback import format_tb
from uuid import UUID

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Provider, QueueProcessingMode
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import REASON, TOOK, Reason
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.providers.batches.jobs import ProviderBatches
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.provider import LlmProvider
from cj_pipeline.services.lps.providers.stats import ProviderStats
from cj_pipeline.services.lps.queue.queue import Answer, Lapse, LapseKind, RequestQueue
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.settings import LpsSettings
from cj_pipeline.services.lps.work.batch_jobs import BatchJobs, Together
from cj_pipeline.services.lps.work.batch_window import seconds_until_window
from cj_pipeline.services.lps.work.callbacks import Outcome, answer_of
from cj_pipeline.services.lps.work.earlier import EarlierAttempts
from cj_pipeline.services.lps.work.json_logs import about_failure, ids_of
from cj_pipeline.services.lps.work.linger import linger_left_s
from cj_pipeline.services.lps.work.retries import retry_delay_s
from cj_pipeline.services.lps.work.usage_events import UsageEvents

_log = logging.getLogger(__name__)

# An instant mock never waits, and while it answers nobody else on the loop does anything: 16 answers are about 1 ms.
_ANSWERS_PER_BREATH = 16
# Production's warning: a bundle that takes longer holds its first callback back for as long.
_SLOW_BUNDLE_S = 30.0
# What is left of a wait after it was waited for is rounding, and no clock would ever get past it.
_ROUNDING_S = 1e-6


@dataclass(slots=True)
class _Turn:
    """One attempt. took_s: 0 while it is under way."""

    began_at: float
    took_s: float = 0.0


class Workers:
    """Answer whatever `queue` holds, so many at a time as the settings say. providers: by the name requests use."""

    def __init__(
        self,
        settings: LpsSettings,
        queue: RequestQueue,
        providers: Mapping[Provider, LlmProvider],
        clock: LoopClock,
        metrics: LpsMetrics,
        provider_metrics: ProviderMetrics,
        stats: ProviderStats,
        usage: UsageEvents | None,
        batches: ProviderBatches | None = None,
    ) -> None:
        self._settings = settings
        self._mode = settings.queue_processing_mode
        self._queue = queue
        self._providers = providers
        self._clock = clock
        self._metrics = metrics
        self._provider_metrics = provider_metrics
        self._stats = stats
        self._usage = usage
        self._in_progress: dict[UUID, QueuedRequest] = {}
        self._turns: dict[UUID, _Turn] = {}
        self._earlier = EarlierAttempts()
        self._answered = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._claiming: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.running = False
        """Whether requests get answered; kept up to date by the tasks' ends, as each POST asks."""
        self._busy = asyncio.Event()
        self._arrived = asyncio.Event()
        self._batches = batches
        self._jobs = BatchJobs(self._take_turn, clock, metrics, settings.llm_max_concurrent_requests, self._elsewhere)

    def start(self) -> None:
        """Set them to work."""
        slots = [self._slot() for _ in range(self._settings.llm_max_concurrent_requests)]
        self._tasks = [
            asyncio.create_task(work, name="lps-worker")
            for work in (*slots, self._renew_claims(), self._handle_lapses())
        ]
        for task in self._tasks:
            task.add_done_callback(self._on_end)
        self.running = True

    @property
    def idle(self) -> bool:
        """Whether none is in hand."""
        return not self._in_progress

    def request_arrived(self) -> None:
        """Another request was put: a job that waits to be filled may be full now."""
        self._arrived.set()

    def take_no_more(self) -> None:
        """Finish what is in hand, claim nothing further."""
        self._stopping = True
        self.running = False
        for task in self._claiming:
            task.cancel()
        self._jobs.cancel_all()

    async def stop(self) -> None:
        """Stop at once. What was in hand stays claimed. Raises what a worker died of, if one did."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def turn_away(self, requests: Iterable[QueuedRequest], failure: Failure) -> None:
        """Answer claimed requests with a failure, of which there is no further attempt. Call `stop` first."""
        await self._call_back([(request, failure, "failure") for request in requests])

    def _on_end(self, _: asyncio.Task[None]) -> None:
        self.running = False

    async def _slot(self) -> None:
        while not self._stopping:
            try:
                members = await self._claim()
                await self._work(members)
            except Exception as error:
                # What was in hand lapses and is claimed again; the others must not wait for that.
                _log.error("a worker broke (%s) and goes on", type(error).__name__, extra=_where(error))
                await asyncio.sleep(1.0)

    async def _work(self, members: tuple[QueuedRequest, ...]) -> None:
        for request in members:
            self._in_progress[request.queue_id] = request
        self._busy.set()
        try:
            match self._mode:
                case QueueProcessingMode.PER_REQUEST:
                    await self._conclude(members, {members[0].queue_id: await self._take_turn(members[0])})
                case QueueProcessingMode.SERIAL_BUNDLE:
                    await self._answer_bundle(members)
                case QueueProcessingMode.BATCH_API:
                    await self._run_job(members)
        except Exception:
            self._forget(members)
            raise
        # Not when it is stopped in the middle: `turn_away` then tells how long they had waited for their turn.
        self._forget(members)

    def _forget(self, members: Sequence[QueuedRequest]) -> None:
        for request in members:
            self._in_progress.pop(request.queue_id, None)
            self._turns.pop(request.queue_id, None)

    async def _claim(self) -> tuple[QueuedRequest, ...]:
        """The next requests to answer together."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._claiming.add(task)
        try:
            cap = 1 if self._mode is QueueProcessingMode.PER_REQUEST else self._settings.job_cap
            members = await self._queue.claim(cap)
            if self._mode is QueueProcessingMode.PER_REQUEST:
                return members
            while await self._gave_back(members, cap):
                members = await self._queue.claim(cap)
            return members
        finally:
            self._claiming.discard(task)

    async def _gave_back(self, members: Sequence[QueuedRequest], cap: int) -> bool:
        """Whether a bundle or job of these must not start yet. They are back in the queue, and the wait is over."""
        if (window_s := seconds_until_window(self._settings, self._clock.now())) > 0.0:
            await self._queue.release(members)
            await asyncio.sleep(window_s)
            return True
        if (linger_s := linger_left_s(self._settings, members, cap, self._clock.monotonic())) > _ROUNDING_S:
            self._arrived.clear()
            await self._queue.release(members)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), linger_s)
            return True
        return False

    async def _answer_bundle(self, members: tuple[QueuedRequest, ...]) -> None:
        lead, started = members[0], self._clock.monotonic()
        outcomes: dict[UUID, Outcome] = {}
        try:
            for request in members:
                outcomes[request.queue_id] = await self._take_turn(request)
        except asyncio.CancelledError:
            await self._conclude(members, outcomes)
            raise
        took_s = self._clock.monotonic() - started
        if took_s > _SLOW_BUNDLE_S:
            _log.info("a bundle of %d took %.1f s", len(members), took_s, extra=ids_of(lead))
        if asked := sum(request.queue_id in self._turns for request in members):
            self._metrics.bundled(lead.provider, None if lead.model_override is None else lead.model_label, asked)
        await self._conclude(members, outcomes)

    async def _run_job(self, members: tuple[QueuedRequest, ...]) -> None:
        job = self._jobs.schedule(members)
        try:
            outcomes = await self._jobs.collect(job.job_id)
        except asyncio.CancelledError:
            await self._conclude(members, job.outcomes)
            raise
        await self._conclude(members, outcomes)
        if self._batches is not None:
            await self._batches.forget([request for request in members if request.queue_id in outcomes])
        # The others were cancelled before their turn was over.
        await self._queue.release([request for request in members if request.queue_id not in outcomes])

    async def _conclude(self, members: Sequence[QueuedRequest], outcomes: Mapping[UUID, Outcome]) -> None:
        """Try again or call back, as far as there are outcomes; also when the rest was cut short: they are paid for."""
        endings: list[tuple[QueuedRequest, Outcome, str]] = []
        for request in members:
            outcome = outcomes.get(request.queue_id)
            if outcome is not None and not await self._tried_again(request, outcome):
                endings.append((request, outcome, _result(outcome)))
        await self._call_back(endings)

    async def _take_turn(self, request: QueuedRequest) -> Outcome:
        """Make one attempt at one request, or say for how long its provider must not be asked."""
        provider = self._providers.get(request.provider)
        if provider is not None and (held_s := provider.held_s) > 0.0:
            await self._breathe()
            return _held(request, held_s)
        turn = self._turns[request.queue_id] = _Turn(self._clock.monotonic())
        if self._usage is not None:
            self._usage.started(request)
        outcome = await self._answer(request)
        turn.took_s = self._clock.monotonic() - turn.began_at
        self._metrics.processed(request.provider, result=_result(outcome), took_s=turn.took_s)
        self._stats.attempted(request.provider, outcome)
        if isinstance(outcome, Failure):
            self._provider_metrics.unanswered(request.provider, request.model_label, outcome)
        await self._breathe()
        return outcome

    async def _breathe(self) -> None:
        self._answered += 1
        if self._answered % _ANSWERS_PER_BREATH == 0:
            await asyncio.sleep(0)

    def _elsewhere(self, lead: QueuedRequest) -> Together | None:
        """Who answers a job as a whole; None where its requests are answered one by one."""
        if self._batches is None or not self._batches.takes(lead):
            return None
        return self._take_turns_together

    async def _take_turns_together(self, requests: Sequence[QueuedRequest]) -> Mapping[UUID, Outcome]:
        """One attempt at each of these, by their provider's batch endpoint."""
        assert self._batches is not None  # noqa: S101 - `_elsewhere` has looked
        began_at = self._clock.monotonic()
        for request in requests:
            self._turns[request.queue_id] = _Turn(began_at)
            if self._usage is not None:
                self._usage.started(request)
            self._provider_metrics.dispatched(request.provider, request.model_label, request.request)
        outcomes = await self._batches.answer(requests)
        for request in requests:
            outcome, turn = outcomes[request.queue_id], self._turns[request.queue_id]
            turn.took_s = self._clock.monotonic() - began_at
            self._metrics.processed(request.provider, result=_result(outcome), took_s=turn.took_s)
            self._stats.attempted(request.provider, outcome)
            if isinstance(outcome, ProviderAnswer):
                self._provider_metrics.answered(request.provider, request.model_label, request.request, outcome)
            else:
                self._provider_metrics.unanswered(request.provider, request.model_label, outcome)
        return outcomes

    async def _answer(self, request: QueuedRequest) -> Outcome:
        provider = self._providers.get(request.provider)
        if provider is None:  # it was registered when the request was accepted, by a process set up differently
            return Failure(
                ErrorCode.CONFIGURATION_ERROR,
                f"Provider '{request.provider}' is not registered here.",
                {REASON: Reason.NOT_REGISTERED.value, "provider": request.provider.value},
            )
        self._provider_metrics.dispatched(request.provider, request.model_label, request.request)
        try:
            async with asyncio.timeout(self._settings.queue_processing_timeout_seconds) as limit:
                answer = await provider.answer(request, request.attempts)
            self._provider_metrics.answered(request.provider, request.model_label, request.request, answer)
        except ProviderError as error:
            return error.failure
        except TimeoutError as error:
            if not limit.expired():
                return _unexpected(request, error)
            return Failure(
                ErrorCode.TIMEOUT,
                f"No answer within {self._settings.queue_processing_timeout_seconds:g} s.",
                {
                    REASON: Reason.TIMEOUT.value,
                    "provider": request.provider.value,
                    "model": request.model_label,
                    "error_type": "timeout",
                    TOOK: round(self._settings.queue_processing_timeout_seconds * 1000),
                },
                retryable=True,
            )
        except Exception as error:
            return _unexpected(request, error)
        return answer

    async def _tried_again(self, request: QueuedRequest, outcome: Outcome) -> bool:
        """Whether the request went back to the queue for another attempt."""
        if isinstance(outcome, ProviderAnswer):
            return False
        turn = self._turns.get(request.queue_id)
        again = request if turn is None else replace(request, worked_s=request.worked_s + turn.took_s)
        if outcome.spares_attempt:
            self._earlier.failed(request.queue_id, outcome)
            self._metrics.held(request.provider)
            await self._queue.hold(again, outcome.retry_after_s or 0.0)
            return True
        delay_s = retry_delay_s(request, outcome, self._settings, self._clock.monotonic())
        if delay_s is None:
            return False
        self._earlier.failed(request.queue_id, outcome)
        _log.info("%s, trying again in %.1f s", outcome.code, delay_s, extra=about_failure(request, outcome))
        self._metrics.retried(request.provider, outcome.code)
        await self._queue.retry(again, delay_s)
        return True

    async def _call_back(self, endings: Sequence[tuple[QueuedRequest, Outcome, str]]) -> None:
        """Leave callbacks in the outbox. endings: (request, outcome, result), in the order in which they leave."""
        settled = [self._settled(*ending) for ending in endings]
        counted = await self._queue.answer_all([(request, answer) for request, _, answer in settled])
        for (request, outcome, answer), counts in zip(settled, counted, strict=True):
            if not counts:
                _log.warning("an answer came after its claim had run out; it does not count", extra=ids_of(request))
                continue
            self._metrics.concluded(answer.result, waited_s=self._waited_s(request))
            if self._usage is not None:
                provider = self._providers.get(request.provider)
                self._usage.ended(request, outcome, circuit_open=provider is not None and provider.held_s > 0.0)
            if isinstance(outcome, Failure):
                _log.warning("%s: %s", outcome.code, outcome.message, extra=about_failure(request, outcome))

    def _settled(self, request: QueuedRequest, outcome: Outcome, result: str) -> tuple[QueuedRequest, Outcome, Answer]:
        outcome = self._earlier.with_all(request.queue_id, outcome)
        try:
            return request, outcome, answer_of(request, outcome, self._mode, self._clock.now(), result)
        except Exception as error:
            # An answer that fits no callback is a failure like any other; in production nobody ever heard of it.
            failure = _unexpected(request, error)
            return request, failure, answer_of(request, failure, self._mode, self._clock.now(), "failure")

    async def _renew_claims(self) -> None:
        """Renew what is in hand: one attempt may take as long as a claim lasts, and a bundle many times that."""
        while True:
            await self._busy.wait()
            await asyncio.sleep(self._settings.queue_processing_timeout_seconds / 4)
            if not self._in_progress:
                self._busy.clear()  # no timer while there is nothing to do
                continue
            try:
                await self._queue.renew(tuple(self._in_progress.values()))
            except Exception as error:
                _log.error("claims could not be renewed (%s)", type(error).__name__, extra=_where(error))

    async def _handle_lapses(self) -> None:
        while True:
            lapse = await self._queue.lapsed()
            try:
                await self._on_lapse(lapse)
            except Exception as error:
                about = ids_of(lapse.request) | _where(error)
                _log.error("a lapse could not be dealt with (%s)", type(error).__name__, extra=about)

    async def _on_lapse(self, lapse: Lapse) -> None:
        request = lapse.request
        timeout_s = self._settings.queue_processing_timeout_seconds
        if lapse.kind is LapseKind.RECLAIMED:
            _log.warning("a claim ran out, or its holder died; taken back", extra=ids_of(request))
            self._metrics.reclaimed(request.provider)
            return
        reason = "ttl" if lapse.kind is LapseKind.EXPIRED else "processing_timeout"
        _log.warning("expired (%s) at the age of %.0f s", reason, lapse.age_s, extra=ids_of(request))
        self._metrics.expired(request.provider, reason=reason, age_s=lapse.age_s)
        failure = Failure(
            ErrorCode.TIMEOUT,
            f"The request expired before its turn came{self._held_by(request)}."
            if lapse.kind is LapseKind.EXPIRED
            else f"None of {request.attempts} attempts came to an end; each may take {timeout_s:g} s.",
            {
                REASON: (Reason.EXPIRED if lapse.kind is LapseKind.EXPIRED else Reason.GIVEN_UP).value,
                "provider": request.provider.value,
                "expiry_reason": reason,
                "age_seconds": round(lapse.age_s, 3),
            },
        )
        await self._call_back([(request, failure, "expired")])

    def _held_by(self, request: QueuedRequest) -> str:
        provider = self._providers.get(request.provider)
        held = provider is not None and provider.held_s > 0.0
        return f"; {request.provider} has failed repeatedly and is left alone" if held else ""

    def _waited_s(self, request: QueuedRequest) -> float:
        """From acceptance to the turn that decided, or to now if there was none, without the attempts before it."""
        turn = self._turns.get(request.queue_id)
        until = self._clock.monotonic() if turn is None else turn.began_at
        return until - request.enqueued_at - request.worked_s


def _result(outcome: Outcome) -> str:
    return "success" if isinstance(outcome, ProviderAnswer) else "failure"


def _held(request: QueuedRequest, seconds: float) -> Failure:
    """Nothing was sent: the request goes back as it was."""
    return Failure(
        ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"{request.provider} failed repeatedly and is left alone for now.",
        {REASON: Reason.CIRCUIT_OPEN.value, "provider": request.provider.value},
        retry_after_s=seconds,
        spares_attempt=True,
    )


def _where(error: Exception) -> dict[str, str]:
    """The lines that an exception passed, without its text, which may quote what it choked on."""
    return {"traceback": "".join(format_tb(error.__traceback__))}


def _unexpected(request: QueuedRequest, error: Exception) -> Failure:
    # The type alone: an exception's text, and so its traceback, may quote the essay that caused it.
    _log.error("the provider broke: %s", type(error).__name__, extra=ids_of(request))
    return Failure(
        ErrorCode.PROCESSING_ERROR,
        f"The comparison could not be processed ({type(error).__name__}).",
        {REASON: Reason.INTERNAL.value, "provider": request.provider.value},
    )
