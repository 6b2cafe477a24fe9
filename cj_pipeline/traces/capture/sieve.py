"""Is a message one that was asked for?

Here: the decision about a single message, from its bytes and its timestamp. Not here: what then becomes of it
(lane.py).

The order of the questions is the meaning of the counts. Is it an event at all? Of our type? Of the batch? Only what
belongs to the batch is held against every rule of the wire: a mistake in somebody else's batch is not this capture's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE
from cj_pipeline.traces.capture.lane import Fate
from cj_pipeline.traces.intake import Foreign, read_message
from cj_pipeline.traces.wire_callback import WireCallback

if TYPE_CHECKING:
    from cj_pipeline.traces.capture.request import Selection

NO_VALUE = Rejection(field="", reason="the record has no value")


class _PeekMetadata(msgspec.Struct, gc=False):
    bos_batch_id: str


class _PeekData(msgspec.Struct, gc=False):
    request_metadata: _PeekMetadata


class _Peek(msgspec.Struct, gc=False):
    """As much of a callback as tells whose it is; everything else is skipped, at a third of the price of reading it."""

    event_type: str
    data: _PeekData


# So many matches in a row make a topic of one batch: looking for its name in the next message too would cost 0.6 us, a
# quarter of reading it. The first message of another batch ends it.
_RUN = 8

_peek = msgspec.json.Decoder(_Peek).decode


@dataclass(frozen=True, slots=True)
class Unusable:
    """A message that is no callback, or no usable one. concerns: whether it names what was asked for."""

    fate: Fate
    field: str
    reason: str
    concerns: bool


Judgement = WireCallback | Fate | Unusable


TOO_LARGE = Unusable(Fate.MALFORMED, "data", "a count of milliseconds or tokens beyond 63 bits", concerns=True)
"""Of a callback that Lane.take refuses with FigureTooLarge."""


class Sieve:
    """The questions for one selection."""

    def __init__(self, selection: Selection) -> None:
        self._batch = selection.bos_batch_id
        self._batch_bytes = (selection.bos_batch_id or "").encode("utf-8", "surrogatepass")
        self._correlations = frozenset(str(correlation) for correlation in selection.correlation_ids)
        self._model = selection.model
        self._since = -1 if selection.since_ms is None else selection.since_ms
        self._until = (1 << 62) if selection.until_ms is None else selection.until_ms
        self._matches_in_a_row = 0

    def judge(self, value: bytes | None, timestamp_ms: int) -> Judgement:
        """A callback to be kept, or what else the message is. timestamp_ms: of the record; -1 when it has none."""
        if not self._since <= timestamp_ms < self._until:
            return Fate.OTHER_TIME
        if value is None:
            return Unusable(Fate.MALFORMED, NO_VALUE.field, NO_VALUE.reason, concerns=False)
        batch = self._batch
        if batch is not None and self._matches_in_a_row < _RUN and self._batch_bytes not in value:
            # It can still be ours: JSON has more than one way to write a string. The peek reads them all.
            try:
                peek = _peek(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
            else:
                if peek.event_type == COMPARISON_RESULT_EVENT_TYPE and peek.data.request_metadata.bos_batch_id != batch:
                    return Fate.OTHER_BATCH
        callback = read_message(value)
        if not isinstance(callback, WireCallback):
            return self._unusable(callback, value)
        if batch is not None:
            if callback.data.request_metadata.bos_batch_id != batch:
                self._matches_in_a_row = 0
                return Fate.OTHER_BATCH
            self._matches_in_a_row += 1
        if self._correlations and callback.data.correlation_id not in self._correlations:
            return Fate.OTHER_CORRELATION
        if self._model is not None and callback.data.model != self._model:
            return Fate.OTHER_MODEL
        return callback

    def _unusable(self, reading: Foreign | Rejection, value: bytes) -> Fate | Unusable:
        if isinstance(reading, Foreign):
            return Unusable(Fate.FOREIGN, "event_type", f"another event type: {reading.event_type}", concerns=False)
        batch: str | None = None
        try:
            batch = _peek(value).data.request_metadata.bos_batch_id
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # No telling whose it is. What has the batch's name in it is taken for the batch's.
            concerns = self._batch is None or self._batch_bytes in value
        else:
            if self._batch not in (None, batch):
                return Fate.OTHER_BATCH
            concerns = True
        return Unusable(Fate.MALFORMED, reading.field, reading.reason, concerns)
