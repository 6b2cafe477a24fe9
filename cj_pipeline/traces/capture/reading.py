"""This module reads the partitions of a topic into a draft until one of the limits. It publishes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.traces.capture.progress import PartitionProgress, messages_read
from cj_pipeline.traces.capture.source import OUT_OF_RANGE, REACH_SECONDS, CannotCapture, TopicSource
from cj_pipeline.traces.draft import Place, kept_line, quarantine_entry
from cj_pipeline.traces.message_filter import MessageFilter, Unusable

if TYPE_CHECKING:
    from threading import Event

    from confluent_kafka import Message

    from cj_pipeline.traces.capture.draft import CaptureDraft
    from cj_pipeline.traces.capture.request import CaptureRequest, Limits

# Messages handed over at once: many enough to cost little each, few enough to stop soon.
BATCH = 2_000
WAIT_SECONDS = 0.1

# A kill costs at most so much reading again.
COMMIT_SECONDS = 2.0
PROGRESS_SECONDS = 0.2
# A followed topic may be given further partitions.
PARTITIONS_SECONDS = 3.0
# Transactions end within moments; one that is open for longer is reported and not waited for.
TRANSACTION_SECONDS = 5.0


class Ending(StrEnum):
    """Why reading ended."""

    END_REACHED = "end reached"
    COUNT_REACHED = "expected count reached"
    OPEN_TRANSACTION = "open transaction"
    IDLE = "idle"
    DEADLINE = "deadline"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class CaptureProgress:
    """How far a capture is. read, taken: messages so far. wanted: those there were at the start; None without end."""

    read: int
    taken: int
    wanted: int | None


OnProgress = Callable[[CaptureProgress], None]


@dataclass(slots=True)
class Deadlines:
    """The limits of time of one capture, on the machine's monotonic clock."""

    limits: Limits
    started: float = field(default_factory=monotonic)
    last_sign: float = field(default_factory=monotonic)

    def sign_of_life(self) -> None:
        """Note that something came that patience depends on."""
        self.last_sign = monotonic()

    def expired(self) -> Ending | None:
        """Return the limit that is passed."""
        now = monotonic()
        if self.limits.timeout_seconds is not None and now - self.started >= self.limits.timeout_seconds:
            return Ending.DEADLINE
        if self.limits.idle_limit is not None and now - self.last_sign >= self.limits.idle_limit:
            return Ending.IDLE
        return None


