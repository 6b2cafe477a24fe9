from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from cj_pipeline.contracts.answer import Failure, ProviderAnswer
from cj_pipeline.contracts.callback import TokenUsage, parse_callback
from cj_pipeline.contracts.enums import QueueProcessingMode, Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest, queue_id_of
from cj_pipeline.services.lps.work.callbacks import Outcome, callback_bytes
from tests.services.lps.lab import ORIGIN, correlation_id, in_lab, mode, queued

ANSWER = ProviderAnswer(
    winner=Winner.B,
    justification="Essay B stays with its task.",
    confidence=4.25,
    model="mock-model-v1",
    response_time_ms=1600,
    token_usage=TokenUsage(prompt_tokens=1100, completion_tokens=40, total_tokens=1140),
    cost_estimate=0.0,
    metadata={"usage": {"total_tokens": 1140}, "cache_read_input_tokens": 0},
)
FAILURE = Failure(ErrorCode.EXTERNAL_SERVICE_ERROR, "Status 429.", {"status_code": 429}, retryable=True)


def event(request: QueuedRequest, outcome: Outcome) -> dict[str, Any]:
    completed = ORIGIN + timedelta(seconds=1.6)
    document: dict[str, Any] = json.loads(
        callback_bytes(request, outcome, QueueProcessingMode.SERIAL_BUNDLE, completed)
    )
    return document


def test_a_verdict_on_the_wire():
    request = queued(3, provider_override="openai")
    told = event(request, ANSWER)
    # Version 8 ids that follow from the correlation id: facts of the product, equal in every process.
    assert told.pop("event_id") == "52c668ac-d62e-86b1-b120-2882ffd2a7bf"
    assert told["data"].pop("request_id") == str(queue_id_of(correlation_id(3)))
    assert told == {
        "event_type": "LLMComparisonResultV1",
        "event_timestamp": "2025-12-01T14:24:17.600000Z",
        "source_service": "llm_provider_service",
        "schema_version": 1,
        "correlation_id": str(correlation_id(3)),
        "data_schema_uri": None,
        "metadata": None,
        "data": {
            "correlation_id": str(correlation_id(3)),
            "winner": "Essay B",
            "justification": "Essay B stays with its task.",
            "confidence": 4.25,
            "error_detail": None,
            "provider": "openai",
            "model": "mock-model-v1",
            "response_time_ms": 1600,
            "token_usage": {"prompt_tokens": 1100, "completion_tokens": 40, "total_tokens": 1140},
            "cost_estimate": 0.0,
            "requested_at": "2025-12-01T14:24:16Z",
            "completed_at": "2025-12-01T14:24:17.600000Z",
            "trace_id": None,
            "request_metadata": {
                "essay_a_id": "essay-1",
                "essay_b_id": "essay-2",
                "resolved_provider": "openai",
                "queue_processing_mode": "serial_bundle",
                "prompt_sha256": sha256(b"Which essay is better, pair 3?").hexdigest(),
                "usage": {"total_tokens": 1140},
                "cache_read_input_tokens": 0,
            },
        },
    }


def test_an_error_on_the_wire_names_the_provider_that_was_asked():
    # Production said `openai` for every error, the mock's included.
    data = event(queued(4, provider_override="anthropic"), FAILURE)["data"]
    assert data["provider"] == "anthropic"
    assert (data["winner"], data["justification"], data["confidence"]) == (None, None, None)
    assert (data["model"], data["response_time_ms"], data["cost_estimate"]) == ("unknown", 0, 0.0)
    assert data["token_usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert data["error_detail"] == {
        "error_code": "EXTERNAL_SERVICE_ERROR",
        "message": "Status 429.",
        "correlation_id": str(correlation_id(4)),
        "timestamp": "2025-12-01T14:24:17.600000Z",
        "service": "llm_provider_service",
        "operation": "process_comparison",
        "details": {"status_code": 429},
        "stack_trace": None,
        "trace_id": None,
        "span_id": None,
    }
    assert data["request_metadata"]["prompt_sha256"] == sha256(b"Which essay is better, pair 4?").hexdigest()
    assert "usage" not in data["request_metadata"]


def test_both_kinds_are_read_back_by_the_contract():
    for outcome in (ANSWER, FAILURE):
        message = callback_bytes(queued(), outcome, QueueProcessingMode.PER_REQUEST, ORIGIN)
        assert parse_callback(message).data.succeeded is (outcome is ANSWER)  # type: ignore[union-attr]


def test_a_long_justification_is_cut_at_500_characters():
    told = event(queued(), replace(ANSWER, justification="å" * 1000))
    assert told["data"]["justification"] == "å" * 500


def test_metadata_that_the_client_set_is_not_overwritten():
    theirs = {"prompt_sha256": "theirs", "usage": None, "cache_read_input_tokens": 9, "nested": {"å": [1, 2.5, None]}}
    told = event(queued(metadata=theirs), ANSWER)["data"]["request_metadata"]
    assert theirs.items() <= told.items()


@pytest.mark.parametrize(("overrides", "expected"), [({}, None), ({"model_override": "gpt-5.1"}, "gpt-5.1")])
def test_resolved_model_is_told_only_when_a_model_was_asked_for(overrides, expected):
    metadata = event(queued(**overrides), ANSWER)["data"]["request_metadata"]
    assert metadata.get("resolved_model") == expected
    assert ("resolved_model" in metadata) is (expected is not None)


CACHE_KEYS = {"usage", "cache_read_input_tokens", "cache_creation_input_tokens"}


@pytest.mark.parametrize(("hit_rate", "read", "created"), [(0.0, 0, 5), (1.0, 5, 0)])
def test_a_mode_with_a_cache_reports_hits_as_read_and_misses_as_created(hit_rate, read, created):
    async def script(lab):
        await lab.post()
        return (await lab.next_json())["data"]["request_metadata"]

    metadata = in_lab(script, mode("cj_generic_batch", cache={"enabled": True, "hit_rate": hit_rate}))
    assert (metadata["cache_read_input_tokens"], metadata["cache_creation_input_tokens"]) == (read, created)
    assert metadata["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 17,
        "total_tokens": 22,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": created,
    }


def test_a_mode_without_a_cache_says_nothing_about_it():
    async def script(lab):
        await lab.post()
        return (await lab.next_json())["data"]["request_metadata"]

    assert not CACHE_KEYS & in_lab(script, mode(cache={"enabled": False})).keys()
    streaming = in_lab(script, mode(streaming_metadata=True))
    assert streaming["streaming_simulated"] is True
    assert streaming.keys() >= CACHE_KEYS
