"""This module holds the names on the bus: topics, event types, source services."""

from __future__ import annotations

from cj_pipeline.foundation.names import TOPIC, is_name

# For documents; `is_topic_name` decides.
TOPIC_PATTERN = f"[{TOPIC.rest}]{{1,{TOPIC.most}}}"

COMPARISON_RESULT_TOPIC = "huleedu.llm_provider.comparison_result.v1"

# The type in the envelope is the class name, not the topic's; consumers filter on it.
COMPARISON_RESULT_EVENT_TYPE = "LLMComparisonResultV1"

# That of the reference's engine, of suites, and of our own parity runs.
CALLBACK_TOPICS = (COMPARISON_RESULT_TOPIC, "test.*", "cj_pipeline.parity.*")

LPS_SOURCE_SERVICE = "llm_provider_service"

USAGE_STARTED_TOPIC = "huleedu.llm_provider.request_started.v1"
USAGE_COMPLETED_TOPIC = "huleedu.llm_provider.request_completed.v1"
USAGE_FAILURE_TOPIC = "huleedu.llm_provider.failure.v1"

USAGE_STARTED_EVENT_TYPE = "llm_provider.request_started.v1"
USAGE_COMPLETED_EVENT_TYPE = "llm_provider.request_completed.v1"
USAGE_FAILURE_EVENT_TYPE = "llm_provider.failure.v1"


def is_topic_name(name: str) -> bool:
    """Return whether every kind of bus accepts a topic of this name."""
    return is_name(name, TOPIC)
