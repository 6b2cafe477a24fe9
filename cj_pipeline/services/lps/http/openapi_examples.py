"""Examples of the OpenAPI document: bodies as the service takes and gives them.

Here: the bodies, by name. Not here: where they stand in the document (openapi.py). A test holds each against the schema
beside which it stands.
"""

from __future__ import annotations

from typing import Any

_QUEUE_ID = "0da79c13-b494-8759-891a-adeb38cb4beb"
_CORRELATION_ID = "7b0c8c6e-2f53-4a3c-9d0e-5a1f0b7c2d11"
_TOPIC = "huleedu.llm_provider.comparison_result.v1"


def _nested(code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "error": {
            "code": code,
            "message": message,
            "correlation_id": _CORRELATION_ID,
            "service": "llm_provider_service",
            "timestamp": "2025-12-01T14:24:16Z",
            "details": details,
        }
    }


EXAMPLES: dict[str, dict[str, Any]] = {
    "Comparison": {
        "user_prompt": "Essay A:\n...\n\nEssay B:\n...\n\nWhich of the two is better?",
        "callback_topic": _TOPIC,
        "correlation_id": _CORRELATION_ID,
        "metadata": {"essay_a_id": "essay-1", "essay_b_id": "essay-2", "cj_batch_id": "17"},
        "llm_config_overrides": {"provider_override": "mock", "temperature_override": 0.2},
    },
    "QueuedResponse": {
        "queue_id": _QUEUE_ID,
        "status": "queued",
        "message": f"Request queued. The result will be published to {_TOPIC}.",
        "estimated_wait_minutes": None,
    },
    "RequestStatus": {
        "queue_id": _QUEUE_ID,
        "correlation_id": _CORRELATION_ID,
        "status": "queued",
        "attempts": 0,
        "callback_published": False,
        "result_location": None,
    },
    "MockModeState": {"use_mock_llm": True, "mock_mode": "cj_generic_batch", "default_provider": "mock"},
    "ProviderTrial": {"success": True, "provider": "mock", "message": "mock-model-v1 answered in 0 ms."},
    "Malformed": {"error": "Malformed JSON", "details": "The body is not valid JSON."},
    "UnknownModel": _nested(
        "LLM_INVALID_CONFIG",
        "'gpt-5.2' is not a model of openai. Did you mean 'gpt-5.1'? Known: gpt-5.1.",
        {"fields": {"model_override": "'gpt-5.2' is not a model of openai. Did you mean 'gpt-5.1'? Known: gpt-5.1."}},
    ),
    "InUse": {
        "error": "Correlation id already in use",
        "details": "Another request was posted under this correlation_id; give each its own.",
        "correlation_id": _CORRELATION_ID,
    },
    "TooLarge": {"error": "Request too large", "details": "A request may have 1048576 bytes."},
    "QueueFull": _nested(
        "LLM_QUEUE_FULL",
        "The queue is full (800 of 1000 requests; the limit is its size). Try again later.",
        {"queue_size": 800, "queue_max_size": 1000, "limit": "size", "retry_after_seconds": 300},
    ),
    "NotRunning": {"error": "Service is not running", "correlation_id": _CORRELATION_ID},
    "StoreAway": _nested(
        "SERVICE_UNAVAILABLE",
        "The queue's store cannot be reached. Try again later.",
        {"retry_after_seconds": 5},
    ),
    "BadQueueId": {"error": "queue_id is not a UUID"},
    "UnknownQueueId": {
        "error": "Unknown queue_id",
        "details": "No such request was accepted, or it was answered too long ago.",
    },
    "Gone": {
        "error": "Result no longer kept",
        "details": "It was published as a callback; its status is completed.",
    },
    "UnknownListing": {
        "error": "Unknown provider",
        "valid_providers": ["anthropic", "openai", "google", "openrouter"],
    },
    "NotRegistered": {"error": "Provider is not registered", "details": "Set its API key, or USE_MOCK_LLM."},
    "TrialFailed": {"error": "Provider test failed", "details": "openai did not answer within 30 s."},
    "KeyRequired": {
        "error": "Admin key required",
        "details": "Send it as X-Admin-Api-Key or as a bearer token.",
    },
    "AdminDisabled": {"error": "admin_api_disabled"},
    "Broke": {"error": "Internal server error"},
}
