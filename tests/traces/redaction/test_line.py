"""One callback before and after: what goes, what stays, and that nothing changes its shape."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.contracts.forgiven import Forgiven
from cj_pipeline.contracts.reasons import Reason
from tests.traces.folders import SCENARIOS, TRACES, one_event
from tests.traces.planted import FAILURE, leaks, plant
from tests.traces.redaction.lines import callback, redacted, redaction


def failure(**error: object) -> dict[str, Any]:
    event = deepcopy(FAILURE)
    ids = one_event()
    event["event_id"], event["correlation_id"] = ids["event_id"], ids["correlation_id"]
    event["data"] |= {key: ids["data"][key] for key in ("request_id", "correlation_id")}
    event["data"]["error_detail"] |= error
    return event


def success(**metadata: object) -> dict[str, Any]:
    event = one_event()
    event["data"]["request_metadata"] |= metadata
    return event


def test_a_line_differs_from_its_callback_in_names_and_texts_alone() -> None:
    by = redaction()
    event = one_event()
    expected = deepcopy(event)
    expected["data"]["justification"] = "redacted"
    metadata = expected["data"]["request_metadata"]
    metadata["essay_a_id"] = by.essay(metadata["essay_a_id"])
    metadata["essay_b_id"] = by.essay(metadata["essay_b_id"])
    metadata["prompt_sha256"] = by.pseudonyms.prompt(metadata["prompt_sha256"])
    line = redacted(event, by)
    assert line == expected
    assert list(line) == list(event)
    assert not by.dropped


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_line_is_a_callback_with_the_same_keys_in_the_same_order(scenario: str) -> None:
    by = redaction()
    for raw in (TRACES / scenario / "llm_callbacks.jsonl").read_bytes().splitlines():
        read = parse_callback(raw)
        assert isinstance(read, CallbackEvent)
        line = by.line(read)
        assert isinstance(parse_callback(line), CallbackEvent)
        before, after = json.loads(raw), json.loads(line)
        assert list(after["data"]) == list(before["data"])
        assert list(after["data"]["request_metadata"]) == list(before["data"]["request_metadata"])


def test_keys_that_were_not_there_do_not_appear_and_nulls_stay() -> None:
    # An absent key and a null are two shapes to parity's check of the schema.
    event = one_event()
    for key in ("data_schema_uri", "schema_version"):
        del event[key]
    for key in ("trace_id", "error_detail"):
        del event["data"][key]
    line = redacted(event)
    assert set(line) == set(event)
    assert set(line["data"]) == set(event["data"])
    assert line["metadata"] is None


def test_the_callback_itself_is_left_as_it_is() -> None:
    read = callback(one_event())
    before = repr(read)
    redaction().line(read)
    assert repr(read) == before


def test_justifications_are_dropped_hashed_or_kept() -> None:
    event = one_event()
    sentence = event["data"]["justification"]
    assert redacted(event)["data"]["justification"] == "redacted"
    assert redacted(event, redaction(justifications="keep"))["data"]["justification"] == sentence
    hashed = redacted(event, redaction(justifications="hash"))["data"]["justification"]
    assert len(hashed) == 32
    assert hashed == redacted(event, redaction(justifications="hash"))["data"]["justification"]
    event["data"]["justification"] += "."
    assert hashed != redacted(event, redaction(justifications="hash"))["data"]["justification"]


@pytest.mark.parametrize(
    ("model", "stays"),
    [
        ("gpt-5.1", True),
        ("gpt-5-mini-2025-08-07", True),
        ("gpt-4o-mini-2024-07-18", True),
        ("claude-haiku-4-5-20251001", True),
        ("gemini-2.5-flash-preview-05-20", True),
        ("anthropic/claude-haiku-4-5-20251001", True),
        ("mock-model-v1", True),
        ("unknown", True),
        ("gpt-Anna", False),
        ("gpt-5.1 of Anna", False),
        ("gpt-5.1\n", False),
        ("Anna", False),
        ("anna/gpt-5.1", False),
        ("promise-pro", False),
        ("", False),
    ],
)
def test_a_models_name_stays_when_it_is_made_of_the_words_of_models(model: str, stays: bool) -> None:
    event = one_event()
    event["data"]["model"] = event["data"]["request_metadata"]["resolved_model"] = model
    data = redacted(event)["data"]
    assert (data["model"] == model) is stays
    if not stays:
        assert data["model"].startswith("model-")
    if model:
        assert data["request_metadata"]["resolved_model"] == data["model"]


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("cj_batch_id", "147", "147"),
        ("cj_batch_id", 147, 147),
        ("cj_batch_id", "class 9B", "batch-a6ab5eefb1e9ecf2"),
        ("cj_source", "els", "els"),
        ("cj_source", "Anna", "redacted"),
        ("bos_batch_id", "50f4509e-2e8c-4c62-a19d-93cf0739eefd", "50f4509e-2e8c-4c62-a19d-93cf0739eefd"),
        ("retry_iteration", 2, 2),
        ("streaming_simulated", True, True),
        ("reasoning_effort", None, None),
    ],
)
def test_a_value_of_the_wire_stays_and_another_does_not(key: str, value: object, kept: object) -> None:
    event = one_event()
    event["data"]["request_metadata"][key] = value
    assert redacted(event)["data"]["request_metadata"][key] == kept


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reasoning_effort", "Anna"),
        ("preferred_bundle_size", "6"),
        ("usage", "Anna"),
        ("usage", {"prompt_tokens": "Anna"}),
        ("cj_batch_id", 9901011234),
        ("usage", [1]),
        ("cj_request_type", {"cj_comparison": 1}),
        ("note", "Anna"),
        ("Anna", 1),
    ],
)
def test_what_does_not_fit_and_what_nobody_knows_is_gone_and_counted(key: str, value: object) -> None:
    by = redaction()
    event = one_event()
    event["data"]["request_metadata"][key] = value
    assert key not in redacted(event, by)["data"]["request_metadata"]
    assert by.dropped["metadata_keys"] == 1


def test_an_allowed_key_keeps_what_it_says() -> None:
    event = one_event()
    event["data"]["request_metadata"] |= {"wave_label": ["first", {"of": 3}], "note": "Anna"}
    by = redaction(allowed_keys=["wave_label"])
    metadata = redacted(event, by)["data"]["request_metadata"]
    assert metadata["wave_label"] == ["first", {"of": 3}]
    assert "note" not in metadata
    assert by.dropped["metadata_keys"] == 1


def test_unknown_fields_are_gone_at_every_level() -> None:
    event = failure()
    for level in (event, event["data"], event["data"]["token_usage"], event["data"]["error_detail"]):
        level["tenant"] = "Anna"
    event["metadata"] = {"traceparent": "Anna", "lag": 1}
    by = redaction()
    line = redacted(event, by)
    assert "Anna" not in json.dumps(line)
    assert line["metadata"] == {}
    assert by.dropped["fields"] == 6


def test_an_error_keeps_its_code_and_its_numbers() -> None:
    details = {"status_code": 429, "error_type": "rate_limit", "field": "Anna", "retry_after_s": "Anna", "Anna": 1}
    by = redaction()
    error = redacted(failure(details=details, stack_trace="File Anna.py", trace_id="a" * 32), by)["data"][
        "error_detail"
    ]
    assert error["error_code"] == "RATE_LIMIT"
    assert error["message"] == "redacted (RATE_LIMIT)"
    assert (error["service"], error["operation"]) == ("llm_provider_service", "process_comparison")
    assert error["details"] == {"status_code": 429, "error_type": "rate_limit"}
    assert (error["stack_trace"], error["trace_id"], error["span_id"]) == ("redacted", "redacted", None)
    assert by.dropped["error_details"] == 3


TOOK = {
    "reason": "truncated",
    "response_time_ms": 2500,
    "token_usage": {"prompt_tokens": 300, "completion_tokens": 128, "total_tokens": 428},
    "cost_estimate": 0.0125,
    "cost_known": False,
    "asks": 2,
    "model": "gpt-5.1",
}


def test_the_reason_of_a_failure_stays_and_what_it_took() -> None:
    by = redaction()
    assert redacted(failure(details=TOOK), by)["data"]["error_detail"]["details"] == TOOK
    assert by.dropped["error_details"] == 0


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_may_stay(reason: Reason) -> None:
    details = redacted(failure(details={"reason": reason.value}), redaction())["data"]["error_detail"]["details"]
    assert details == {"reason": reason.value}


@pytest.mark.parametrize(
    "details",
    [
        {"reason": "Anna"},
        {"token_usage": {"Anna": 1}},
        {"token_usage": {"prompt_tokens": "Anna"}},
        {"token_usage": "Anna"},
        {"cost_estimate": "Anna"},
    ],
)
def test_what_only_looks_like_it_goes(details: dict[str, Any]) -> None:
    assert redacted(failure(details=details), redaction())["data"]["error_detail"]["details"] == {}


def test_marks_on_an_answer_stay_and_unknown_ones_go() -> None:
    forgiven = [mark.value for mark in Forgiven]
    marks = {"confidence_known": False, "tokens_known": False, "asks": 2, "forgiven": forgiven}
    kept = redacted(success(**marks), redaction())["data"]["request_metadata"]
    assert marks.items() <= kept.items()
    for wrong in (["Anna"], "Anna", [["nested"]], {"nested": "Anna"}):
        assert "forgiven" not in redacted(success(forgiven=wrong), redaction())["data"]["request_metadata"]


def test_an_unknown_code_stays_a_code_and_the_same_for_the_same() -> None:
    by = redaction()
    event = failure(error_code="ANNA_ANDERSSON")
    code = redacted(event, by)["data"]["error_detail"]["error_code"]
    assert code.startswith("OTHER_")
    assert code == redacted(failure(error_code="ANNA_ANDERSSON"), by)["data"]["error_detail"]["error_code"]
    assert redacted(event, by)["data"]["error_detail"]["message"] == f"redacted ({code})"


def test_a_request_id_that_is_no_uuid_becomes_one() -> None:
    event = one_event()
    event["data"]["request_id"] = "Anna's request"
    by = redaction()
    assert redacted(event, by)["data"]["request_id"] == by.pseudonyms.request("Anna's request")


def test_a_bare_verdict_stays_bare() -> None:
    by = redaction()
    event = one_event()
    assert redacted(event["data"], by) == redacted(event, by)["data"]


def test_no_planted_marker_comes_through_and_every_line_is_a_callback() -> None:
    messages, markers = plant()
    for policy in ("drop", "hash"):
        by = redaction(justifications=policy)
        read = [found for message in messages if isinstance(found := parse_callback(message), CallbackEvent)]
        lines = [by.line(found) for found in read]
        assert len(lines) > 100
        assert leaks(markers, *lines, repr(by)) == []
        assert all(isinstance(parse_callback(line), CallbackEvent) for line in lines)


def test_kept_justifications_are_the_only_leak_that_was_chosen() -> None:
    messages, markers = plant()
    by = redaction(justifications="keep")
    read = [found for message in messages if isinstance(found := parse_callback(message), CallbackEvent)]
    through = leaks(markers, *(by.line(found) for found in read))
    spoken = [found.data.justification for found in read]
    assert through
    assert all(any(isinstance(text, str) and marker.lower() in text.lower() for text in spoken) for marker in through)


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("bos_batch_id", 20080115, 0),
        ("cj_source", 20080115, 0),
        ("prompt_sha256", 200801.151234, 0.0),
        ("resolved_model", True, False),
        ("cj_batch_id", 138, 138),
        ("comparison_iteration", 2.5, 2.5),
    ],
)
def test_a_figure_where_the_wire_wants_a_word_becomes_nought(key: str, value: object, kept: object) -> None:
    event = one_event()
    event["data"]["request_metadata"][key] = value
    metadata = redacted(event)["data"]["request_metadata"]
    assert (metadata[key], type(metadata[key])) == (kept, type(kept))
