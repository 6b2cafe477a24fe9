"""Callbacks to what CJ really sends, by provider: the same JSON shape as the wire has and as the recordings have."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import LLMBatchingMode, OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.engine.state import Batch, Comparison, WaveKind
from cj_pipeline.engine.waves.requests import comparison_request
from tests.services.lps.lab import TOPIC, correlation_id, in_lab, mode
from tests.services.lps.suites.shapes import Shape, differences, shape_of
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, TRACES


@dataclass(frozen=True)
class Caller:
    """What CJ asks of one provider. effort, verbosity: as far as the provider's model takes them."""

    provider: Provider
    model: str | None
    effort: ReasoningEffort | None = None
    verbosity: OutputVerbosity | None = None
    batching: LLMBatchingMode = LLMBatchingMode.SERIAL_BUNDLE


LOW, TERSE = ReasoningEffort.LOW, OutputVerbosity.LOW

CALLERS = {
    "openai, low": Caller(Provider.OPENAI, "gpt-5.1", LOW, TERSE),
    "openai": Caller(Provider.OPENAI, "gpt-5.1"),
    "anthropic, low": Caller(Provider.ANTHROPIC, "claude-haiku-4-5-20251001", LOW),
    "anthropic": Caller(Provider.ANTHROPIC, "claude-haiku-4-5-20251001"),
    "google": Caller(Provider.GOOGLE, "gemini-2.5-flash-preview-05-20"),
    "openrouter": Caller(Provider.OPENROUTER, "anthropic/claude-haiku-4-5-20251001"),
    "mock, low": Caller(Provider.MOCK, "gpt-5.1", LOW, TERSE),
    "mock": Caller(Provider.MOCK, None, batching=LLMBatchingMode.PER_REQUEST),
}

STRING, INTEGER, NUMBER, NULL, OBJECT = (
    frozenset({kind}) for kind in ("string", "integer", "number", "null", "object")
)

# The wire, path by path; what holds for both outcomes.
COMMON: Shape = {
    **dict.fromkeys(("event_id", "event_type", "event_timestamp", "source_service", "correlation_id"), STRING),
    "schema_version": INTEGER,
    "data_schema_uri": NULL,
    "metadata": NULL,
    "data": OBJECT,
    **dict.fromkeys((f"data.{key}" for key in ("request_id", "correlation_id", "provider", "model")), STRING),
    **dict.fromkeys((f"data.{key}" for key in ("requested_at", "completed_at")), STRING),
    "data.response_time_ms": INTEGER,
    "data.cost_estimate": NUMBER,
    "data.token_usage": OBJECT,
    **dict.fromkeys(
        (f"data.token_usage.{key}" for key in ("prompt_tokens", "completion_tokens", "total_tokens")), INTEGER
    ),
    "data.trace_id": NULL,
    "data.request_metadata": OBJECT,
}
SUCCESS: Shape = {
    "data.winner": STRING,
    "data.justification": STRING,
    "data.confidence": NUMBER,
    "data.error_detail": NULL,
}
ERROR: Shape = {
    **dict.fromkeys((f"data.{key}" for key in ("winner", "justification", "confidence")), NULL),
    "data.error_detail": OBJECT,
    **dict.fromkeys(
        (
            f"data.error_detail.{key}"
            for key in ("error_code", "message", "correlation_id", "timestamp", "service", "operation")
        ),
        STRING,
    ),
    "data.error_detail.details": OBJECT,
    # Production fills it, and gives away its insides.
    **dict.fromkeys((f"data.error_detail.{key}" for key in ("stack_trace", "trace_id", "span_id")), NULL),
}

_USAGE = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)

# What the LPS may add to the metadata that CJ sent -> why.
ADDITIONS = {
    "data.request_metadata.usage": "the mock, like every provider that reports one, passes its usage on",
    **{f"data.request_metadata.usage.{key}": "a part of it" for key in _USAGE},
    "data.request_metadata.cache_read_input_tokens": "the mock plays a prompt cache, as production's does",
    "data.request_metadata.cache_creation_input_tokens": "the mock plays a prompt cache, as production's does",
}
ERROR_ADDITIONS = {"data.error_detail.details.status_code": "what a service puts into its details is its own affair"}