class TopicReader:
    """Reads partitions into a draft.

    ends: by partition, the offset at which it is done; empty for a reading that goes on after the end. stop: set by
    anybody, it ends the reading.
    """

    def __init__(
        self,
        request: CaptureRequest,
        source: TopicSource,
        draft: CaptureDraft,
        ends: Mapping[int, int],
        on_progress: OnProgress | None = None,
        stop: Event | None = None,
    ) -> None:
        self._request = request
        self._source = source
        self._draft = draft
        self._partitions = draft.partitions
        self._filter = MessageFilter(request.selection)
        self._ends = {} if request.limits.open_ended else dict(ends)
        self._wanted = sum(ends.values()) - sum(progress.first for progress in draft.partitions.values())
        self._on_progress = on_progress
        self._stop = stop
        self._deadlines = Deadlines(request.limits)
        self._open: set[int] = set()
        # Partitions of which something is known to lie ahead, and those that end before their end: behind that lie
        # records of a transaction that is still open.
        self._behind: set[int] = set()
        self._blocked: set[int] = set()
        self._last_message = self._committed = self._reported = self._looked = monotonic()

    def run(self) -> Ending:
        """Read until a limit is reached; everything read is committed then, also where something else is raised."""
        try:
            skip_what_is_gone(self._source, self._partitions.values(), self._ends)
            self._assign(self._partitions)
            ending = self._read()
        except sqlite3.Error:
            # The transaction may be gone, and positions must not outlive the callbacks that it held.
            raise
        except BaseException:
            self._draft.commit()
            raise
        self._draft.commit()
        return ending

    def _read(self) -> Ending:
        while True:
            if self._count_reached():
                return Ending.COUNT_REACHED
            if not self._open and not self._request.limits.open_ended:
                return Ending.END_REACHED
            if self._stop is not None and self._stop.is_set():
                return Ending.STOPPED
            if (expired := self._expired()) is not None:
                return expired
            if self._blocked and self._blocked >= self._open and self._age(self._last_message) >= TRANSACTION_SECONDS:
                return Ending.OPEN_TRANSACTION
            self._step()
            if self._age(self._committed) >= COMMIT_SECONDS:
                self._draft.commit()
                self._committed = monotonic()
            self._report()
            self._look_for_partitions()

    def _expired(self) -> Ending | None:
        expired = self._deadlines.expired()
        # What is known to be there is not waited for in idleness, for as long as a broker may take to answer.
        if expired is Ending.IDLE and self._behind and self._age(self._deadlines.last_sign) < REACH_SECONDS:
            return None
        return expired

    def _step(self) -> None:
        """Take in what has come, waiting a moment for it. Raises CannotCapture."""
        messages = self._source.consume(BATCH, WAIT_SECONDS)
        if not messages:
            return
        matched = self._take_in(messages)
        if matched or self._behind:
            self._deadlines.sign_of_life()

    def _take_in(self, messages: Iterable[Message]) -> bool:
        """Take in some messages, up to the one that makes the expected count; return whether any was a match."""
        matched = False
        for message in messages:
            # The client's types say None where an error has no place; a message has one.
            number, offset = message.partition() or 0, message.offset() or 0
            error = message.error()
            if error is not None:
                self._event(number, offset, error)
                continue
            progress = self._partitions[number]
            end = self._ends.get(number)
            if offset < progress.next:
                continue
            if end is not None and offset >= end:
                self._reach(number)
                continue
            self._last_message = monotonic()
            self._blocked.discard(number)
            matched |= self._take(message, progress, offset)
            if end is not None and offset + 1 >= end:
                self._reach(number)
            if matched and self._count_reached():
                return True
        return matched

    def _take(self, message: Message, progress: PartitionProgress, offset: int) -> bool:
        value = message.value()
        _, timestamp_ms = message.timestamp()
        judgement = self._filter.judge(value, timestamp_ms)
        matched = isinstance(judgement, CallbackEvent)
        if isinstance(judgement, CallbackEvent):
            self._keep(judgement, value or b"", Place(timestamp_ms, progress.number, offset))
            progress.taken += 1
        elif isinstance(judgement, Unusable):
            self._set_aside(judgement, value or b"", progress.number, offset)
            progress.malformed_matches += judgement.concerns
            progress.outcomes[judgement.outcome.value] += 1
        else:
            progress.outcomes[judgement.value] += 1
        progress.next = offset + 1
        return matched

    def _keep(self, event: CallbackEvent, raw: bytes, place: Place) -> None:
        line, read = kept_line(event, raw, self._request.redaction)
        requested_at = event.data.requested_at
        if self._draft.earliest is None or requested_at < self._draft.earliest:
            self._draft.earliest = requested_at
        self._draft.callbacks.take(place, read, line)

    def _set_aside(self, why: Unusable, raw: bytes, number: int, offset: int) -> None:
        place: dict[str, int | str] = {"topic": self._source.topic, "partition": number, "offset": offset}
        request = self._request
        entry = quarantine_entry(raw, why, place, request.redaction, keep_raw=request.keep_raw)
        self._draft.callbacks.set_aside(number, offset, entry)

    def _event(self, number: int, offset: int, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            progress = self._partitions[number]
            end = self._ends.get(number)
            if end is not None and offset >= end:
                # The last offsets were no messages: the ends of transactions, or compacted.
                self._reach(number)
                return
            # What was read to its end is not to look as if something lay behind.
            progress.next = max(progress.next, offset)
            self._behind.discard(number)
            if end is not None:
                self._blocked.add(number)
        elif error.code() in OUT_OF_RANGE:
            self._skip_what_is_gone(number)
        else:
            self._source.judge_error(error)

    def _reach(self, number: int) -> None:
        """Stop reading a partition that is at its end, or beyond it."""
        if number not in self._open:
            return
        progress = self._partitions[number]
        progress.next = max(progress.next, self._ends[number])
        self._leave(number)

    def _leave(self, number: int) -> None:
        for kind in (self._open, self._behind, self._blocked):
            kind.discard(number)
        self._source.unassign(number)

    def _assign(self, numbers: Iterable[int]) -> None:
        """Read partitions from where they are, unless they are at their end."""
        wanted = {number: self._partitions[number].next for number in numbers if not self._done(number)}
        self._open |= wanted.keys()
        self._behind |= wanted.keys()
        if wanted:
            self._source.assign(wanted)

    def _skip_what_is_gone(self, number: int) -> None:
        """Go on where the partition now begins: retention was faster."""
        self._leave(number)
        skip_what_is_gone(self._source, [self._partitions[number]], self._ends)
        self._assign([number])

    def _done(self, number: int) -> bool:
        return number in self._ends and self._partitions[number].next >= self._ends[number]

    def _count_reached(self) -> bool:
        expected = self._request.limits.expected_count
        return expected is not None and self._draft.callbacks.taken >= expected

    def _look_for_partitions(self) -> None:
        if not self._request.limits.open_ended or self._age(self._looked) < PARTITIONS_SECONDS:
            return
        self._looked = monotonic()
        new = [number for number in self._source.known_partitions() if number not in self._partitions]
        if new:
            for number, found in self._source.ranges(new).items():
                self._partitions[number] = PartitionProgress(number, found.low, found.low)
            self._assign(new)

    def _report(self) -> None:
        if self._on_progress is None or self._age(self._reported) < PROGRESS_SECONDS:
            return
        self._reported = monotonic()
        self._on_progress(
            CaptureProgress(
                read=messages_read(self._partitions.values()),
                taken=sum(progress.taken for progress in self._partitions.values()),
                wanted=None if self._request.limits.open_ended else self._wanted,
            )
        )

    @staticmethod
    def _age(moment: float) -> float:
        return monotonic() - moment


def skip_what_is_gone(source: TopicSource, partitions: Iterable[PartitionProgress], ends: Mapping[int, int]) -> None:
    """Move partitions whose next offset no longer exists to where they now begin; they remember the gap.

    Raises CannotCapture when a partition is shorter than what was read of it: then it is another topic of that name.
    """
    by_number = {progress.number: progress for progress in partitions}
    for number, now in source.ranges(by_number).items():
        progress = by_number[number]
        if now.high < progress.next:
            raise CannotCapture(
                f"partition {number} of '{source.topic}' ends at offset {now.high}, but was read up to "
                f"{progress.next} before: the topic was deleted and made again. "
                "Publish what was taken with --finish, or delete the draft and capture again."
            )
        low = min(now.low, ends.get(number, now.low))
        if low > progress.next:
            progress.skip_to(low)
