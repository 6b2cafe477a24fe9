"""A callback as fast code handles it: msgspec structs of exactly the fields that the CJ engine and the LPS write.

Here: the shapes of the fast lane, and what they hold after a slower one. Not here: which bytes become one (intake.py),
what is taken out of it before it is kept (redaction/). Elsewhere a callback is contracts.callback.CallbackEvent.

Rules of this file. Nothing is skipped: a key that no struct names is refused (`forbid_unknown_fields`), because msgspec
looks at skipped text less closely than pydantic does. A field is at most as wide as the model's; what is wider there
comes through a slower lane. UNSET is a key that was not there and None is JSON's null: to parity those are two shapes.
Ids and times are text: their form is checked (intake.py), and they are written again as they came.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_CHARS

# Beyond it a double is no longer exact; no count comes near.
_MOST = 2**53

Count = Annotated[int, Meta(ge=0, le=_MOST)]
Integer = Annotated[int, Meta(ge=-_MOST, le=_MOST)]

ProviderName = Literal["anthropic", "openai", "google", "openrouter", "mock"]
Hint = Literal["none", "low", "medium", "high"]


class Wire(Struct, forbid_unknown_fields=True, gc=False):
    """Base of the structs. gc=False: they hold no cycles, and a million of them would be walked again and again."""


class WireTokens(Wire):
    """`token_usage`."""

    prompt_tokens: Count | UnsetType = UNSET
    completion_tokens: Count | UnsetType = UNSET
    total_tokens: Count | UnsetType = UNSET


class WireUsage(WireTokens):
    """`request_metadata.usage`: the tokens again, with the provider's cache."""

    cache_read_input_tokens: Count | UnsetType = UNSET
    cache_creation_input_tokens: Count | UnsetType = UNSET


class WireMetadata(Wire):
    """`request_metadata`: what the engine asked for, echoed, and what the LPS adds.

    The order is the one in which they are written.
    """

    essay_a_id: str
    essay_b_id: str
    bos_batch_id: str | UnsetType = UNSET
    cj_batch_id: str | UnsetType = UNSET
    cj_source: str | UnsetType = UNSET
    cj_request_type: Literal["cj_comparison", "cj_retry"] | UnsetType = UNSET
    reasoning_effort: Hint | UnsetType = UNSET
    output_verbosity: Hint | UnsetType = UNSET
    cj_llm_batching_mode: Literal["per_request", "serial_bundle", "provider_batch_api"] | UnsetType = UNSET
    preferred_bundle_size: Integer | UnsetType = UNSET
    comparison_iteration: Integer | UnsetType = UNSET
    retry_iteration: Integer | UnsetType = UNSET
    resolved_provider: ProviderName | UnsetType = UNSET
    queue_processing_mode: Literal["per_request", "serial_bundle", "batch_api"] | UnsetType = UNSET
    resolved_model: str | UnsetType = UNSET
    prompt_sha256: str | UnsetType = UNSET
    usage: WireUsage | UnsetType = UNSET
    cache_read_input_tokens: Count | UnsetType = UNSET
    cache_creation_input_tokens: Count | UnsetType = UNSET
    streaming_simulated: bool | UnsetType = UNSET
    cost_known: bool | UnsetType = UNSET


class WireError(Wire):
    """`error_detail`."""

    error_code: str
    message: str
    correlation_id: str
    timestamp: str
    service: str
    operation: str
    details: dict[str, Any] | UnsetType = UNSET
    stack_trace: str | UnsetType | None = UNSET
    trace_id: str | UnsetType | None = UNSET
    span_id: str | UnsetType | None = UNSET


class WireResult(Wire, kw_only=True):
    """`data`."""

    request_id: Annotated[str, Meta(min_length=1)]
    correlation_id: str
    winner: Literal["Essay A", "Essay B"] | UnsetType | None = UNSET
    justification: Annotated[str, Meta(max_length=MAX_JUSTIFICATION_CHARS)] | UnsetType | None = UNSET
    confidence: Annotated[float, Meta(ge=1.0, le=5.0)] | UnsetType | None = UNSET
    error_detail: WireError | UnsetType | None = UNSET
    provider: ProviderName
    model: str
    response_time_ms: Count
    token_usage: WireTokens
    cost_estimate: Annotated[float, Meta(ge=0.0)]
    requested_at: str
    completed_at: str
    trace_id: str | UnsetType | None = UNSET
    request_metadata: WireMetadata

    @property
    def error_code(self) -> str | None:
        """Of a comparison that has no winner; None of one that has."""
        return self.error_detail.error_code if isinstance(self.error_detail, WireError) else None


class WireCallback(Wire, kw_only=True):
    """One `LLMComparisonResultV1` with its envelope, already held against every rule of the wire.

    `event_id`, the correlation ids and the times are in the canonical form: lower-case UUIDs with hyphens, RFC 3339.
    """

    event_id: str
    event_type: Literal["LLMComparisonResultV1"]
    event_timestamp: str
    source_service: str
    schema_version: Count | UnsetType = UNSET
    correlation_id: str
    data_schema_uri: str | UnsetType | None = UNSET
    data: WireResult
    metadata: UnsetType | None = UNSET

    @property
    def bos_batch_id(self) -> str | None:
        """The batch in the system that asked; None where the metadata names none, or names it by something else."""
        batch = self.data.request_metadata.bos_batch_id
        return batch if isinstance(batch, str) else None


class WideCallback(WireCallback, kw_only=True):
    """A callback that says more, or something else, than the structs have a place for.

    more_metadata: keys of `request_metadata` that no struct names, and values that do not fit the named ones. unknown:
    how many fields there were elsewhere that no model names; they are gone. envelope_metadata: whether the envelope's
    `metadata` was an object; what it said is gone, but counted in `unknown`.
    """

    more_metadata: dict[str, Any]
    unknown: int
    envelope_metadata: bool
