"""From partitions to lanes: the loop that every message goes through.

Here: reading some partitions of a topic, each until its end, and when there is nothing more to come. Not here: the
consumer (source.py), the decision about a message (sieve.py), who reads which partitions (capture.py, worker.py).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from cj_pipeline.traces.capture.index import id_digest
from cj_pipeline.traces.capture.lane import FigureTooLarge, Lane, QuarantineNote
from cj_pipeline.traces.capture.sieve import TOO_LARGE, Sieve, Unusable
from cj_pipeline.traces.capture.source import OUT_OF_RANGE, CannotCapture, TopicSource
from cj_pipeline.traces.wire_callback import WireCallback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cj_pipeline.traces.capture.request import Limits
    from cj_pipeline.traces.capture.seen import SeenIds

# Messages asked for at once: enough for the price of the call not to matter, few enough to stop soon.
BATCH = 2_000

WAIT_SECONDS = 0.1
# With nothing left to read, what is waited for is the end of another process.
WAIT_FOR_OTHERS_SECONDS = 0.01


class Ending(StrEnum):
    """Why reading ended."""

    END_REACHED = "end reached"
    COUNT_REACHED = "expected count reached"
    IDLE = "idle"
    DEADLINE = "deadline"
    STOPPED = "stopped"


@dataclass(slots=True)
class Clockwork:
    """The limits of time of one capture, on the machine's monotonic clock."""

    limits: Limits
    started: float = field(default_factory=monotonic)
    last_sign: float = field(default_factory=monotonic)

    def sign_of_life(self) -> None:
        """Something came that patience depends on."""
        self.last_sign = monotonic()

    def expired(self) -> Ending | None:
        """Which limit is passed."""
        now = monotonic()
        if self.limits.timeout_seconds is not None and now - self.started >= self.limits.timeout_seconds:
            return Ending.DEADLINE
        if self.limits.idle_limit is not None and now - self.last_sign >= self.limits.idle_limit:
            return Ending.IDLE
        return None


