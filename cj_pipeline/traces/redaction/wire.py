"""This module lists the keys of the wire and the types of their values, as a redaction keeps them."""

from __future__ import annotations

from collections.abc import Callable

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.enums import (
    CJRequestType,
    LLMBatchingMode,
    OutputVerbosity,
    Provider,
    QueueProcessingMode,
    ReasoningEffort,
)
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.contracts.forgiven import Forgiven
from cj_pipeline.contracts.reasons import ASKS, CONFIDENCE_KNOWN, FORGIVEN, TOKENS_KNOWN

# Beyond it a double is no longer exact; no count comes near.
_MOST = 2**53


def is_integer(value: object) -> bool:
    """Return whether a value is a whole number that a double holds."""
    return type(value) is int and abs(value) <= _MOST


def is_count(value: object) -> bool:
    """Return whether a value is a whole number of something."""
    return type(value) is int and 0 <= value <= _MOST


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_switch(value: object) -> bool:
    return type(value) is bool


def _one_of(*words: str) -> Callable[[object], bool]:
    known = frozenset(words)
    return lambda value: type(value) is str and value in known


_MARKS = tuple(mark.value for mark in Forgiven)

ENVELOPE_KEYS = frozenset(CallbackEvent.model_fields)
RESULT_KEYS = frozenset(LLMComparisonResultV1.model_fields)
ERROR_KEYS = frozenset(ErrorDetail.model_fields)
TOKEN_KEYS = frozenset(TokenUsage.model_fields)
USAGE_KEYS = TOKEN_KEYS | {"cache_read_input_tokens", "cache_creation_input_tokens"}

# What the engine asks for and the LPS adds. A value of another type is not kept as it is.
METADATA_TYPES: dict[str, Callable[[object], bool]] = {
    "essay_a_id": _is_text,
    "essay_b_id": _is_text,
    "bos_batch_id": _is_text,
    "cj_batch_id": _is_text,
    "cj_source": _is_text,
    "cj_request_type": _one_of(*CJRequestType),
    "reasoning_effort": _one_of(*ReasoningEffort),
    "output_verbosity": _one_of(*OutputVerbosity, *ReasoningEffort),
    "cj_llm_batching_mode": _one_of(*LLMBatchingMode),
    "preferred_bundle_size": is_integer,
    "comparison_iteration": is_integer,
    "retry_iteration": is_integer,
    "resolved_provider": _one_of(*Provider),
    "queue_processing_mode": _one_of(*QueueProcessingMode),
    "resolved_model": _is_text,
    "prompt_sha256": _is_text,
    "usage": lambda value: isinstance(value, dict) and all(is_count(value[key]) for key in USAGE_KEYS & value.keys()),
    "cache_read_input_tokens": is_count,
    "cache_creation_input_tokens": is_count,
    "streaming_simulated": _is_switch,
    "cost_known": _is_switch,
    CONFIDENCE_KNOWN: _is_switch,
    TOKENS_KNOWN: _is_switch,
    ASKS: is_count,
    FORGIVEN: lambda value: isinstance(value, list) and all(mark in _MARKS for mark in value),
}

ALL_KEYS = ENVELOPE_KEYS | RESULT_KEYS | ERROR_KEYS | USAGE_KEYS | METADATA_TYPES.keys()
