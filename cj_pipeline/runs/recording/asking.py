"""This module asks a real judge through an LPS, keeps every callback at once, and stops when it is told or must.

It answers the engine's waves like any other judge. What a draft holds already is taken from there and not asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from threading import Event as Flag
from uuid import UUID

import httpx

from cj_pipeline.bus.protocol import Subscription
from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides
from cj_pipeline.contracts.errors import ErrorCode, ErrorDetail
from cj_pipeline.contracts.reasons import REASON, Reason
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.state import Batch, Comparison
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.runs.judges import ServiceRefused
from cj_pipeline.runs.recording.draft import RunDraft
from cj_pipeline.runs.recording.prompts import PromptVariant, asked_request

# Of the service and not of the judge: they are never part of a recording, and the comparison is asked again.
NOT_THE_JUDGE = frozenset({ErrorCode.SERVICE_UNAVAILABLE})
# No further comparison will fare better until somebody mends something.
MENDED_BY_A_PERSON = frozenset({ErrorCode.AUTHENTICATION_ERROR, ErrorCode.CONFIGURATION_ERROR})
REASONS_TO_MEND = frozenset({Reason.NO_CREDIT, Reason.MODEL_NOT_FOUND, Reason.NOT_FOUND, Reason.REDIRECTED})
# A judge may fail so; several times in a row without an answer in between, it is not there.
MAYBE_AWAY = frozenset({ErrorCode.CONNECTION_ERROR})
MOST_AWAY_IN_A_ROW = 3

# The longest attempt (300 s) with its retries and their waits; a judge that says nothing for longer is gone.
PATIENCE_S = 1500.0
_LOOK_S = 0.5


class JudgeAway(CjPipelineError):
    """A judge that cannot be asked: nothing answers, or it refuses everything."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What every comparison of a recording is asked with."""

    prompt: PromptVariant
    texts: Mapping[str, str]
    overrides: LLMConfigOverrides