class Reader:
    """Reads partitions into their lanes.

    ends: by partition, the offset at which it is done; a partition without one goes on for ever. seen, expected_count:
    given together; reading stops with the message that makes the different ids that many.
    """

    def __init__(
        self,
        source: TopicSource,
        lanes: dict[int, Lane],
        sieve: Sieve,
        ends: dict[int, int],
        seen: SeenIds | None = None,
        expected_count: int | None = None,
    ) -> None:
        self._source = source
        self._lanes = lanes
        self._sieve = sieve
        self._ends = ends
        self._seen = seen
        self._expected_count = expected_count
        self._behind: set[int] = set()
        self._open: set[int] = set()

    def begin(self) -> None:
        """Assign every partition that is not read to its end."""
        self.add({number: lane.state.next for number, lane in self._lanes.items()})

    def add(self, offsets: dict[int, int]) -> None:
        """Read more partitions, whose lanes are there, from an offset."""
        wanted = {number: offset for number, offset in offsets.items() if not self._done(number)}
        self._open |= wanted.keys()
        self._behind |= wanted.keys()
        if wanted:
            self._source.assign(wanted)

    @property
    def ended(self) -> bool:
        """Whether every partition is read to its end."""
        return not self._open

    def count_reached(self) -> bool:
        """Whether as many different callbacks are there as were expected."""
        return self._expected_count is not None and self._seen is not None and len(self._seen) >= self._expected_count

    def step(self, clockwork: Clockwork) -> None:
        """Take in what has come, waiting a moment for it. Raises CannotCapture."""
        with uncollected():
            messages = self._source.consume(BATCH, WAIT_SECONDS if self._open else WAIT_FOR_OTHERS_SECONDS)
            if not messages:
                return
            matched = self._take_in(messages)
            # Freed before the collector comes back, which would walk all of them.
            del messages
        if matched or self._behind:
            clockwork.sign_of_life()

    def _take_in(self, messages: Sequence[Any]) -> bool:
        """Whether any was taken. messages: the client's, whose types say None where a record has none."""
        judge, lanes, ends, seen = self._sieve.judge, self._lanes, self._ends, self._seen
        matched = False
        for message in messages:
            partition = message.partition()
            error = message.error()
            if error is not None:
                self._event(partition, message.offset(), error)
                continue
            lane = lanes[partition]
            offset = message.offset()
            end = ends.get(partition)
            if offset < lane.state.next:
                continue
            if end is not None and offset >= end:
                self._reach(partition)
                continue
            value = message.value()
            _, timestamp_ms = message.timestamp()
            judgement = judge(value, timestamp_ms)
            if isinstance(judgement, WireCallback):
                try:
                    lane.take(judgement, value, offset, timestamp_ms)
                except FigureTooLarge:
                    self._set_aside(lane, offset, value, TOO_LARGE)
                else:
                    matched = True
                    if seen is not None and seen.add(id_digest(lane.request_id(judgement))) and self.count_reached():
                        return True
            elif isinstance(judgement, Unusable):
                self._set_aside(lane, offset, value, judgement)
            else:
                lane.pass_over(judgement, offset)
            if end is not None and offset + 1 >= end:
                self._reach(partition)
        return matched

    def _set_aside(self, lane: Lane, offset: int, value: bytes | None, why: Unusable) -> None:
        place: dict[str, int | str] = {"topic": self._source.topic, "partition": lane.number, "offset": offset}
        lane.set_aside(why.fate, offset, value or b"", QuarantineNote(why.reason, why.field, place, why.concerns))

    def _event(self, partition: int, offset: int, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if partition in self._ends and offset >= self._ends[partition]:
                # The last offsets were no messages: the ends of transactions, or compacted.
                self._reach(partition)
            if partition not in self._ends:
                # Likewise: what was read to its end is not to look as if something lay behind.
                self._lanes[partition].state.next = max(self._lanes[partition].state.next, offset)
                self._behind.discard(partition)
        elif error.code() in OUT_OF_RANGE:
            self._skip_what_is_gone(partition)
        else:
            self._source.judge_error(error)

    def _reach(self, partition: int) -> None:
        """A partition is at its end, or beyond it."""
        end = self._ends.get(partition)
        lane = self._lanes[partition]
        if end is None or partition not in self._open:
            return
        lane.state.next = max(lane.state.next, end)
        self._behind.discard(partition)
        self._open.discard(partition)
        self._source.unassign(partition)

    def _skip_what_is_gone(self, partition: int) -> None:
        """Retention was faster: go on where the partition now begins."""
        lane = self._lanes[partition]
        self._source.unassign(partition)
        self._open.discard(partition)
        self._behind.discard(partition)
        skip_what_is_gone(self._source, {partition: lane}, self._ends)
        self.add({partition: lane.state.next})

    def _done(self, number: int) -> bool:
        return number in self._ends and self._lanes[number].state.next >= self._ends[number]


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector, where it was on: a message makes no cycles, and its objects set it off anyway.

    For one step and no longer: a capture that follows a topic runs for days, in a process that does other things too.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def skip_what_is_gone(source: TopicSource, lanes: dict[int, Lane], ends: dict[int, int]) -> None:
    """Move lanes whose next offset no longer exists to where their partition now begins; they remember the gap.

    Raises CannotCapture when a partition is shorter than what was read of it: then it is another topic of that name.
    """
    for number, now in source.ranges(lanes).items():
        lane = lanes[number]
        if now.high < lane.state.next:
            raise CannotCapture(
                f"partition {number} of '{source.topic}' ends at offset {now.high}, but was read up to "
                f"{lane.state.next} before: the topic was deleted and made again. "
                "Publish what was taken with --finish, or delete the draft and capture anew."
            )
        low = min(now.low, ends.get(number, now.low))
        if low > lane.state.next:
            lane.skip_to(low)
