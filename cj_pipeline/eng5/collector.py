"""This module collects what deployed services publish of one batch: callbacks, the end, and the result.

Reading begins where the topics ended before the batch was asked for, in every session: nothing that was published while
nobody listened is missing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import TypeVar

from pydantic import ValidationError

from cj_pipeline.bus.protocol import Bus
from cj_pipeline.contracts.callback import CallbackEvent, EventEnvelope, Rejection, parse_callback
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    AssessmentResultV1,
    CJAssessmentCompletedV1,
    CJAssessmentFailedV1,
)
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.runs.recording.draft import RunDraft

TOPICS = (COMPARISON_RESULT_TOPIC, CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC, ASSESSMENT_RESULT_TOPIC)

RESULT_WAIT_S = 10.0
"""That a result may come after the completion."""

SILENCE_S = 15.0
"""After which the person who waits gets a note."""

_LOOK_S = 0.5
_SHA256 = re.compile(r"[0-9a-f]{64}")

Envelope = TypeVar(
    "Envelope",
    EventEnvelope[CJAssessmentCompletedV1],
    EventEnvelope[CJAssessmentFailedV1],
    EventEnvelope[AssessmentResultV1],
)
Offsets = Mapping[str, Mapping[int, int]]


class NotHydrated(CjPipelineError):
    """A callback of the batch that no artefact can be made of."""


@dataclass(slots=True)
class Collected:
    """What came of a batch so far. failure: the CJ service's word, where the batch failed."""

    completions: list[bytes] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)
    result: AssessmentResultV1 | None = None
    failure: str | None = None
    duplicates: int = 0
    timed_out: bool = False
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether completion and result are there."""
        return bool(self.completions) and self.result is not None


class Collector:
    """Collects one batch. Callbacks are kept in the draft as they come.

    on_callback: called with each that is new. Raises NotHydrated from `collect`.
    """

    def __init__(self, bus: Bus, batch: str, draft: RunDraft, on_callback: Callable[[CallbackEvent], None]) -> None:
        self._bus = bus
        self._batch = batch
        self._draft = draft
        self._on_callback = on_callback
        kept = {event.data.request_id for event in draft.events().values()}
        # A session that goes on reads what it has once more, which is no duplicate.
        self._seen, self._once_more = set(kept), set(kept)
        self.found = Collected()
        self._changed = asyncio.Event()

    async def ends(self) -> dict[str, dict[int, int]]:
        """Return where the topics end now."""
        return {topic: dict(await self._bus.end(topic)) for topic in TOPICS}

    async def collect(
        self, start: Offsets, timeout_s: float, stop: Flag, note: Callable[[str], None] = lambda _: None
    ) -> Collected:
        """Read until completion and result are there, the batch failed, the time is over, or it is stopped.

        note: called with a sentence when nothing has come for a while.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        readers = [asyncio.create_task(self._read(topic, start.get(topic, {}))) for topic in TOPICS]
        last_wait: float | None = None
        heard = loop.time()
        try:
            while not (self.found.complete or self.found.failure is not None):
                if self.found.completions and last_wait is None:
                    last_wait = loop.time() + RESULT_WAIT_S
                if last_wait is not None and loop.time() >= last_wait:
                    break
                if loop.time() >= deadline:
                    self.found.timed_out = True
                    break
                if stop.is_set():
                    self.found.stopped = True
                    break
                for reader in readers:
                    if reader.done():
                        reader.result()  # raises what ended it
                if await self._wait(min(_LOOK_S, max(0.01, deadline - loop.time()))):
                    heard = loop.time()
                elif loop.time() - heard >= SILENCE_S:
                    heard = loop.time()
                    left_s = deadline - loop.time()
                    note(f"nothing came for {SILENCE_S:g} s; {self._draft.taken} answered, {left_s:.0f} s left")
            if self.found.completions:
                await asyncio.sleep(0.05)  # callbacks that are on the bus already
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        for reader in readers:
            if not reader.cancelled() and (error := reader.exception()) is not None:
                raise error
        return self.found

    async def _wait(self, seconds: float) -> bool:
        """Wait for news, and return whether there are any."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def _read(self, topic: str, start: Mapping[int, int]) -> None:
        subscription = self._bus.subscribe(topic, start)
        handlers: Mapping[str, Callable[[bytes], None]] = {
            COMPARISON_RESULT_TOPIC: self._callback,
            CJ_COMPLETED_TOPIC: self._completed,
            CJ_FAILED_TOPIC: self._failed,
            ASSESSMENT_RESULT_TOPIC: self._result,
        }
        while True:
            handlers[topic]((await subscription.next()).value)
            self._changed.set()

    def _callback(self, raw: bytes) -> None:
        event = parse_callback(raw)
        if isinstance(event, Rejection):
            if self._batch.encode() in raw:
                raise NotHydrated(f"a callback of the batch cannot be used: {event.field}: {event.reason}.")
            return
        metadata = event.data.request_metadata
        if metadata.get("bos_batch_id") != self._batch:
            return
        if (missing := essay_rejection(metadata)) is not None:
            raise NotHydrated(f"callback {event.data.request_id}: {missing.field}: {missing.reason}.")
        if not _SHA256.fullmatch(str(metadata.get("prompt_sha256"))):
            raise NotHydrated(f"callback {event.data.request_id}: prompt_sha256 is not 64 hexadecimal digits.")
        if event.data.request_id in self._seen:
            self.found.duplicates += event.data.request_id not in self._once_more
            self._once_more.discard(event.data.request_id)
            return
        self._seen.add(event.data.request_id)
        self._draft.take([(event, raw)])
        self._on_callback(event)

    def _completed(self, raw: bytes) -> None:
        event = _read_as(EventEnvelope[CJAssessmentCompletedV1], raw)
        if event is not None and event.data.entity_id == self._batch and raw not in self.found.completions:
            self.found.completions.append(raw)

    def _failed(self, raw: bytes) -> None:
        event = _read_as(EventEnvelope[CJAssessmentFailedV1], raw)
        if event is not None and event.data.entity_id == self._batch:
            self.found.failure = str((event.data.system_metadata.error_info or {}).get("reason", "unknown"))

    def _result(self, raw: bytes) -> None:
        event = _read_as(EventEnvelope[AssessmentResultV1], raw)
        if event is not None and event.data.batch_id == self._batch and raw not in self.found.results:
            self.found.results.append(raw)
            self.found.result = event.data


def _read_as(model: type[Envelope], raw: bytes) -> Envelope | None:
    try:
        return model.model_validate_json(raw)
    except ValidationError:
        return None  # the topic may be shared
