"""Names on the bus: topics, event types, source services."""

from __future__ import annotations

COMPARISON_RESULT_TOPIC = "huleedu.llm_provider.comparison_result.v1"

# The type in the envelope is the class name, not the topic's; consumers filter on it.
COMPARISON_RESULT_EVENT_TYPE = "LLMComparisonResultV1"

LPS_SOURCE_SERVICE = "llm_provider_service"