def sent_metadata(caller: Caller) -> Shape:
    """Of CJ: echoed as it is, with nothing left out and nothing made of what was not sent."""
    keys = ["essay_a_id", "essay_b_id", "bos_batch_id", "cj_batch_id", "cj_source", "cj_request_type"]
    keys += ["cj_llm_batching_mode"]
    keys += ["reasoning_effort"] if caller.effort is not None else []
    keys += ["output_verbosity"] if caller.verbosity is not None else []
    found = dict.fromkeys((f"data.request_metadata.{key}" for key in keys), STRING)
    found["data.request_metadata.preferred_bundle_size"] = INTEGER
    if caller.batching is not LLMBatchingMode.PER_REQUEST:
        found["data.request_metadata.comparison_iteration"] = INTEGER
    return found


def added_metadata(caller: Caller) -> Shape:
    """Of the LPS, on every callback."""
    keys = ["resolved_provider", "queue_processing_mode", "prompt_sha256"]
    keys += ["resolved_model"] if caller.model is not None else []
    return dict.fromkeys((f"data.request_metadata.{key}" for key in keys), STRING)


def wire(caller: Caller, outcome: Shape) -> Shape:
    return {**COMMON, **outcome, **sent_metadata(caller), **added_metadata(caller)}


TEXTS = {f"essay-{number}": f"Text {number}." for number in range(4)}


def requests_of(caller: Caller) -> list[bytes]:
    """A wave of three as CJ's client sends it."""
    engine = EngineSettings(llm_batching_mode=caller.batching, enable_llm_batching_metadata_hints=True)
    batch = Batch("bos-schema-parity", 147, tuple(TEXTS), engine, seed=1)
    essays = list(TEXTS)
    comparisons = [
        Comparison(correlation_id(number), essays[number], essays[number + 1], WaveKind.COVERAGE, 0)
        for number in range(3)
    ]
    overrides = LLMConfigOverrides(
        provider_override=caller.provider,
        model_override=caller.model,
        reasoning_effort=caller.effort,
        output_verbosity=caller.verbosity,
    )
    return [
        comparison_request(
            comparison,
            batch=batch,
            wave_size=len(comparisons),
            texts=TEXTS,
            overrides=overrides,
            callback_topic=TOPIC,
        )
        .model_dump_json(exclude_none=True)
        .encode()
        for comparison in comparisons
    ]


def callbacks_to(caller: Caller, expression: str = "default", **sections: Any) -> list[dict[str, Any]]:
    """The callbacks, as JSON."""

    async def script(lab: Any) -> list[dict[str, Any]]:
        for request in requests_of(caller):
            response = await lab.post_text(request)
            assert response.status_code == 202, response.text
        return [await lab.next_json() for _ in range(3)]

    return in_lab(
        script,
        mode(expression, **sections),
        use_mock_llm=True,
        queue_processing_mode="serial_bundle",
        queue_max_retries=0,
    )


def recorded_shape(scenario_id: str) -> Shape:
    lines = (TRACES / scenario_id / "llm_callbacks.jsonl").read_bytes().splitlines()
    return shape_of([json.loads(line) for line in lines])


@pytest.mark.parametrize("name", CALLERS)
def test_a_verdict_has_the_shape_of_the_wire(name: str) -> None:
    caller = CALLERS[name]
    found = shape_of(callbacks_to(caller))
    assert differences(wire(caller, SUCCESS), found, ADDITIONS) == []
    assert ADDITIONS.keys() <= found.keys(), "an addition that never comes is none"


@pytest.mark.parametrize("name", CALLERS)
def test_an_error_has_the_shape_of_the_wire(name: str) -> None:
    caller = CALLERS[name]
    found = shape_of(callbacks_to(caller, errors={"rate": 1.0, "codes": [500]}))
    assert differences(wire(caller, ERROR), found, ERROR_ADDITIONS) == []


@pytest.mark.parametrize("errors", [{"rate": 0.0}, {"rate": 1.0, "codes": [500]}], ids=["verdict", "error"])
@pytest.mark.parametrize("name", CALLERS)
def test_what_was_sent_comes_back_as_it_was(name: str, errors: dict[str, Any]) -> None:
    caller = CALLERS[name]
    sent = [json.loads(request) for request in requests_of(caller)]
    for request, callback in zip(sent, callbacks_to(caller, errors=errors), strict=True):
        data = callback["data"]
        assert data["request_metadata"].items() >= request["metadata"].items()
        assert callback["correlation_id"] == data["correlation_id"] == request["correlation_id"]
        assert data["provider"] == caller.provider  # whom the request named, though the mock answered
        assert data["request_metadata"]["resolved_provider"] == data["provider"]
        assert callback["event_type"] == "LLMComparisonResultV1"


