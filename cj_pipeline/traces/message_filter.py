"""This module decides whether a message is one that was asked for, from its bytes and its timestamp.

The order of the questions is the meaning of the counts. Is it an event at all? Of our type? Of the batch? Only what
belongs to the batch is held against every rule of the wire: a mistake in another batch is not this capture's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.contracts.topics import (
    COMPARISON_RESULT_EVENT_TYPE,
    USAGE_COMPLETED_EVENT_TYPE,
    USAGE_FAILURE_EVENT_TYPE,
    USAGE_STARTED_EVENT_TYPE,
)

# What the service publishes beside its callbacks: nothing is lost with it, and there are two to each callback.
_USAGE_TYPES = frozenset({USAGE_STARTED_EVENT_TYPE, USAGE_COMPLETED_EVENT_TYPE, USAGE_FAILURE_EVENT_TYPE})

# Named to people, and therefore none that only a message names: it could hold anything.
_EVENT_TYPES = frozenset(
    {
        "ELS_CJAssessmentRequestV1",
        "CJAssessmentCompletedV1",
        "CJAssessmentFailedV1",
        "AssessmentResultV1",
        "ResourceConsumptionV1",
    }
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which callbacks are meant; all conditions hold together.

    bos_batch_id: None for any batch. correlation_ids: empty for any. since, until: of the record's timestamp, aware;
    since is included, until is not.
    """

    bos_batch_id: str | None = None
    event_type: str = COMPARISON_RESULT_EVENT_TYPE
    correlation_ids: tuple[UUID, ...] = ()
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def since_ms(self) -> int | None:
        """Return milliseconds since 1970, as Kafka stamps records."""
        return None if self.since is None else int(self.since.timestamp() * 1000)

    @property
    def until_ms(self) -> int | None:
        """Return milliseconds since 1970, as Kafka stamps records."""
        return None if self.until is None else int(self.until.timestamp() * 1000)


class MessageOutcome(StrEnum):
    """What becomes of a message, besides being taken."""

    OTHER_BATCH = "other_batch"
    OTHER_CORRELATION = "other_correlation"
    OTHER_MODEL = "other_model"
    OTHER_TIME = "other_time"
    FOREIGN = "foreign"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A message that is no callback, or no usable one. concerns: whether it names what was asked for."""

    outcome: MessageOutcome
    field: str
    reason: str
    concerns: bool


Judgement = CallbackEvent | MessageOutcome | Unusable

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _PeekMetadata(msgspec.Struct, gc=False):
    bos_batch_id: str


class _PeekData(msgspec.Struct, gc=False):
    request_metadata: _PeekMetadata


class _Peek(msgspec.Struct, gc=False):
    """As much of a callback as tells whose it is; everything else is skipped, at a tenth of the price of reading it."""

    event_type: str
    data: _PeekData


class _PeekType(msgspec.Struct, gc=False):
    event_type: str


_peek = msgspec.json.Decoder(_Peek).decode
_peek_type = msgspec.json.Decoder(_PeekType).decode


class MessageFilter:
    """The questions for one selection."""

    def __init__(self, selection: Selection) -> None:
        self._batch = selection.bos_batch_id
        self._batch_bytes = (selection.bos_batch_id or "").encode("utf-8", "surrogatepass")
        self._correlations = frozenset(selection.correlation_ids)
        self._model = selection.model
        self._since = -1 if selection.since_ms is None else selection.since_ms
        self._until = (1 << 62) if selection.until_ms is None else selection.until_ms

    def judge(self, value: bytes | None, timestamp_ms: int) -> Judgement:
        """Return a callback to be kept, or what else the message is. timestamp_ms: of the record; -1 when it has none.

        A reason quotes nothing of the message.
        """
        if not self._since <= timestamp_ms < self._until:
            return MessageOutcome.OTHER_TIME
        if value is None:
            return Unusable(MessageOutcome.MALFORMED, "", "the record has no value", concerns=False)
        # JSON has more than one way to write a string. The peek reads them all.
        if self._batch is not None and self._batch_bytes not in value and self._is_another_batch_s(value):
            return MessageOutcome.OTHER_BATCH
        event = parse_callback(value)
        if isinstance(event, Rejection):
            return self._unusable(event, value)
        metadata = event.data.request_metadata
        if (rejection := essay_rejection(metadata)) is not None:
            return self._unusable(rejection, value)
        if self._batch is not None and metadata.get("bos_batch_id") != self._batch:
            return MessageOutcome.OTHER_BATCH
        if self._correlations and event.data.correlation_id not in self._correlations:
            return MessageOutcome.OTHER_CORRELATION
        if self._model is not None and event.data.model != self._model:
            return MessageOutcome.OTHER_MODEL
        return event

    def _is_another_batch_s(self, value: bytes) -> bool:
        try:
            peek = _peek(value)
        except _UNREADABLE:
            return False
        ours = peek.event_type == COMPARISON_RESULT_EVENT_TYPE
        return ours and peek.data.request_metadata.bos_batch_id != self._batch

    def _unusable(self, rejection: Rejection, value: bytes) -> MessageOutcome | Unusable:
        event_type = _type_of(value)
        if event_type in _USAGE_TYPES:
            return MessageOutcome.FOREIGN
        if event_type not in (None, COMPARISON_RESULT_EVENT_TYPE):
            named = event_type if event_type in _EVENT_TYPES else "another"
            return Unusable(MessageOutcome.FOREIGN, "event_type", f"another event type: {named}", concerns=False)
        try:
            batch = _peek(value).data.request_metadata.bos_batch_id
        except _UNREADABLE:
            # No telling whose it is. What has the batch's name in it is taken for the batch's.
            concerns = self._batch is None or self._batch_bytes in value
        else:
            if self._batch not in (None, batch):
                return MessageOutcome.OTHER_BATCH
            concerns = True
        return Unusable(MessageOutcome.MALFORMED, rejection.field, rejection.reason, concerns)


def _type_of(value: bytes) -> str | None:
    try:
        return _peek_type(value).event_type
    except _UNREADABLE:
        return None
