"""This module defines a callback: `LLMComparisonResultV1`, its envelope, and how one is read from bytes and written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, Self, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.contracts.finite import all_finite
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.contracts.structs import fast_decoder
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, LPS_SOURCE_SERVICE
from cj_pipeline.foundation.json_lines import BYTE_ORDER_MARK
from cj_pipeline.foundation.seeding import keyed_uuid

# What judges are asked for, in prompts and schemas alike; 500 characters hold it, and longer ones are cut.
MAX_JUSTIFICATION_WORDS = 50
MAX_JUSTIFICATION_CHARS = 500

# Above it a double is no longer exact; no real count comes near.
LARGEST_COUNT = 2**53

Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]

Data = TypeVar("Data", bound=WireModel)
Place: TypeAlias = tuple[int | str, ...]
"""The keys that lead to a value in an event."""


class TokenUsage(WireModel):
    """Tokens billed for one comparison."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0


class LLMComparisonResultV1(WireModel):
    """One callback's data. Exactly one of `winner` and `error_detail`; a winner comes with its reasons."""

    request_id: Annotated[str, Field(min_length=1)]
    correlation_id: UUID
    winner: Winner | None = None
    justification: Annotated[str, Field(max_length=MAX_JUSTIFICATION_CHARS)] | None = None
    confidence: Annotated[float, Field(ge=1.0, le=5.0)] | None = None
    error_detail: ErrorDetail | None = None
    provider: Provider
    model: str
    response_time_ms: Count
    token_usage: TokenUsage
    cost_estimate: Annotated[float, Field(ge=0.0)]
    requested_at: AwareDatetime
    completed_at: AwareDatetime
    trace_id: str | None = None
    request_metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        if (broken := broken_rule(self)) is not None:
            raise ValueError(broken)
        return self

    @property
    def succeeded(self) -> bool:
        """Whether this callback names a winner."""
        return self.winner is not None

    def essay_ids(self) -> tuple[str, str]:
        """Return the essays shown as A and as B, from the echoed metadata.

        Raises KeyError when the metadata names neither; the CJ engine always sends both.
        """
        return str(self.request_metadata["essay_a_id"]), str(self.request_metadata["essay_b_id"])

    def winning_essay(self) -> str | None:
        """Return the id of the essay that won; None for an error."""
        if self.winner is None:
            return None
        return self.essay_ids()[0 if self.winner is Winner.A else 1]


def broken_rule(data: LLMComparisonResultV1) -> str | None:
    """Return which rule about several fields of a callback is broken; None for none."""
    if (data.winner is None) == (data.error_detail is None):
        return "exactly one of winner and error_detail must be set"
    if data.winner is not None and (data.justification is None or data.confidence is None):
        return "a winner needs justification and confidence"
    return None


class EventEnvelope(WireModel, Generic[Data]):
    """The envelope around every event on the bus."""

    event_id: UUID
    event_type: str
    event_timestamp: AwareDatetime
    source_service: str
    schema_version: int = 1
    correlation_id: UUID
    data_schema_uri: str | None = None
    data: Data
    metadata: dict[str, Any] | None = None


class CallbackEvent(EventEnvelope[LLMComparisonResultV1]):
    """An envelope around a verdict."""

    bare: ClassVar[bool] = False
    """Whether the verdict came without an envelope; everything around `data` is then derived from it."""

    @property
    def mistyped(self) -> Mapping[Place, object]:
        """JSON values, by path, that came in another type than the contract's and were converted."""
        verdict, found = self.__dict__.get(_MISTYPED, (None, _NO_OTHERS))
        return found if verdict is self.data else _NO_OTHERS  # a copy with another verdict has types of its own

    @model_validator(mode="after")
    def _right_type(self) -> Self:
        if (broken := _broken_envelope(self)) is not None:
            raise ValueError(broken)
        return self


class BareCallbackEvent(CallbackEvent):
    """A verdict that came without an envelope, as production's own capture writes it."""

    bare: ClassVar[bool] = True


