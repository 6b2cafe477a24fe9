"""Names on the bus: topics, event types, source services."""

from __future__ import annotations

COMPARISON_RESULT_TOPIC = "huleedu.llm_provider.comparison_result.v1"

# The type in the envelope is the class name, not the topic's; consumers filter on it.
COMPARISON_RESULT_EVENT_TYPE = "LLMComparisonResultV1"

LPS_SOURCE_SERVICE = "llm_provider_service"

USAGE_STARTED_TOPIC = "huleedu.llm_provider.request_started.v1"
USAGE_COMPLETED_TOPIC = "huleedu.llm_provider.request_completed.v1"
USAGE_FAILURE_TOPIC = "huleedu.llm_provider.failure.v1"

USAGE_STARTED_EVENT_TYPE = "llm_provider.request_started.v1"
USAGE_COMPLETED_EVENT_TYPE = "llm_provider.request_completed.v1"
USAGE_FAILURE_EVENT_TYPE = "llm_provider.failure.v1"
