"""This module lists the words that may stay, so that a name in the wrong field does not pass.

A field is not safe because its name is: `model`, `cj_source` and an error's details take any text on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from cj_pipeline.contracts.cj_events import CJ_SOURCE_SERVICE
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import (
    ASKS,
    BILLED,
    CONFIDENCE_KNOWN,
    COST_KNOWN,
    PRICE,
    REASON,
    TOKENS_KNOWN,
    TOOK,
    Reason,
)
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.traces.redaction.wire import TOKEN_KEYS, is_count

SERVICES = frozenset({LPS_SOURCE_SERVICE, CJ_SOURCE_SERVICE})
SOURCES = frozenset({"els", "bos"})
OPERATIONS = frozenset({"process_comparison"})
# The last one is an import's, of a failure whose code its source does not hold.
ERROR_CODES = frozenset(code.value for code in ErrorCode) | {"NOT_RECORDED"}

# A model is a family, then numbers and words that model names are made of: `gpt-5-mini-2025-08-07`, `mock-model-v1`.
_VENDORS = "anthropic|openai|google|mistralai|meta-llama|deepseek|qwen|x-ai|cohere|amazon|microsoft"
_FAMILIES = (
    "gpt|chatgpt|o[134]|claude|gemini|gemma|llama|mistral|mixtral|deepseek|qwen|grok|command|nova|phi|smollm|granite"
    "|olmo|falcon|glm|kimi|nemotron|mock|unknown"
)
_WORDS = (
    "mini|nano|micro|small|medium|large|lite|light|pro|plus|max|ultra|turbo|flash|fast|haiku|sonnet|opus|instant"
    "|instruct|chat|preview|latest|exp|experimental|beta|thinking|reasoner|reasoning|coder|codex|audio|vision|search"
    "|free|model|r"
)
# Possessive: `1.1.1...` is one number or many, and trying both doubles the time with every dot.
_NUMBER = r"[vko]?\d{1,8}(?:\.\d{1,3})*+[bkmo]?(?![a-z0-9])"
_MODEL = re.compile(rf"(?:(?:{_VENDORS})/)?(?:{_FAMILIES})(?:[-_.:]?(?:(?:{_WORDS})(?![a-z])|{_NUMBER}))*+")

# A row's number in the CJ database; as text, as the engine sends it. Nine digits: ten would be a pupil's in Sweden.
_ROW = re.compile(r"\d{1,9}")

_GRADE = re.compile(r"[A-FU][+-]?|\d{1,3}")

_PROVIDER_WORDS = (
    *("rate_limit_error", "rate_limit_exceeded", "overloaded_error", "insufficient_quota", "invalid_request_error"),
    *("server_error", "api_error", "authentication_error", "permission_error", "not_found_error", "timeout_error"),
    *("request_too_large", "context_length_exceeded", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "INVALID_ARGUMENT"),
    *("INTERNAL", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "UNAUTHENTICATED", "NOT_FOUND"),
)

_WORD_DETAILS: dict[str, Collection[str]] = {
    REASON: frozenset(reason.value for reason in Reason),
    "expiry_reason": ("ttl", "processing_timeout"),
    "circuit_breaker_state": ("open", "half_open"),
    "error_type": (
        *("rate_limit", "overloaded", "authentication", "timeout", "server_error", "client_error", "unknown"),
        *("connection_error", "unexpected", "invalid_response", "expired", "circuit_open"),
    ),
    "exception": (
        *("TimeoutError", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "ConnectError", "ReadError"),
        *("WriteError", "CloseError", "NetworkError", "ProxyError", "LocalProtocolError", "RemoteProtocolError"),
        *("UnsupportedProtocol", "DecodingError", "TooManyRedirects", "TransportError"),
    ),
    "provider": tuple(provider.value for provider in Provider),
    "provider_error_type": _PROVIDER_WORDS,
    "provider_error_code": _PROVIDER_WORDS,
    "recorded_error_code": ERROR_CODES,
    "stop_reason": ("max_tokens", "length", "MAX_TOKENS", "stop", "end_turn", "STOP", "SAFETY", "refusal"),
}
_NUMBER_DETAILS = (
    *("status_code", "http_status", "provider_error_code", "retryable", "retry_after", "retry_after_s", "timeout_ms"),
    *("max_tokens", "attempts", "retry_count", "queue_size", "max_queue_size"),
    *(TOOK, PRICE, COST_KNOWN, ASKS, "age_seconds"),
)

# Keys of `request_metadata` whose values are figures on the wire; a row's number has been seen as one too.
FIGURES = frozenset(
    {
        *("cj_batch_id", "preferred_bundle_size", "comparison_iteration", "retry_iteration"),
        *("cache_read_input_tokens", "cache_creation_input_tokens", "streaming_simulated", "cost_known"),
        *(CONFIDENCE_KNOWN, TOKENS_KNOWN, ASKS),
    }
)


def is_model(name: str) -> bool:
    """Return whether a text is made like the name of a model, with no word in it that is not a model's."""
    return _MODEL.fullmatch(name) is not None


def is_row_number(text: str) -> bool:
    """Return whether a text is the number of a row."""
    return _ROW.fullmatch(text) is not None


def is_figure(value: object) -> bool:
    """Return whether a value under a key of the wire is null, a switch or a number of a size that such keys have."""
    return value is None or (isinstance(value, int | float) and abs(value) < 10**9)


def is_grade(text: str) -> bool:
    """Return whether a text is a grade of a letter or a numeric scale."""
    return _GRADE.fullmatch(text) is not None


def may_stay(key: str, value: object) -> bool:
    """Return whether an entry of an error's `details` tells of the failure and of nothing else."""
    if key == BILLED:
        return isinstance(value, dict) and value.keys() <= TOKEN_KEYS and all(map(is_count, value.values()))
    if isinstance(value, str):
        return value in _WORD_DETAILS.get(key, ()) or (key == "model" and is_model(value))
    return key in _NUMBER_DETAILS and is_figure(value)