def _broken_envelope(event: CallbackEvent) -> str | None:
    right = event.event_type == COMPARISON_RESULT_EVENT_TYPE
    return None if right else f"event_type is not '{COMPARISON_RESULT_EVENT_TYPE}'"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why some bytes are not a callback.

    field: dotted key, empty when the whole message is meant; reason: a sentence without any of the message's text.
    """

    field: str
    reason: str


def parse_callback(message: bytes) -> CallbackEvent | Rejection:
    """Read one callback from its JSON bytes: an enveloped event, or a bare verdict, which then gets an envelope."""
    message = message.removeprefix(BYTE_ORDER_MARK)
    if _has_two_winners(message):
        return _TWO_WINNERS
    bare = is_bare(message)
    mistyped: dict[Place, object] = {}
    try:
        event = _model_of(message, bare, strict=True)
    except ValidationError as strict:
        try:
            event = _model_of(message, bare, strict=False)
        except ValidationError as error:
            return _rejection(error)
        above = ("data",) if bare else ()
        mistyped = {(*above, *error["loc"]): error["input"] for error in strict.errors(include_url=False)}
    if mistyped:  # beside the fields, as a cached property would be: not written, and no memory in all others
        event.__dict__[_MISTYPED] = (event.data, mistyped)
    if not all_finite(event):
        return Rejection(field="", reason="NaN, Infinity and numbers beyond a double are not JSON")
    for model in (event, event.data, event.data.token_usage):
        # Events share the sets of fields that they came with, and the lack of others: of their own, these take two
        # fifths of an event's memory. A copy of an event gets copies of them.
        object.__setattr__(model, "__pydantic_fields_set__", _shared(frozenset(model.model_fields_set)))
        if not model.model_extra:
            object.__setattr__(model, "__pydantic_extra__", _NO_OTHERS)
    return event


def _model_of(message: bytes, bare: bool, *, strict: bool) -> CallbackEvent:
    """Read a model. strict: without conversions, such as "5" for 5. Raises ValidationError."""
    if bare:
        return in_envelope(LLMComparisonResultV1.model_validate_json(message, strict=strict))
    return CallbackEvent.model_validate_json(message, strict=strict)


_NO_OTHERS: dict[Any, Any] = {}
_MISTYPED = "mistyped"


@lru_cache(maxsize=256)
def _shared(fields: frozenset[str]) -> set[str]:
    return set(fields)


def parse_result(message: bytes) -> LLMComparisonResultV1 | Rejection:
    """Read the verdict alone, four times as fast: it has the attributes of the model, but not its methods.

    What is taken and what is refused is the same as with `parse_callback`.
    """
    if _has_two_winners(message):
        return _TWO_WINNERS
    event = _decode_event(message)
    found: LLMComparisonResultV1 | None = _decode_bare(message) if event is None else event.data
    if found is not None:
        return found
    parsed = parse_callback(message)
    return parsed if isinstance(parsed, Rejection) else parsed.data


def in_envelope(data: LLMComparisonResultV1) -> BareCallbackEvent:
    """Put a bare verdict into an envelope that follows from the verdict alone."""
    completed_at = data.completed_at
    return BareCallbackEvent(
        event_id=keyed_uuid("bare callback", str(data.correlation_id), completed_at.isoformat()),
        event_type=COMPARISON_RESULT_EVENT_TYPE,
        event_timestamp=completed_at,
        source_service=LPS_SOURCE_SERVICE,
        correlation_id=data.correlation_id,
        data=data,
    )


def callback_json(event: CallbackEvent) -> bytes:
    """Write an event as one line of JSON, with exactly the fields and types that it came with (unknown ones too).

    A bare verdict is written bare.
    """
    line = (event.data if event.bare else event).model_dump_json(exclude_unset=True)
    if event.mistyped:
        document = json.loads(line)
        for (*above, name), value in event.mistyped.items():
            holder = document
            for key in above[1:] if event.bare else above:
                holder = holder[key]
            holder[name] = value
        line = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return line.encode()


_TWO_WINNERS = Rejection(field="data.winner", reason="the key winner is there twice, with different values")


def _has_two_winners(message: bytes) -> bool:
    """Return whether an object has the key `winner` twice and its values differ: which of them counts, nobody knows.

    In a string the quotes are escaped, so almost every message is done with by counting.
    """
    if message.count(b'"winner"') < 2:
        return False
    found = False

    def pairs(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        winners = [value for key, value in entries if key == "winner"]
        found = found or any(value != winners[0] for value in winners)
        return dict(entries)

    try:
        json.loads(message, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return False  # what is wrong with it is for the model to say
    return found


_decode_event = fast_decoder(CallbackEvent, lambda event: _broken_envelope(event) or broken_rule(event.data))
_decode_bare = fast_decoder(LLMComparisonResultV1, broken_rule)

# pydantic names the character that is out of place in a UUID.
_QUOTED = re.compile(r": found .*", re.DOTALL)


class _Keys(msgspec.Struct):
    """The keys that tell an event from a bare verdict."""

    event_type: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    request_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_keys = msgspec.json.Decoder(_Keys).decode


def is_bare(message: bytes) -> bool:
    """Return whether a JSON object is a verdict without an envelope, by its keys alone."""
    try:
        keys = _decode_keys(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Not JSON: what is wrong with it is for the model to say, and a rough look is enough to choose the model.
        return b'"event_type"' not in message and b'"request_id"' in message
    return keys.event_type is keys.data is msgspec.UNSET and keys.request_id is not msgspec.UNSET


def _rejection(error: ValidationError) -> Rejection:
    # The input is left out of the complaint: justifications quote essays.
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return Rejection(field=".".join(str(part) for part in first["loc"]), reason=_QUOTED.sub("", first["msg"]))
