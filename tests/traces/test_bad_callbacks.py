"""A line that is no usable callback is kept, with its number, field and reason; nothing is dropped, nothing quoted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.reader import CallbackFile, read_callbacks
from tests.traces.folders import one_event, write_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Spoil = dict[str, Any]

ERROR = {
    "error_code": "TIMEOUT",
    "message": "too late",
    "correlation_id": "13541a4e-8181-81c4-9f26-e09daefb5a68",
    "timestamp": "2025-12-01T00:00:00Z",
    "service": "llm_provider_service",
    "operation": "comparison",
}


def second_line_spoilt(tmp_path: Path, **data: object) -> CallbackFile:
    spoilt = one_event(1)
    spoilt["data"].update(data)
    return read_callbacks(write_lines(tmp_path / "callbacks.jsonl", one_event(0), spoilt, one_event(2)))


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        ({"error_detail": ERROR}, "data", "exactly one of winner and error_detail"),
        ({"winner": None}, "data", "exactly one of winner and error_detail"),
        ({"winner": "essay_a"}, "data.winner", "Essay A"),
        ({"provider": "mistral"}, "data.provider", "openai"),
        ({"justification": "x" * 501}, "data.justification", "500 characters"),
        ({"justification": None}, "data", "a winner needs justification and confidence"),
        ({"confidence": 0.7}, "data.confidence", "greater than or equal to 1"),
        ({"confidence": float("nan")}, "data.confidence", "finite number"),
        ({"response_time_ms": -1}, "data.response_time_ms", "greater than or equal to 0"),
        ({"completed_at": "2025-12-01T00:00:00"}, "data.completed_at", "timezone"),
        ({"request_metadata": {"essay_b_id": "b"}}, "data.request_metadata.essay_a_id", "missing, or not a string"),
        (
            {"request_metadata": {"essay_a_id": "a", "essay_b_id": 7}},
            "data.request_metadata.essay_b_id",
            "not a string",
        ),
        (
            {"request_metadata": {"essay_a_id": "a", "essay_b_id": "a"}},
            "data.request_metadata.essay_b_id",
            "the same essay",
        ),
    ],
)
def test_a_callback_that_breaks_a_rule_is_quarantined(data: Spoil, field: str, reason: str, tmp_path: Path) -> None:
    file = second_line_spoilt(tmp_path, **data)
    assert [event.line for event in file.events] == [1, 3]
    (bad,) = file.quarantined
    assert (bad.line, bad.field) == (2, field)
    assert reason in bad.reason
    assert bad.raw == (tmp_path / "callbacks.jsonl").read_bytes().splitlines()[1]


def test_a_nan_hidden_in_the_metadata_is_found_too(tmp_path: Path) -> None:
    metadata = {**one_event()["data"]["request_metadata"], "score": float("nan")}
    (bad,) = second_line_spoilt(tmp_path, request_metadata=metadata).quarantined
    assert bad.line == 2
    assert "not JSON" in bad.reason


def test_500_characters_of_justification_are_allowed(tmp_path: Path) -> None:
    assert second_line_spoilt(tmp_path, justification="x" * 500).quarantined == ()


def test_a_complaint_never_quotes_the_message(tmp_path: Path) -> None:
    (bad,) = second_line_spoilt(tmp_path, justification="a sentence from an essay " * 30).quarantined
    assert "essay" not in bad.reason


def test_the_second_callback_with_one_request_id_is_quarantined(tmp_path: Path) -> None:
    file = second_line_spoilt(tmp_path, request_id=one_event(0)["data"]["request_id"])
    (bad,) = file.quarantined
    assert (bad.line, bad.field, bad.reason) == (2, "data.request_id", "already seen on line 1")


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda text: text[: len(text) // 2], ""),
        (lambda _: "not json", ""),
        (lambda _: "[]", ""),
        (lambda _: '{"scenario_id": "a summary, not a callback"}', "event_id"),
        (lambda text: text.replace("LLMComparisonResultV1", "LLMComparisonResultV2"), ""),
    ],
    ids=["truncated", "prose", "array", "other schema", "other event type"],
)
def test_a_line_of_something_else_is_quarantined(spoil: Callable[[str], str], field: str, tmp_path: Path) -> None:
    lines = (json.dumps(one_event(0)), spoil(json.dumps(one_event(1))), json.dumps(one_event(2)))
    file = read_callbacks(write_lines(tmp_path / "callbacks.jsonl", *lines))
    assert [event.line for event in file.events] == [1, 3]
    (bad,) = file.quarantined
    assert (bad.line, bad.field) == (2, field)
    assert bad.reason


def test_blank_lines_count_as_lines_but_hold_nothing(tmp_path: Path) -> None:
    file = read_callbacks(write_lines(tmp_path / "callbacks.jsonl", "", one_event(0), "  ", "{", ""))
    assert [event.line for event in file.events] == [2]
    assert [bad.line for bad in file.quarantined] == [4]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused_by_name(content: str, tmp_path: Path) -> None:
    path = tmp_path / "llm_callbacks.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match=r"llm_callbacks\.jsonl: is empty"):
        read_callbacks(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.jsonl: no such file"):
        read_callbacks(tmp_path / "nowhere.jsonl")


def test_unknown_fields_survive_a_round_trip() -> None:
    # A newer peer's fields must not be lost by passing through an older one.
    event = one_event()
    event["tenant"] = {"name": "north"}
    event["data"]["judge_version"] = 7
    event["data"]["token_usage"]["reasoning_tokens"] = 11
    event["data"]["request_metadata"]["wave_label"] = ["first"]
    parsed = parse_callback(json.dumps(event).encode())
    assert isinstance(parsed, CallbackEvent)
    written = json.loads(parsed.model_dump_json())
    assert written["tenant"] == {"name": "north"}
    assert written["data"]["judge_version"] == 7
    assert written["data"]["token_usage"]["reasoning_tokens"] == 11
    assert written["data"]["request_metadata"]["wave_label"] == ["first"]
    assert parse_callback(json.dumps(written).encode()) == parsed
