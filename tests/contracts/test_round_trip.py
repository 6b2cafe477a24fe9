"""A message that passes through loses nothing, whatever a newer peer has put into it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1, TokenUsage, parse_callback
from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorDetail
from tests.contracts.messages import WINNER, changed

TIMES = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
FREE_FORM = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
METADATA = st.dictionaries(TEXT, FREE_FORM, max_size=4)
COUNTS = st.integers(0, 2**31)

COMMON = {
    "request_id": TEXT.filter(bool),
    "correlation_id": st.uuids(),
    "provider": st.sampled_from(Provider),
    "model": TEXT,
    "response_time_ms": COUNTS,
    "token_usage": st.builds(TokenUsage, prompt_tokens=COUNTS, completion_tokens=COUNTS, total_tokens=COUNTS),
    "cost_estimate": st.floats(0, 1e6),
    "requested_at": TIMES,
    "completed_at": TIMES,
    "request_metadata": METADATA,
}
VERDICTS = st.builds(
    LLMComparisonResultV1,
    winner=st.sampled_from(Winner),
    justification=st.text(st.characters(codec="utf-8"), max_size=500),
    confidence=st.floats(1, 5),
    **COMMON,
)
ERRORS = st.builds(
    LLMComparisonResultV1,
    error_detail=st.builds(
        ErrorDetail,
        error_code=st.sampled_from(["TIMEOUT", "RATE_LIMIT", "A_CODE_OF_TOMORROW"]),
        message=TEXT,
        correlation_id=st.uuids(),
        timestamp=TIMES,
        service=TEXT,
        operation=TEXT,
        details=METADATA,
    ),
    **COMMON,
)


@given(VERDICTS | ERRORS, st.uuids(), TIMES)
def test_what_is_written_is_read_again(data: LLMComparisonResultV1, event_id: Any, at: datetime) -> None:
    event = CallbackEvent(
        event_id=event_id,
        event_type="LLMComparisonResultV1",
        event_timestamp=at,
        source_service="llm_provider_service",
        correlation_id=data.correlation_id,
        data=data,
    )
    assert parse_callback(event.model_dump_json().encode()) == event


def test_unknown_fields_survive_on_every_level() -> None:
    message = json.loads(changed())
    new = {"new": {"of": [1, None, "x"]}}
    message |= new
    message["data"] |= new
    message["data"]["token_usage"] |= new
    message["data"]["request_metadata"] |= new
    event = parse_callback(json.dumps(message).encode())
    assert isinstance(event, CallbackEvent)
    assert json.loads(event.model_dump_json(exclude_unset=True)) == message


def test_a_good_message_is_written_as_it_came() -> None:
    event = parse_callback(changed())
    assert isinstance(event, CallbackEvent)
    assert json.loads(event.model_dump_json(exclude_unset=True)) == WINNER


def test_a_request_survives_with_the_fields_of_a_newer_peer() -> None:
    body = {
        "user_prompt": "which?",
        "callback_topic": "results",
        "metadata": {"essay_a_id": "a"},
        "llm_config_overrides": {"provider_override": "mock", "seed": 7},
        "priority": "low",
    }
    request = ComparisonRequest.model_validate_json(json.dumps(body))
    assert json.loads(request.model_dump_json(exclude_unset=True)) == body


@pytest.mark.parametrize(
    "overrides",
    [
        {"provider_override": "azure"},
        {"temperature_override": 2.1},
        {"max_tokens_override": 0},
        {"reasoning_effort": "extreme"},
        {"output_verbosity": "none"},
    ],
)
def test_overrides_out_of_range_are_refused(overrides: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LLMConfigOverrides.model_validate(overrides)


def test_values_do_not_change() -> None:
    event = parse_callback(changed())
    assert isinstance(event, CallbackEvent)
    with pytest.raises(ValidationError, match="frozen"):
        event.data.winner = Winner.B  # type: ignore[misc]


def test_a_mistyped_engine_setting_is_refused_and_not_ignored() -> None:
    with pytest.raises(ValidationError, match="max_pairwise_comparison\n"):
        EngineSettings.model_validate({"max_pairwise_comparison": 60})


def test_engine_settings_have_productions_defaults() -> None:
    assert EngineSettings().model_dump(mode="json") == {
        "pairing": "balanced",
        "max_pairwise_comparisons": 120,
        "min_comparisons_for_stability_check": 12,
        "score_stability_threshold": 0.025,
        "min_success_rate_threshold": 0.8,
        "min_resampling_net_size": 3,
        "max_resampling_passes_for_small_net": 4,
        "max_resampling_passes_for_regular_batch": 1,
        "matching_weight_comparison_count": 1.0,
        "matching_weight_bt_proximity": 0.5,
        "pair_generation_seed": None,
        "llm_batching_mode": "serial_bundle",
        "llm_batch_api_allowed_providers": ["openai", "anthropic"],
        "enable_llm_batching_metadata_hints": False,
        "max_iterations": 10,
        "metadata_hints": None,
        "enable_failed_comparison_retry": True,
        "failed_comparison_retry_threshold": 20,
        "max_retry_attempts": 3,
        "retry_batch_size": 50,
        "bt_alpha": 0.01,
    }