# Who asks as was asked when it was recorded, and under which mode; and what may be there on top of the recording.
RECORDED = {
    GENERIC: ("mock", "cj_generic_batch", ()),
    LOWER5: ("openai, low", "eng5_lower5_gpt51_low", ()),
    ANCHORS: ("openai, low", "eng5_anchor_gpt51_low", ()),
    LADDER: ("openai", "eng5_anchor_ladder", ()),
    # A mode of the everyday kind plays a cache, and OpenAI's recorded answers say nothing of one.
    f"{LOWER5} under default": ("openai, low", "default", ADDITIONS),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_verdict_has_the_shape_of_the_recording(name: str) -> None:
    caller, expression, additions = RECORDED[name]
    expected = recorded_shape(name.partition(" ")[0])
    assert differences(expected, shape_of(callbacks_to(CALLERS[caller], expression)), additions) == []


@pytest.mark.parametrize("scenario_id", [GENERIC, LOWER5, ANCHORS, LADDER])
def test_the_recordings_themselves_have_the_shape_of_the_wire(scenario_id: str) -> None:
    caller = CALLERS[RECORDED[scenario_id][0]]
    additions = ADDITIONS if scenario_id == GENERIC else ()
    assert differences(wire(caller, SUCCESS), recorded_shape(scenario_id), additions) == []


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(callback: dict[str, Any]) -> None:
        place = callback
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


def put(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(callback: dict[str, Any]) -> None:
        place = callback
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


METADATA = ("data", "request_metadata")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("data", "trace_id"), "data.trace_id is missing"),
        (without(*METADATA, "reasoning_effort"), "data.request_metadata.reasoning_effort is missing"),
        (without(*METADATA, "output_verbosity"), "data.request_metadata.output_verbosity is missing"),
        (without(*METADATA, "prompt_sha256"), "data.request_metadata.prompt_sha256 is missing"),
        (put(None, "data", "justification"), "data.justification is null, not string"),
        (put("0.9", "data", "confidence"), "data.confidence is string, not number"),
        (put(1234.5, "data", "response_time_ms"), "data.response_time_ms is number, not integer"),
        (put(True, "schema_version"), "schema_version is boolean, not integer"),
        (
            put("147", *METADATA, "preferred_bundle_size"),
            "data.request_metadata.preferred_bundle_size is string, not integer",
        ),
        (put({}, "metadata"), "metadata is object, not null"),
        (put(1, "data", "queue_position"), "data.queue_position is too much"),
        (put("mock", *METADATA, "answered_by"), "data.request_metadata.answered_by is too much"),
    ],
)
def test_a_planted_difference_is_found(change: Callable[[dict[str, Any]], None], told: str) -> None:
    caller = CALLERS["openai, low"]
    callbacks = callbacks_to(caller)
    for callback in callbacks:
        change(callback)
    assert differences(wire(caller, SUCCESS), shape_of(callbacks), ADDITIONS) == [told]


def test_a_difference_in_one_callback_of_many_is_found_too() -> None:
    caller = CALLERS["openai, low"]
    callbacks = callbacks_to(caller)
    without(*METADATA, "output_verbosity")(callbacks[1])
    put(None, "data", "winner")(callbacks[2])
    assert differences(wire(caller, SUCCESS), shape_of(callbacks), ADDITIONS) == [
        "data.request_metadata.output_verbosity is ?|string, not string",
        "data.winner is null|string, not string",
    ]


def test_effort_that_was_not_sent_and_comes_back_is_found() -> None:
    caller = CALLERS["google"]
    callbacks = callbacks_to(caller)
    for callback in callbacks:
        callback["data"]["request_metadata"]["reasoning_effort"] = None
    assert differences(wire(caller, SUCCESS), shape_of(callbacks), ADDITIONS) == [
        "data.request_metadata.reasoning_effort is too much"
    ]
