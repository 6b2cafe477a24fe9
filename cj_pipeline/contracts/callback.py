"""A verdict as it travels: `LLMComparisonResultV1`, its envelope, and reading one from bytes.

Here: the shape, its rules, and one parse function that never echoes essay text in its complaints.
Not here: files of callbacks (traces/), the bus that carries them (bus/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.contracts.finite import all_finite
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE

MAX_JUSTIFICATION_CHARS = 500


Data = TypeVar("Data", bound=WireModel)


class TokenUsage(WireModel):
    """Tokens billed for one comparison."""

    prompt_tokens: Annotated[int, Field(ge=0)] = 0
    completion_tokens: Annotated[int, Field(ge=0)] = 0
    total_tokens: Annotated[int, Field(ge=0)] = 0


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
    response_time_ms: Annotated[int, Field(ge=0)]
    token_usage: TokenUsage
    cost_estimate: Annotated[float, Field(ge=0.0)]
    requested_at: AwareDatetime
    completed_at: AwareDatetime
    trace_id: str | None = None
    request_metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        if (self.winner is None) == (self.error_detail is None):
            raise ValueError("exactly one of winner and error_detail must be set")
        if self.winner is not None and (self.justification is None or self.confidence is None):
            raise ValueError("a winner needs justification and confidence")
        return self

    @property
    def succeeded(self) -> bool:
        """Whether this callback names a winner."""
        return self.winner is not None

    def essay_ids(self) -> tuple[str, str]:
        """The essays shown as A and as B, from the echoed metadata.

        Raises KeyError when the metadata names neither; the CJ engine always sends both.
        """
        return str(self.request_metadata["essay_a_id"]), str(self.request_metadata["essay_b_id"])

    def winning_essay(self) -> str | None:
        """Id of the essay that won; None for an error."""
        if self.winner is None:
            return None
        return self.essay_ids()[0 if self.winner is Winner.A else 1]


class EventEnvelope(WireModel, Generic[Data]):
    """What every event on the bus is wrapped in."""

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

    @model_validator(mode="after")
    def _right_type(self) -> Self:
        if self.event_type != COMPARISON_RESULT_EVENT_TYPE:
            raise ValueError(f"event_type is not '{COMPARISON_RESULT_EVENT_TYPE}'")
        return self


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why some bytes are not a callback.

    field: dotted key, empty when the whole message is meant; reason: a sentence without any of the message's text.
    """

    field: str
    reason: str


def parse_callback(message: bytes) -> CallbackEvent | Rejection:
    """One callback from its JSON bytes, straight into the model (no intermediate dict)."""
    try:
        event = CallbackEvent.model_validate_json(message)
    except ValidationError as error:
        # The input is left out of the complaint: justifications quote essays.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        return Rejection(field=".".join(str(part) for part in first["loc"]), reason=first["msg"])
    if not all_finite(event):
        return Rejection(field="", reason="NaN, Infinity and numbers beyond a double are not JSON")
    return event


def callback_json(event: CallbackEvent) -> bytes:
    """Write an event as one line of JSON, with exactly the fields that it came with (unknown ones too)."""
    return event.model_dump_json(exclude_unset=True).encode()