@dataclass(slots=True)
class Session:
    """One session's means. affords: whether one more comparison, beside so many in flight, can be paid for.

    broke: whether a call was not made for want of money. nobody_there: whether no call of this session found anybody,
    and several were made. stop: set by anybody, it ends the asking; what is in flight
    is waited for. on_asked: called before a comparison is posted. on_callback: called with each new callback, as it
    came.
    """

    client: httpx.AsyncClient
    subscription: Subscription
    callback_topic: str
    concurrency: int
    affords: Callable[[ComparisonRequest, int], bool]
    broke: Callable[[], bool]
    nobody_there: Callable[[], bool]
    stop: Flag
    on_asked: Callable[[ComparisonRequest, UUID], None]
    on_callback: Callable[[CallbackEvent], None]
    patience_s: float = PATIENCE_S


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A callback, what it answers, and its own JSON."""

    comparison: Comparison
    event: CallbackEvent
    raw: bytes


class RecordingJudge:
    """A judge that the engine asks, in front of one run's draft."""

    def __init__(self, session: Session, draft: RunDraft, asked: Asked) -> None:
        self._session = session
        self._draft = draft
        self._asked = asked
        self._kept = draft.events()
        self._away: list[_Arrived] = []
        self._waiting: deque[Comparison] = deque()
        self.out_of_money = False
        """Whether the spend limit ended the asking."""

    async def judge(self, batch: Batch, wave: SubmitWave) -> AsyncIterator[CallbackEvent]:
        """Yield the callbacks of a wave: those that are kept already, then the others as they arrive.

        Fewer than the wave has where it was stopped or the money is at its end.
        Raises JudgeAway, and ServiceRefused where the service takes no comparison.
        """
        waiting = self._waiting = deque[Comparison]()
        for comparison in wave.comparisons:
            kept = self._kept.get(comparison.correlation_id)
            if kept is None:
                waiting.append(comparison)
            else:
                yield _of(comparison, kept)
        in_flight: dict[UUID, Comparison] = {}
        while True:
            while waiting and len(in_flight) < self._session.concurrency and not self._over():
                request = self._request(waiting[0], batch, len(wave.comparisons))
                if not self._session.affords(request, len(in_flight)):
                    self.out_of_money = self.out_of_money or not in_flight
                    break
                comparison = waiting.popleft()
                in_flight[comparison.correlation_id] = comparison
                await self._post(request, comparison)
            if not in_flight:
                break
            arrived = self._arrived(await self._message(), in_flight)
            if arrived is not None:
                yield _of(arrived.comparison, arrived.event)

    def finish(self) -> None:
        """Keep failures that were held back: the last comparisons of a run have none after them."""
        self._keep([])

    def _over(self) -> bool:
        return self._session.stop.is_set() or self._session.broke() or self.out_of_money

    def _request(self, comparison: Comparison, batch: Batch, wave_size: int) -> ComparisonRequest:
        return asked_request(
            comparison,
            self._asked.prompt,
            batch=batch,
            wave_size=wave_size,
            texts=self._asked.texts,
            overrides=self._asked.overrides,
            callback_topic=self._session.callback_topic,
        )

    async def _post(self, request: ComparisonRequest, comparison: Comparison) -> None:
        self._draft.asking(comparison.correlation_id)
        self._session.on_asked(request, comparison.correlation_id)
        response = await self._session.client.post(
            "/api/v1/comparison",
            content=request.model_dump_json(exclude_none=True).encode(),
            headers={"content-type": "application/json"},
        )
        if response.status_code != httpx.codes.ACCEPTED:
            raise ServiceRefused(f"{response.request.url}: {response.status_code} {response.text[:300]}")

    async def _message(self) -> bytes:
        """Return the next message of the topic. Raises JudgeAway when none can be expected any more."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._session.patience_s
        # A task of its own, looked at now and then: cancelling a reader in the middle could lose a message.
        reading = asyncio.ensure_future(self._session.subscription.next())
        try:
            while True:
                done, _ = await asyncio.wait({reading}, timeout=min(_LOOK_S, max(0.0, deadline - loop.time())))
                if done:
                    return reading.result().value
                if self._session.nobody_there():
                    raise JudgeAway(
                        "nobody answers at the judge's address. Is it running, at the address that was given? Nothing "
                        "was recorded of it; go on with the same command."
                    )
                if loop.time() >= deadline:
                    raise JudgeAway(
                        f"no callback came within {self._session.patience_s:g} s, and the recording was stopped. What "
                        "was answered is kept; go on with the same command once the judge answers."
                    )
        finally:
            reading.cancel()

    def _arrived(self, raw: bytes, in_flight: dict[UUID, Comparison]) -> _Arrived | None:
        """Return the callback of one message, kept or held back; None for one that is no part of the recording."""
        event = parse_callback(raw)
        if isinstance(event, Rejection):
            raise ServiceRefused(f"the service sent something that is no callback: {event.field}: {event.reason}")
        comparison = in_flight.pop(event.data.correlation_id, None) or self._asked_before(event.data.correlation_id)
        if comparison is None:
            return None  # a topic may be shared, and a callback may come twice
        arrived = _Arrived(comparison, event, raw)
        error = event.data.error_detail
        if error is not None and (error.error_code in NOT_THE_JUDGE or self._session.broke()):
            return None
        if error is not None and _needs_mending(error):
            raise JudgeAway(f"the judge cannot be asked: {error.message} Mend it, and go on with the same command.")
        if error is not None and error.error_code in MAYBE_AWAY:
            self._hold_back(arrived, error.message)
        else:
            self._keep([arrived])
        return arrived

    def _asked_before(self, correlation_id: UUID) -> Comparison | None:
        """Return a comparison of this wave that an earlier session asked, and take it off those that wait."""
        for comparison in self._waiting:
            if comparison.correlation_id == correlation_id:
                self._waiting.remove(comparison)
                return comparison
        return None

    def _hold_back(self, arrived: _Arrived, message: str) -> None:
        self._away.append(arrived)
        if len(self._away) >= MOST_AWAY_IN_A_ROW:
            raise JudgeAway(
                f"{len(self._away)} comparisons in a row found no judge: {message} They are not part of the recording. "
                "Is it running, at the address that was given? Go on with the same command."
            )

    def _keep(self, arrived: list[_Arrived]) -> None:
        """Keep callbacks, and before them the failures that were held back: a judge that answers again was there."""
        kept = [*self._away, *arrived]
        self._away = []
        if kept:
            self._draft.take([(one.event, one.raw) for one in kept])
        for one in kept:
            self._session.on_callback(one.event)


def _needs_mending(error: ErrorDetail) -> bool:
    return error.error_code in MENDED_BY_A_PERSON or (error.details or {}).get(REASON) in REASONS_TO_MEND


def _of(comparison: Comparison, event: CallbackEvent) -> CallbackEvent:
    """Return a callback under the names that the engine knows: a redacted one has pseudonyms."""
    metadata = {**event.data.request_metadata, "essay_a_id": comparison.essay_a, "essay_b_id": comparison.essay_b}
    return event.model_copy(update={"data": event.data.model_copy(update={"request_metadata": metadata})})
