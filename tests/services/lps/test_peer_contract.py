"""What the reference's models require of events, written down by hand: our own models cannot agree with it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from tests.services.cj.test_peer_contract import broken, instant, is_, null, number, text
from tests.services.lps.lab import TOPIC, body, in_lab
from tests.services.lps.moody import Moody, first_attempts_of


def yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def mapping(value: object) -> bool:
    return isinstance(value, dict)


def uuid(value: object) -> bool:
    return isinstance(value, str) and str(UUID(value)) == value


def dollars(value: object) -> bool:
    return number(value) and value >= 0  # type: ignore[operator]


def one_of(*literals: str) -> Any:
    return lambda value: value in literals


TOKENS = {"prompt_tokens": whole, "completion_tokens": whole, "total_tokens": whole}
REQUEST = {
    "correlation_id": uuid,
    "provider": is_("openai"),
    "request_type": is_("comparison"),
    "answered_by": is_("mock"),
}
COMPARISON = {
    "request_id": text,
    "correlation_id": uuid,
    "provider": one_of("anthropic", "openai", "google", "openrouter", "mock"),
    "requested_at": instant,
    "completed_at": instant,
    "trace_id": null,
    "token_usage": TOKENS,
    "request_metadata": {
        "essay_a_id": text,
        "essay_b_id": text,
        "resolved_provider": is_("openai"),
        "queue_processing_mode": one_of("per_request", "serial_bundle", "batch_api"),
        "prompt_sha256": lambda value: len(value) == 64 and int(value, 16) >= 0,
    },
}

# Event type, topic, and the fields of `data`: a test of the value, or fields of its own.
STARTED = (
    "llm_provider.request_started.v1",
    "huleedu.llm_provider.request_started.v1",
    {**REQUEST, "user_id": is_("teacher-1"), "metadata": mapping},
)
COMPLETED = (
    "llm_provider.request_completed.v1",
    "huleedu.llm_provider.request_completed.v1",
    {**REQUEST, "success": is_(True), "response_time_ms": whole, "token_usage": TOKENS, "cost_estimate": dollars},
)
FAILED = (
    "llm_provider.failure.v1",
    "huleedu.llm_provider.failure.v1",
    {
        **REQUEST,
        "failure_type": text,
        "error_details": text,
        "circuit_breaker_opened": yes_or_no,
        "error_code": text,
        "retryable": yes_or_no,
    },
)
SUCCESS = (
    "LLMComparisonResultV1",
    TOPIC,
    {
        **COMPARISON,
        "winner": one_of("Essay A", "Essay B"),
        "justification": lambda value: text(value) and len(value) <= 500,
        "confidence": lambda value: number(value) and 1 <= value <= 5,
        "error_detail": null,
        "model": text,
        "response_time_ms": whole,
        "cost_estimate": dollars,
    },
)
ERROR = (
    "LLMComparisonResultV1",
    TOPIC,
    {
        **COMPARISON,
        "winner": null,
        "justification": null,
        "confidence": null,
        "error_detail": {
            "error_code": text,
            "message": text,
            "correlation_id": uuid,
            "timestamp": instant,
            "service": is_("llm_provider_service"),
            "operation": text,
            "details": mapping,
            "stack_trace": null,
            "trace_id": null,
            "span_id": null,
        },
        "model": is_("unknown"),
        "response_time_ms": is_(0),
        "cost_estimate": is_(0.0),
    },
)

# Every key that a callback may have, those of the request's metadata apart: their models know no others.
CALLBACK_KEYS = SUCCESS[2].keys()
ADDED_METADATA = {
    *("resolved_provider", "queue_processing_mode", "resolved_model", "prompt_sha256", "usage"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "streaming_simulated"),
}

ENVELOPE = {
    "event_id": uuid,
    "event_timestamp": instant,
    "source_service": is_("llm_provider_service"),
    "schema_version": is_(1),
    "correlation_id": uuid,
    "data_schema_uri": null,
}

NOT_IN_ANY_EVENT = "Zwetschgendatschi"


class Remembering(MemoryBus):
    """A bus that keeps all that was published, by topic."""

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[str, list[dict[str, Any]]] = {}

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        self.events.setdefault(topic, []).append(json.loads(value))
        await super().publish(topic, value, key=key)


async def one_answer_and_one_failure(lab: Any) -> None:
    error = ProviderError(ErrorCode.PARSING_ERROR, NOT_IN_ANY_EVENT)
    lab.service.providers[Provider.OPENAI] = Moody(first_attempts_of(1, error))
    for request_number, succeeds in enumerate([True, False]):
        asked = body(request_number, provider_override="openai") | {"user_id": "teacher-1"}
        await lab.client.post("/api/v1/comparison", json=asked)
        assert (await lab.next_result()).succeeded is succeeds
    await asyncio.sleep(1.0)


@pytest.fixture(scope="module", params=["per_request", "serial_bundle", "batch_api"])
def published(request: pytest.FixtureRequest) -> dict[str, list[dict[str, Any]]]:
    """What one answered and one failed request published, by topic, in each strategy."""
    bus = Remembering()
    in_lab(one_answer_and_one_failure, bus=bus, use_mock_llm=True, queue_processing_mode=request.param)
    return bus.events


@pytest.mark.parametrize(
    ("contract", "number"), [(STARTED, 0), (STARTED, 1), (COMPLETED, 0), (FAILED, 0), (SUCCESS, 0), (ERROR, 1)]
)
def test_the_peer_can_parse_every_event(contract: Any, number: int, published: Any) -> None:
    event_type, topic, fields = contract
    event = published[topic][number]
    assert broken(event, {**ENVELOPE, "event_type": is_(event_type)}) == []
    assert broken(event["data"], fields) == []


def test_each_topic_has_the_events_that_it_should(published: Any) -> None:
    assert {topic: len(events) for topic, events in published.items()} == {
        STARTED[1]: 2,
        COMPLETED[1]: 1,
        FAILED[1]: 1,
        TOPIC: 2,
    }


def test_a_callback_has_no_field_that_the_peer_does_not_know(published: Any) -> None:
    for event in published[TOPIC]:
        assert event["data"].keys() == CALLBACK_KEYS
        assert event["data"]["request_metadata"].keys() - {"essay_a_id", "essay_b_id"} <= ADDED_METADATA


def test_a_failure_event_says_why_in_our_own_words(published: Any) -> None:
    (event,) = published[FAILED[1]]
    assert (event["data"]["failure_type"], event["data"]["error_code"]) == ("parsing_error", "PARSING_ERROR")
    assert NOT_IN_ANY_EVENT not in json.dumps(event)
