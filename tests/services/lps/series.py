"""The series on /metrics as they must be: production's table, and what is ours alone.

Here: names, types, labels, buckets. Not here: assertions.
"""

from __future__ import annotations

ITEMS = [1, 2, 4, 8, 16, 32, 64]
POWERS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]

# Production's: name without prefix -> (type, labels, buckets).
PRODUCTION = {
    "requests": ("counter", "provider model request_type status", None),
    "errors": ("counter", "provider model error_type", None),
    "api_errors": ("counter", "provider error_type http_status_code", None),
    "http_requests": ("counter", "method endpoint status_code", None),
    # Its buckets there are not known; these are the client library's, as in production's CJ service.
    "http_request_duration_seconds": (
        *("histogram", "method endpoint"),
        [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
    ),
    "availability_percentage": ("gauge", "provider", None),
    "queue_depth": ("gauge", "queue_type", None),
    "queue_wait_time_seconds": (
        *("histogram", "queue_processing_mode result"),
        [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
    ),
    "queue_processing_time_seconds": ("histogram", "provider status", [0.1, 0.5, 1, 2, 5, 10, 30, 60]),
    "comparison_callbacks": ("counter", "queue_processing_mode result", None),
    "queue_expiry": ("counter", "provider queue_processing_mode expiry_reason", None),
    "queue_expiry_age_seconds": (
        *("histogram", "provider queue_processing_mode"),
        [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600],
    ),
    "serial_bundle_calls": ("counter", "provider model", None),
    "serial_bundle_items_per_call": ("histogram", "provider model", ITEMS),
    "batch_api_jobs": ("counter", "provider model status", None),
    "batch_api_items_per_job": ("histogram", "provider model", [*ITEMS, 128]),
    "batch_api_job_duration_seconds": ("histogram", "provider model", [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]),
    "prompt_blocks": ("counter", "provider model target cacheable ttl", None),
    "prompt_tokens_histogram": ("histogram", "provider model section", POWERS),
    "cache_scope": ("counter", "provider model scope result", None),
    "prompt_cache_events": ("counter", "provider model result", None),
    "prompt_cache_tokens": ("counter", "provider model direction", None),
    "prompt_ttl_violations": ("counter", "provider model stage", None),
    "validation_duration_seconds": (
        *("histogram", "provider validation_type"),
        [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
    ),
    "circuit_breaker_state": ("gauge", "service circuit_name", None),
    "circuit_breaker_state_changes": ("counter", "service circuit_name from_state to_state", None),
    "circuit_breaker_calls": ("counter", "service circuit_name result", None),
    "connection_pool_size": ("gauge", "provider", None),
    "connection_pool_active": ("gauge", "provider", None),
    # Declared there and never written; written here.
    "tokens_used": ("counter", "provider model token_type", None),
    "cost_dollars": ("counter", "provider model", None),
}

# Ours alone: what production cannot tell.
OURS = {
    "callback_publish_failures": ("counter", "", None),
    "usage_events_dropped": ("counter", "", None),
    "queue_retries": ("counter", "provider error_code", None),
    "queue_reclaimed": ("counter", "provider queue_processing_mode", None),
    "failure_reasons": ("counter", "provider error_code reason", None),
    "verdict_retries": ("counter", "provider reason", None),
    "verdict_forgiven": ("counter", "provider model forgiven", None),
    "queue_held": ("counter", "provider", None),
}

SERIES = PRODUCTION | OURS
